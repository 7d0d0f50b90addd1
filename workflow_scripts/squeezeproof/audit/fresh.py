"""A fresh attack on a sample of each stored set's source, by another library than the one that crafted the set.

It shares no code with the crafting: torchattacks attacks the model of the checkpoint, without early stopping, and what
it finds is asked of the plain model. Only its passes are the fast ones of crafting, where they have the plain model's
gradients. A set that was crafted on another model, through another normalisation or in
training mode is far weaker than that.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.attacks.objective import cross_entropy
from squeezeproof.attacks.source import frozen, prepared
from squeezeproof.attacks.suite import stages
from squeezeproof.audit.findings import EVERY, WARNING, Finding, found_once, judge, not_applicable, remedy
from squeezeproof.audit.losses import MOST_STEPS, Outcome, Told, as_told, judge_losses
from squeezeproof.batches import in_batches
from squeezeproof.checked import AttackSettings
from squeezeproof.entries import registry
from squeezeproof.errors import pass_on
from squeezeproof.models.copies import copied
from squeezeproof.models.device import device_of
from squeezeproof.models.fold import GRADIENT
from squeezeproof.models.foreign import gives_gradients
from squeezeproof.norms import Norm
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.rows import evenly_spaced
from squeezeproof.store.tensors import open_rows, read_arrays, read_metadata, verify
from squeezeproof.types import Key, SetMetadata

# Of the sampled images: the least that tell anything, and a share of the set's that costs less than a tenth of the
# passes of crafting.
FEWEST, SHARE = 40, 0.08
# Standard errors of the paired difference beyond which chance does not explain it, and the points that it must exceed.
ERRORS, POINT = 3.0, 0.02
# Images on which it is made sure that the fast copy is the model.
PREPARED_ON = 4
# Of the fresh attack.
NORMS = (Norm.LINF, Norm.L2)


def audit_fresh(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    rows: np.ndarray,
    sets: Mapping[str, str | Path],
    *,
    seed: int,
    batch_size: int | None,
    dataset: str,
    source: str,
    kept: Kept | None = None,
) -> list[Finding]:
    """Findings of checks 24 and 31 on the sets of one source that a gradient attack crafted in a ball.

    Args:
        model: the source as its checkpoint rebuilds it; maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        images, labels: some uint8 images of the test split and their labels, on the CPU.
        rows: their places in the test split.
        sets: attack name -> path of its set.
        seed: of the fresh attack's random starts.
        batch_size: images in memory at a time; None for as many as fit.
        dataset, source: names of the cell.
        kept: what was found of some of the sets before.
    """
    # torchattacks reshapes gradients by `view`, which those of a model in channels-last order do not allow.
    # The signatures of torch leave this argument out.
    model = copied(model).to(memory_format=torch.contiguous_format)  # ty: ignore[no-matching-overload]
    attacked, right = _Attacked(model, images, labels, seed, batch_size), labels.numpy()

    def compare(name: str, path: str | Path) -> list[Finding]:
        verify(path)
        metadata: SetMetadata = read_metadata(path)
        settings, key = metadata["settings"], (dataset, source, EVERY, name)
        if "failed" in metadata or not _follows_gradients(settings):
            return []
        reach = _reach(path, settings, rows)
        stored = attacked.outcome(to_pixels(torch.from_numpy(open_rows(path, "adversarial")[rows]), "cpu"), reach)
        told = as_told(settings)
        eps: Any = settings["eps"]
        fresh = attacked.anew(settings, told or Told.usual(eps, _steps(settings)), reach)
        standing = [_standing(found.predictions, right, reach) for found in (stored, fresh)]
        if not len(standing[0]):
            return []
        found = _compared(key, settings, *standing, path)
        if told is None or len(standing[0]) < FEWEST:
            reason = f"for fgsm, bim and pgd that raise the cross-entropy to the end, on {FEWEST} images or more"
            return [found, not_applicable(key, 31, reason)]
        chosen = slice(None) if reach is None else right != np.array(reach)
        clean = attacked.unattacked(reach)
        losses = [outcome.losses[chosen] for outcome in (stored, fresh, clean)]
        known = right[chosen], clean.predictions[chosen]
        return [found, judge_losses(key, settings["norm"], losses, *known, remedy(path))]

    few = slice(PREPARED_ON)
    with frozen(model), _quick(model, attacked.inputs[few], attacked.labels[few]) as attacked.quick:
        found = [
            found_once(kept, f"{name} {digest(path)}", partial(compare, name, path)) for name, path in sets.items()
        ]
    return [*chain.from_iterable(found)]


class _Attacked:
    """A model, the images that it is attacked on, and what fresh attacks have made of them."""

    def __init__(
        self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int, batch_size: int | None
    ) -> None:
        self.model, self.quick, self.seed, self.batch_size = model, model, seed, batch_size
        self.device = device_of(model)
        self.inputs, self.labels = to_pixels(images, self.device), labels.to(self.device)
        self.found: dict[Any, Outcome] = {}

    def outcome(self, points: torch.Tensor, reach: tuple[int, ...] | None) -> Outcome:
        """What the model makes of some points, which are to reach some classes, or away from the labels."""
        return Outcome.of(self.model, points, self._aims(reach), reach is not None, self.batch_size)

    def unattacked(self, reach: tuple[int, ...] | None) -> Outcome:
        """What the model makes of the images as they are."""
        if ("clean", reach) not in self.found:
            self.found["clean", reach] = self.outcome(self.inputs, reach)
        return self.found["clean", reach]

    def anew(self, settings: Mapping[str, Any], told: Told, reach: tuple[int, ...] | None) -> Outcome:
        """What the model makes of a fresh attack's points, in the ball of these settings."""
        key = settings["norm"], settings["eps"], told, reach
        if key not in self.found:
            runs = [self.outcome(self._points(*key, self.seed + run), reach) for run in range(told.runs)]
            self.found[key] = Outcome.strongest(runs)
        return self.found[key]

    def _aims(self, reach: tuple[int, ...] | None) -> torch.Tensor:
        return self.labels if reach is None else torch.tensor(reach, device=self.device)

    def _points(self, norm: str, eps: float, told: Told, reach: tuple[int, ...] | None, seed: int) -> torch.Tensor:
        parts, seen, aims = [], [], self._aims(reach)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            attack = _attack(self.quick, norm, eps, told)
            if reach is not None:
                attack.set_mode_targeted_by_label(quiet=True)
            work = lambda first, last: parts.append(attack(self.inputs[first:last], aims[first:last]))  # noqa: E731
            hook = self.quick.register_forward_hook(lambda _, given, logits: seen.append(logits.detach()))
            try:
                in_batches(len(self.inputs), self.batch_size, work)
            finally:
                hook.remove()
        # What a single step saw are the images as they are; a pass of them costs a fifth of all there.
        if told == Told.usual(eps, 1) and sum(map(len, seen)) == len(self.inputs):
            self.found.setdefault(("clean", reach), Outcome.of_logits(torch.cat(seen), aims, reach is not None))
        return torch.cat(parts).detach()


@contextmanager
def _quick(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> Generator[nn.Module]:
    """A model as crafting prepares it, or as it is where that has other input gradients on one of the inputs, or it has
    none."""
    plain = copied(model)
    expected = _gradients(plain, inputs, labels) if gives_gradients(model) else None
    if expected is None:
        yield model
        return
    with prepared(model, inputs) as quick:
        found = _gradients(quick, inputs, labels)
        same = found is not None and ((found - expected).norm(dim=1) <= GRADIENT * expected.norm(dim=1)).all()
        yield quick if same else plain


def _gradients(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | None:
    """Gradients [n, D] of the cross-entropy at some pixels; None where the logits do not follow from these by autograd,
    as behind an embedding of grey levels."""
    points = inputs.clone().requires_grad_(True)
    with torch.enable_grad():
        loss = cross_entropy(model(points), labels).sum()
    if not loss.requires_grad:
        return None
    try:
        found: Any = torch.autograd.grad(loss, points, allow_unused=True)
    except RuntimeError as error:
        pass_on(error)
        # PyTorch has no derivative of what the network computes.
        return None
    return None if found[0] is None else found[0].flatten(1)


def sample(wanted: int, count: int) -> np.ndarray:
    """Which of `count` test images are attacked anew where `wanted` are asked for."""
    return evenly_spaced(count, min(wanted, max(FEWEST, round(SHARE * count))))


def _follows_gradients(settings: AttackSettings) -> bool:
    """Whether the source's own gradients led to points of a ball, which a fresh attack can be held against."""
    entry = registry.attacks()[settings["method"]]
    in_ball = settings["eps"] is not None and settings["norm"] in NORMS
    return in_ball and entry.needs == "gradients" and not (entry.minimum_norm or entry.own_budget or entry.blind)


def _steps(settings: AttackSettings) -> int:
    """Steps of the fresh attack: no more than the set's own attack made, 1 for those without a place in the order."""
    if registry.attacks()[settings["method"]].strength is None:
        return 1
    return min(MOST_STEPS, max(stage.get("steps", 1) for stage in stages(settings)))


def _reach(path: str | Path, settings: AttackSettings, rows: np.ndarray) -> tuple[int, ...] | None:
    """The classes that some examples of a targeted set were to reach; None of another set."""
    return tuple(read_arrays(path, ["targets"])["targets"][rows].tolist()) if settings.get("targeted") else None


def _attack(model: nn.Module, norm: str, eps: float, told: Told) -> Any:
    import torchattacks

    if norm == Norm.LINF and told == Told.usual(eps, 1):
        return torchattacks.FGSM(model, eps=eps)
    chosen = torchattacks.PGD if norm == Norm.LINF else torchattacks.PGDL2
    return chosen(model, eps=eps, steps=told.steps, alpha=told.alpha, random_start=told.start)


def _standing(found: np.ndarray, right: np.ndarray, reach: tuple[int, ...] | None) -> np.ndarray:
    """Which images stand, bool [n]; of a targeted attack, those whose own class it was to reach are left out."""
    return found == right if reach is None else (found != np.array(reach))[right != np.array(reach)]


def _compared(key: Key, settings: AttackSettings, stored: np.ndarray, fresh: np.ndarray, path: str | Path) -> Finding:
    """The finding on one set: which of the sampled images stand there and freshly attacked, bool [n].

    An image stands where the source labels it right, or, of a targeted attack, not as the class to reach.
    """
    difference = stored.astype(float) - fresh
    gap, error = float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))
    limit = max(ERRORS * error, POINT)
    how = "without their class" if settings.get("targeted") else "right"
    message = (
        f"on {len(stored)} images the set leaves {stored.mean():.1%} {how}, a fresh attack of torchattacks "
        f"with as many steps {fresh.mean():.1%}: the set is not what its attack does to this model; {remedy(path)}"
    )
    # A step rule or loss of its own may be weaker than PGD in all honesty.
    ordered = registry.attacks()[settings["method"]].strength is not None
    honest = not ordered or settings.get("loss", "cross_entropy") != "cross_entropy"
    return judge(key, 24, gap, limit, message, verdict=WARNING if honest else None)
