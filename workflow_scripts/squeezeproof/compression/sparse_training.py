"""Compression during a training: ADMM on the weights of a model."""

from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.weights import prunable
from squeezeproof.training.admm import Admm


def compress_admm(model, shape, settings, train_on, *, images, labels, seed, masks, initial):
    """A training to sparse weights as `compression.compress.compress` calls it."""
    if settings["start"] == "scratch":
        model.load_state_dict(initial().state_dict())
    weights = prunable(model, shape)
    project = constraint(settings)
    if settings["scope"] == "funnel":
        # Its sizes depend on no weight: what cannot be is said before hours of training.
        project(weights, settings["ratio"])
    solver = Admm(weights, project, settings)
    train_on(model, {}, 0, solver)
    return solver.masks
