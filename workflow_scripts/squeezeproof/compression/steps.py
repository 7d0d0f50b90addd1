"""Pruning in one or more steps, with training and rewinding in between."""

import torch

from squeezeproof.seeds import derive_seed
from squeezeproof.training.schedules import fractions


def prune(model, settings, train_on, remove, seed, initial):
    """Prune a model in the steps of its settings; return the masks.

    `remove`, called as remove(untrained, fraction, seed, final), prunes it until `fraction` is gone and returns the
    masks; where the settings rewind, `untrained` is the model before its training and loses the same filters.
    """
    untrained = initial() if settings.get("rewind") else None
    masks = {}
    for stage, fraction in enumerate(fractions(settings["ratio"], settings["steps"], settings["schedule"])):
        final = stage == settings["steps"] - 1
        masks = remove(untrained, fraction, derive_seed(seed, "pruning", stage), final)
        if untrained is not None:
            rewind(model, masks, untrained)
        train_on(model, masks, stage)
    return masks


def rewind(model, masks, untrained):
    """Give a pruned model the tensors of the untrained one in place, zero where masked [frankle2019].

    Biases and batch normalisation, its statistics included, go back too. An `untrained` model of pruned filters has
    lost the same ones.
    """
    model.load_state_dict(untrained.state_dict())
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask)
