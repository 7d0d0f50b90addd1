"""Compression during a training: ADMM on the weights of a model."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.steps import untrained_model
from squeezeproof.compression.weights import prunable
from squeezeproof.training.admm import Admm
from squeezeproof.types import Masks


def compress_admm(
    model: nn.Module,
    shape: Sequence[int],
    settings: dict[str, Any],
    train_on: Callable[..., None],
    *,
    images: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
    masks: Masks | None,
    initial: Callable[[], nn.Module] | None,
) -> Masks:
    """A training to sparse weights as `compression.compress.compress` calls it."""
    if settings["start"] == "scratch":
        model.load_state_dict(untrained_model(initial).state_dict())
    weights = prunable(model, shape)
    project = constraint(settings)
    if settings["scope"] == "funnel":
        # Its sizes depend on no weight: what cannot be is said before hours of training.
        project(weights, settings["ratio"])
    solver = Admm(weights, project, settings)
    train_on(model, {}, 0, solver)
    return solver.masks
