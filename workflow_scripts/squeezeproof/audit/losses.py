"""What a set reaches in losses, held against a fresh attack that does as it was told.

How many images fall says little of an attack that is nearly as strong: of FGSM stored as PGD, of restarts that keep the
worst, of gradients that another normalisation hardly turns. Every image has a loss, whether it falls or not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from squeezeproof.audit.findings import Finding, judge
from squeezeproof.audit.gathered import gathered
from squeezeproof.entries import registry
from squeezeproof.models.device import device_of
from squeezeproof.norms import Norm
from squeezeproof.types import Key

# Standard errors of the paired difference beyond which chance does not explain it; many sets are looked at, and few of
# their parts fall short by so much.
ERRORS, PART_ERRORS = 4.0, 3.0
# Share of what the fresh attack raises the loss by that a set may fall short of it. In L2, where torchattacks starts
# nearer to the clean image, it raised it by up to 3.5 % more.
SHORT = {Norm.LINF: 0.01, Norm.L2: 0.1}
# The same of a part of the images, of which there are many and small ones.
PART_SHORT, PARTS, PART_IMAGES = 0.25, 4, 10
WHOLE = "the sample"
MOST_STEPS, MOST_RUNS = 20, 3


@dataclass(frozen=True)
class Told:
    """What a fresh attack is told: gradient steps, their size in pixel units, a random start, independent runs."""

    steps: int
    alpha: float
    start: bool
    runs: int = 1

    @staticmethod
    def step(eps: float, steps: int) -> float:
        """The size of a step of [madry2018]."""
        return 2.5 * eps / steps

    @classmethod
    def usual(cls, eps: float, steps: int) -> "Told":
        """One step of the gradient's sign across the ball, or more steps from a random start."""
        return cls(1, eps, False) if steps == 1 else cls(steps, cls.step(eps, steps), True)


def as_told(settings: Mapping[str, Any]) -> Told | None:
    """The fresh attack that reaches no higher loss than the attack of these settings; None where none is known to.

    More steps and runs than MOST_STEPS and MOST_RUNS would take longer, and reach more.
    """
    weaker = settings["stop_on_success"] or settings["stored"] == "uint8" or settings.get("expectation", 1) > 1
    other = settings.get("loss") != "cross_entropy" or settings.get("gradient") != "straight-through"
    if weaker or other or registry.attacks()[settings["method"]].strength is None:
        return None
    eps = settings["eps"]
    if settings["method"] == "fgsm":
        return Told.usual(eps, 1)
    if "alpha" not in settings:
        return None
    steps, runs = settings["steps"], min(settings.get("restarts", 1), MOST_RUNS)
    alpha = settings["alpha"] or Told.step(eps, steps)
    return Told(min(steps, MOST_STEPS), alpha, settings.get("random_start", False), runs)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a model makes of some points: `predictions` int64 [n] and the `losses` [n] that an attack raises."""

    predictions: np.ndarray
    losses: np.ndarray

    @classmethod
    def of(
        cls, model: nn.Module, points: torch.Tensor, aims: torch.Tensor, targeted: bool, batch_size: int | None
    ) -> "Outcome":
        """Of points [n, C, H, W], away from the labels `aims` [n], or towards these classes if `targeted`."""
        device = device_of(model)
        with torch.no_grad():
            logits = gathered(len(points), batch_size, lambda first, last: model(points[first:last].to(device)))
        return cls.of_logits(logits, aims, targeted)

    @classmethod
    def of_logits(cls, logits: torch.Tensor, aims: torch.Tensor, targeted: bool) -> "Outcome":
        """Of logits [n, K]."""
        logits = logits.double()
        losses = functional.cross_entropy(logits, aims, reduction="none")
        return cls(logits.argmax(1).cpu().numpy(), (-losses if targeted else losses).cpu().numpy())

    @classmethod
    def strongest(cls, runs: Sequence["Outcome"]) -> "Outcome":
        """Of every image the run of the highest loss."""
        losses = np.stack([run.losses for run in runs])
        best = losses.argmax(0), np.arange(losses.shape[1])
        return cls(np.stack([run.predictions for run in runs])[best], losses[best])


def judge_losses(
    key: Key, norm: str, losses: Sequence[np.ndarray], labels: np.ndarray, predicted: np.ndarray, again: str
) -> Finding:
    """The finding of check 31 on a set.

    Args:
        losses: [n] at the set's images, at those of the fresh attack and at the clean ones.
        labels, predicted: true labels [n], and those that the source gives to the clean images.
        again: what to do about the file.

    Its value is the largest of the shares of the fresh attack's rise in the loss that the whole or a part falls short
    of it, in units of what they may; what chance explains counts as nothing.
    """
    stored, fresh, clean = losses
    worst, where, short = 0.0, "", 0.0
    for name, rows in _parts(labels, predicted):
        limit, errors = (SHORT[Norm(norm)], ERRORS) if name == WHOLE else (PART_SHORT, PART_ERRORS)
        missing = fresh[rows] - stored[rows]
        rise, error = float((fresh - clean)[rows].mean()), float(missing.std() / np.sqrt(len(missing)))
        if rise > 0 and missing.mean() > errors * error and missing.mean() / (limit * rise) > worst:
            short = float(missing.mean()) / rise
            worst, where = short / limit, f"{name}, {len(rows)} of {len(labels)} images,"
    message = (
        f"on {where} the set raises the loss by {short:.1%} less than a fresh attack of torchattacks with its steps: "
        f"it is of a weaker attack or another model, or keeps the weaker runs; {again}"
    )
    return judge(key, 31, worst, 1.0, message)


def _parts(labels: np.ndarray, predicted: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Name and indices of all images, of their quarters in order, and of parts of PART_IMAGES or more: of the classes,
    and of the images that fool the model without an attack."""
    whole = np.arange(len(labels))
    yield WHOLE, whole
    yield from ((f"quarter {number + 1}", rows) for number, rows in enumerate(np.array_split(whole, PARTS)))
    parts = {f"class {label}": labels == label for label in np.unique(labels)}
    for name, mask in {**parts, "what it labels wrongly without an attack": predicted != labels}.items():
        if mask.sum() >= PART_IMAGES:
            yield name, np.flatnonzero(mask)
