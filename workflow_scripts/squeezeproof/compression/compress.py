"""Compression in one or more steps, with training in between and after."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from squeezeproof.compression.steps import untrained_model
from squeezeproof.entries import registry
from squeezeproof.entries.compression import CONTROL
from squeezeproof.types import Masks


def compress(
    model: nn.Module,
    shape: Sequence[int],
    settings: dict[str, Any],
    train_on: Callable[..., None],
    images: torch.Tensor | None = None,
    labels: torch.Tensor | None = None,
    seed: int = 0,
    masks: Masks | None = None,
    initial: Callable[[], nn.Module] | None = None,
) -> Masks:
    """Compress a model in place as a checked `compressions` entry says, at its one `ratio` or `bits`; return the masks.

    Args:
        model: the trained base model, or the pruned one that is quantized.
        shape: (C, H, W) of one image.
        settings: the entry (squeezeproof.entries) with `ratio` or `bits` a single number, or those of a control
            (`study.controls.Schedule`), which is trained and not compressed.
        train_on: called as train_on(model, masks, stage) after every step; `stage` counts from 0, the last is the
            fine-tuning proper.
        images, labels: the training images, uint8, and their classes: a quantization is calibrated on some of them,
            and `importance: taylor` takes gradients on some.
        seed: of the choice among them and of random importances.
        masks: of a pruned model, which a quantization keeps.
        initial: of `rewind` and `start: scratch`, called for the base model as it was before its training.

    Raises NotSupported where the ratio cannot be reached or nothing would be removed.
    """
    if settings["method"] == CONTROL:
        return train_alone(model, settings, train_on, initial)
    compression = registry.compressions()[settings["method"]].imported()
    return compression(
        model, shape, settings, train_on, images=images, labels=labels, seed=seed, masks=masks, initial=initial
    )


def train_alone(
    model: nn.Module, settings: dict[str, Any], train_on: Callable[..., None], initial: Callable[[], nn.Module] | None
) -> Masks:
    """Train a base as long as a compressed model is trained, and compress nothing."""
    if settings["scratch"]:
        model.load_state_dict(untrained_model(initial).state_dict())
    for stage in range(settings["steps"]):
        train_on(model, {}, stage)
    return {}
