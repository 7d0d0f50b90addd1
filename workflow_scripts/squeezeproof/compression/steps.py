"""Pruning in one or more steps, with training and rewinding in between."""

from collections.abc import Callable

import torch
from torch import nn

from squeezeproof.checked import PruningSettings
from squeezeproof.compression.task import Task
from squeezeproof.seeds import derive_seed
from squeezeproof.training.schedules import fractions
from squeezeproof.types import Masks


def prune(task: Task, remove: Callable[[nn.Module | None, float, int, bool], Masks]) -> Masks:
    """Prune a model in the steps of its settings; return the masks.

    `remove`, called as remove(untrained, fraction, seed, final), prunes it until `fraction` is gone and returns the
    masks; where the settings rewind, `untrained` is the model before its training and loses the same filters.
    """
    settings: PruningSettings = task.settings
    model, masks = task.model, {}
    untrained = task.untrained() if settings.get("rewind") else None
    for stage, fraction in enumerate(fractions(settings["ratio"], settings["steps"], settings["schedule"])):
        final = stage == settings["steps"] - 1
        masks = remove(untrained, fraction, derive_seed(task.seed, "pruning", stage), final)
        if untrained is not None:
            rewind(model, masks, untrained)
        task.train_on(model, masks, stage)
    return masks


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
