"""A fresh attack on a sample of each stored set's source, by another library than the one that crafted the set.

It shares no code with the crafting: torchattacks attacks the plain model of the checkpoint, without folded layers or
early stopping. A set that was crafted on another model, through another normalisation or in training mode is far weaker
than that.
"""

from collections.abc import Mapping
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.attacks.source import frozen
from squeezeproof.attacks.suite import stages
from squeezeproof.audit.findings import EVERY, WARNING, Finding, found_once, judge, remedy
from squeezeproof.batches import in_batches
from squeezeproof.entries import registry
from squeezeproof.models.copies import copied
from squeezeproof.models.device import device_of
from squeezeproof.norms import Norm
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.tensors import open_rows, read_arrays, read_metadata, verify
from squeezeproof.types import Key, SetMetadata

# Of the sampled images: the least that tell anything, and a share of the set's that costs a tenth of crafting it.
FEWEST, SHARE = 50, 0.1
# Standard errors of the paired difference beyond which chance does not explain it, and the points that it must exceed.
ERRORS, POINT = 3.0, 0.02
# Of the fresh attack.
NORMS = (Norm.LINF, Norm.L2)
MOST_STEPS = 20


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
    """Findings of check 24 on the sets of one source that a gradient attack crafted in a ball.

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
    device = device_of(model)
    # torchattacks reshapes gradients by `view`, which those of a model in channels-last order do not allow.
    # The signatures of torch leave this argument out.
    model = copied(model).to(memory_format=torch.contiguous_format)  # ty: ignore[no-matching-overload]
    inputs, right = to_pixels(images, device), labels.numpy()

    def predicted(points: torch.Tensor) -> np.ndarray:
        return _predicted(model, points, batch_size)

    @cache
    def fresh(norm: str, eps: float, steps: int, reach: tuple[int, ...] | None) -> np.ndarray:
        parts, aims = [], labels.to(device) if reach is None else torch.tensor(reach, device=device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            attack = _attack(model, norm, eps, steps)
            if reach is not None:
                attack.set_mode_targeted_by_label(quiet=True)
            in_batches(
                len(inputs),
                batch_size,
                lambda first, last: parts.append(attack(inputs[first:last], aims[first:last])),
            )
        return predicted(torch.cat(parts).detach())

    def compare(name: str, path: str | Path) -> list[Finding]:
        verify(path)
        metadata: SetMetadata = read_metadata(path)
        settings = metadata["settings"]
        if "failed" in metadata or not _follows_gradients(settings):
            return []
        reach = _reach(path, settings, rows)
        stored = predicted(to_pixels(torch.from_numpy(open_rows(path, "adversarial")[rows]), device))
        again = fresh(settings["norm"], settings["eps"], _steps(settings), reach)
        standing = [_standing(found, right, reach) for found in (stored, again)]
        return [_compared((dataset, source, EVERY, name), settings, *standing, path)] if len(standing[0]) else []

    with frozen(model):
        found = [
            found_once(kept, f"{name} {digest(path)}", partial(compare, name, path)) for name, path in sets.items()
        ]
    return [*chain.from_iterable(found)]


def sample(wanted: int, count: int) -> np.ndarray:
    """Which of `count` test images are attacked anew where `wanted` are asked for: from the first to the last, since
    a class, a batch or a shard may be a part of them in a row."""
    size = min(wanted, count, max(FEWEST, round(SHARE * count)))
    return np.linspace(0, count - 1, size).round().astype(int)


def _follows_gradients(settings: dict[str, Any]) -> bool:
    """Whether the source's own gradients led to points of a ball, which a fresh attack can be held against."""
    entry = registry.attacks()[settings["method"]]
    in_ball = settings["eps"] is not None and settings["norm"] in NORMS
    return in_ball and entry.needs == "gradients" and not (entry.minimum_norm or entry.own_budget or entry.blind)


def _steps(settings: dict[str, Any]) -> int:
    """Steps of the fresh attack: no more than the set's own attack made, 1 for those without a place in the order."""
    if registry.attacks()[settings["method"]].strength is None:
        return 1
    return min(MOST_STEPS, max(stage.get("steps", 1) for stage in stages(settings)))


def _reach(path: str | Path, settings: dict[str, Any], rows: np.ndarray) -> tuple[int, ...] | None:
    """The classes that some examples of a targeted set were to reach; None of another set."""
    return tuple(read_arrays(path, ["targets"])["targets"][rows].tolist()) if settings.get("targeted") else None


def _attack(model: nn.Module, norm: str, eps: float, steps: int) -> Any:
    """torchattacks' attack of that many steps in a ball; its step sizes are those of [madry2018]."""
    import torchattacks

    if norm == Norm.LINF and steps == 1:
        return torchattacks.FGSM(model, eps=eps)
    chosen = torchattacks.PGD if norm == Norm.LINF else torchattacks.PGDL2
    options = {"alpha": 2.5 * eps / steps, "random_start": True} if steps > 1 else {"alpha": eps, "random_start": False}
    return chosen(model, eps=eps, steps=steps, **options)


def _predicted(model: nn.Module, points: torch.Tensor, batch_size: int | None) -> np.ndarray:
    parts, device = [], device_of(model)
    with torch.no_grad():
        label = lambda first, last: parts.append(model(points[first:last].to(device)).argmax(1))  # noqa: E731
        in_batches(len(points), batch_size, label)
    return torch.cat(parts).cpu().numpy()


def _standing(found: np.ndarray, right: np.ndarray, reach: tuple[int, ...] | None) -> np.ndarray:
    """Which images stand, bool [n]; of a targeted attack, those whose own class it was to reach are left out."""
    return found == right if reach is None else (found != np.array(reach))[right != np.array(reach)]


def _compared(key: Key, settings: dict[str, Any], stored: np.ndarray, fresh: np.ndarray, path: str | Path) -> Finding:
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
