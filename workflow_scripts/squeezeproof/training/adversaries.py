"""Adversarial examples of a training batch: FGSM with fixed or drawn radii, and PGD."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from squeezeproof.attacks.ball import Plateau, ascend, project, random_point
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import log_odds
from squeezeproof.attacks.random import uniform
from squeezeproof.attacks.source import frozen
from squeezeproof.checked import AdversarySettings, FgsmAdversarySettings, PgdAdversarySettings
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.models.build import how_to_wrap
from squeezeproof.models.stem import fast_stems
from squeezeproof.norms import Norm
from squeezeproof.types import Classifier

# Streams 0 to 3 of a seed belong to attacks.ball.
RADII = 4


@dataclass(frozen=True)
class Adversary:
    """The checked settings of an adversary, for one model.

    Attributes:
        clean_weight: w of the loss w CE(clean) + (1 - w) CE(adversarial), in [0, 1).
        eps: largest radius; a float, or [1, C, 1, 1] where the channels differ, in pixel units.
        alpha: length of a step in pixel units, shaped like eps; None steps by the radius of each example.
        steps, norm, random_start, drawn: drawn radii follow `truncated_normal`, others are eps.
        boxed: whether the examples keep to [0, 1].

    The norm l2 has a float eps, no drawn radii and keeps to the box.
    """

    clean_weight: float
    eps: float | torch.Tensor
    alpha: float | torch.Tensor | None
    steps: int
    norm: Norm
    random_start: bool
    drawn: bool
    boxed: bool

    def craft(
        self,
        model: nn.Module,
        pixels: torch.Tensor,
        labels: torch.Tensor,
        *,
        seed: int,
        indices: torch.Tensor,
        precision: str = "float32",
    ) -> tuple[torch.Tensor, float | torch.Tensor]:
        """Adversarial examples of pixels [N, C, H, W] in [0, 1], and their mean radius in pixel units.

        Args:
            model: maps pixels to logits. It is attacked as it is evaluated, and left as it was: mode, batch-norm
                statistics and gradients included.
            labels: int64 [N].
            seed, indices: what is drawn for example i is a function of (seed, indices[i]) alone.
            precision: number format of the model's passes (`logits_of`); points and steps are float32.

        Raises InputError where the model gives no gradient to its input. One that is not finite is passed on: it makes
        the training loss NaN, which is found without waiting for the device at every step.
        """
        eps = self.eps * truncated_normal(seed, indices) if self.drawn else self.eps
        if self.norm == Norm.LINF:
            points, back = self._in_cube(pixels, eps, seed, indices)
        else:
            points, back = self._in_sphere(pixels, eps, seed, indices)
        alpha = eps if self.alpha is None else self.alpha
        plateau = Plateau(seed, indices)
        with frozen(model), fast_stems(model):
            for _ in range(self.steps):
                _, _, gradient = loss_and_gradient(_Unjudged(model, precision), points, labels, log_odds)
                points = back(ascend(gradient, self.norm, plateau).mul_(alpha).add_(points))
        return points, eps.mean() if isinstance(eps, torch.Tensor) else eps

    def _in_cube(
        self, pixels: torch.Tensor, eps: float | torch.Tensor, seed: int, indices: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        """The start, and the function that moves a point back to the ball, whose bounds are computed once."""
        low, high = pixels - eps, pixels + eps
        if self.boxed:
            low, high = low.clamp_(min=0), high.clamp_(max=1)
        points = pixels
        if self.random_start:
            noise = uniform(seed, indices, pixels.shape[1:], stream=0).mul_(2).sub_(1)
            points = torch.clamp(pixels + eps * noise, low, high)
        return points, lambda moved: torch.clamp(moved, low, high)

    def _in_sphere(
        self, pixels: torch.Tensor, eps: float | torch.Tensor, seed: int, indices: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        points = random_point(pixels, eps, self.norm, seed, indices) if self.random_start else pixels
        return points, lambda moved: project(moved, pixels, eps, self.norm)


def make_adversary(settings: AdversarySettings | None, model: nn.Module) -> Adversary | None:
    """The Adversary of checked settings; None where nothing is crafted: without settings, or at clean_weight 1.

    Raises InputError for `space: normalized` where the model does not begin with its normalisation.
    """
    if settings is None or settings["clean_weight"] == 1:
        return None
    return registry.adversaries()[settings["method"]].imported()(settings, model)


def one_step(settings: FgsmAdversarySettings, model: nn.Module) -> Adversary:
    """The Adversary that steps once, by the radius of each example."""
    return _adversary(settings, model, 1, None, drawn=settings["eps_distribution"] == "truncated_normal")


def several_steps(settings: PgdAdversarySettings, model: nn.Module) -> Adversary:
    """The Adversary that steps `steps` times by `alpha`."""
    alpha = 2.5 * settings["eps"] / settings["steps"] if settings["alpha"] is None else settings["alpha"]
    return _adversary(settings, model, settings["steps"], alpha, drawn=False)


def _adversary(
    settings: FgsmAdversarySettings | PgdAdversarySettings,
    model: nn.Module,
    steps: int,
    alpha: float | None,
    drawn: bool,
) -> Adversary:
    unit = _std(model) if settings["space"] == "normalized" else 1.0
    return Adversary(
        clean_weight=settings["clean_weight"],
        eps=settings["eps"] * unit,
        alpha=None if alpha is None else alpha * unit,
        steps=steps,
        norm=settings["norm"],
        random_start=settings["random_start"],
        drawn=drawn,
        boxed=settings["space"] == "pixel",
    )


def truncated_normal(seed: int, indices: torch.Tensor) -> torch.Tensor:
    """Draws [N, 1, 1, 1] from a normal of mean 0 and standard deviation 1/2, cut off to [0, 1] [kurakin2017scale].

    That of example i is a function of (seed, indices[i]) alone.
    """
    # The inverse of the distribution function: erf(x / (sigma sqrt 2)), scaled to 1 at the end of the interval.
    share = uniform(seed, indices, (1, 1, 1), stream=RADII)
    return torch.erfinv(share * math.erf(math.sqrt(2))) / math.sqrt(2)


def logits_of(model: Classifier, pixels: torch.Tensor, precision: str) -> torch.Tensor:
    """Logits [N, K], float32, of a pass in float32 or, by autocast, in bfloat16."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits = model(pixels)
    if not isinstance(logits, torch.Tensor):
        kind = f"a network that returns {type(logits).__name__} in training mode cannot be trained"
        raise InputError(f"{kind}{how_to_wrap(logits)}")
    return logits.float()


class _Unjudged:
    """A model whose gradients are not checked one by one; see `Adversary.craft`."""

    def __init__(self, model: nn.Module, precision: str) -> None:
        self.model, self.precision = model, precision

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        return logits_of(self.model, points, self.precision)

    def observe(self, peaks: torch.Tensor) -> None:
        """Take the gradients as they are."""


def _std(model: nn.Module) -> torch.Tensor:
    normalize = getattr(model, "normalize", None)
    if normalize is None:
        raise InputError("adversary.space: normalized, but the model has no normalisation; write space: pixel")
    return normalize.std
