"""Pruning in one or more steps, with training and rewinding in between."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from squeezeproof.seeds import derive_seed
from squeezeproof.training.schedules import fractions
from squeezeproof.types import Masks


def prune(
    model: nn.Module,
    settings: dict[str, Any],
    train_on: Callable[..., None],
    remove: Callable[[nn.Module | None, float, int, bool], Masks],
    seed: int,
    initial: Callable[[], nn.Module] | None,
) -> Masks:
    """Prune a model in the steps of its settings; return the masks.

    `remove`, called as remove(untrained, fraction, seed, final), prunes it until `fraction` is gone and returns the
    masks; where the settings rewind, `untrained` is the model before its training and loses the same filters.
    """
    untrained = untrained_model(initial) if settings.get("rewind") else None
    masks = {}
    for stage, fraction in enumerate(fractions(settings["ratio"], settings["steps"], settings["schedule"])):
        final = stage == settings["steps"] - 1
        masks = remove(untrained, fraction, derive_seed(seed, "pruning", stage), final)
        if untrained is not None:
            rewind(model, masks, untrained)
        train_on(model, masks, stage)
    return masks


def untrained_model(initial: Callable[[], nn.Module] | None) -> nn.Module:
    """The base model as it was before its training, from the function that `compress` was given for it."""
    if initial is None:
        raise ValueError("a compression that goes back to the untrained model needs `initial`, which makes it")
    return initial()


def rewind(model: nn.Module, masks: Masks, untrained: nn.Module) -> None:
    """Give a pruned model the tensors of the untrained one in place, zero where masked [frankle2019].

    Biases and batch normalisation, its statistics included, go back too. An `untrained` model of pruned filters has
    lost the same ones.
    """
    model.load_state_dict(untrained.state_dict())
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask)
