"""White-box accuracy against rising eps (Marshall 2020, Algorithm 2)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from squeezeproof.attacks.checks import SLACK
from squeezeproof.attacks.craft import craft
from squeezeproof.checked import AttackSettings
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.jobs import log
from squeezeproof.store.predictions import NOT_SCORED
from squeezeproof.store.shards import combined, shard_rows
from squeezeproof.store.sweeps import Point
from squeezeproof.types import Images, Split

# In the place of the name of an attack whose run is no single eps's.
NEAREST = "nearest"
# What tells which examples fall within any eps.
NORMS = ("predictions", "clean_predictions", "norm")
COSTS = ("forwards_per_example", "backwards_per_example", "zero_gradients")


def sweep(
    model: nn.Module,
    images: Images,
    labels: torch.Tensor,
    attacks: Iterable[tuple[str, Any]],
    *,
    classes: int,
    stops: bool,
    seed: Callable[[str], int],
    batch_size: int | None,
    training: Split | None = None,
    known: Iterable[Point] = (),
    shards: int = 1,
) -> Iterator[Point]:
    """Attack every image at one eps after the other; yield a Point for each.

    Unlike a cumulative attack, every eps starts from all images, so that a rise of the accuracy shows a weak attack. A
    minimum-norm attack is run once, without a ball: an example falls at the eps that its nearest point is within. The
    first of its points has the passes of that run, the others none.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
        images, labels: uint8 [N, C, H, W], or Tensors of them (store.datasets), and int64 [N], on the CPU.
        attacks: (name, settings, with stop_on_success, as `craft` takes them) in the order of their eps.
        classes: their number K.
        stops: end after the first eps at which the accuracy is below 1 / classes.
        seed: maps an attack's name to the seed of its random numbers.
        batch_size, training: as `craft` takes them.
        known: Points of an earlier run of the same sweep, which are yielded as they are.
        shards: in how many parts the images are attacked, of which one at a time is in memory.
    """
    earlier, nearest = {point.name: point for point in known}, None
    for name, settings in attacks:
        point = earlier.get(name)
        if point is None or point.settings != settings:
            options = {"seed": seed(name), "batch_size": batch_size, "training": training}
            if registry.attacks()[settings["method"]].minimum_norm:
                first = nearest is None
                options["seed"] = seed(NEAREST)
                nearest = nearest or _attacked(model, images, labels, {**settings, "eps": None}, shards, options, NORMS)
                predictions, metadata = _within(settings["eps"], *nearest, first)
            else:
                tensors, metadata = _attacked(model, images, labels, settings, shards, options)
                predictions = tensors["predictions"]
            # The attacker has seen these images.
            predictions[: metadata.get("held_out", 0)] = NOT_SCORED
            point = Point(name, settings, predictions, {key: metadata[key] for key in COSTS})
        correct, scored = point.counts(labels)
        log.info("%s: %.2f %%", name, 100 * correct / scored)
        yield point
        # In whole numbers, because exactly at chance it goes on.
        if stops and correct * classes < scored:
            return


def _within(
    eps: float, tensors: dict[str, torch.Tensor], metadata: dict[str, Any], first: bool
) -> tuple[torch.Tensor, dict[str, Any]]:
    """(labels that the model gives to the points within eps and to the clean images of the others, metadata)."""
    inside = tensors["norm"] <= eps + SLACK * max(1.0, eps)
    predictions = torch.where(inside, tensors["predictions"], tensors["clean_predictions"])
    spent = {} if first else {"forwards_per_example": 0.0, "backwards_per_example": 0.0}
    return predictions, {**metadata, **spent}


def _attacked(
    model: nn.Module,
    images: Images,
    labels: torch.Tensor,
    settings: AttackSettings,
    shards: int,
    options: dict[str, Any],
    kept: tuple[str, ...] = ("predictions",),
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(the tensors to be kept of what `craft` returns, metadata), of one shard after the other."""
    found, metadata = [], []
    for shard in range(1, shards + 1):
        rows = shard_rows(len(labels), shard, shards)
        tensors, told = craft(model, images, labels, settings, rows=rows, **options)
        if "failed" in told:
            raise InputError(told["failed"])
        found.append({key: tensors[key] for key in kept})
        metadata.append(told)
    return {key: torch.cat([tensors[key] for tensors in found]) for key in kept}, combined(metadata)
