"""Compression during a training: ADMM on the weights of a model."""

from squeezeproof.checked import AdmmSettings
from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable
from squeezeproof.training.admm import Admm
from squeezeproof.types import Masks


def compress_admm(task: Task) -> Masks:
    """A training to sparse weights as `compression.compress.compress` calls it."""
    settings: AdmmSettings = task.settings
    model = task.model
    if settings["start"] == "scratch":
        model.load_state_dict(task.untrained().state_dict())
    weights = prunable(model, task.shape)
    project = constraint(settings)
    if settings["scope"] == "funnel":
        # Its sizes depend on no weight: what cannot be is said before hours of training.
        project(weights, settings["ratio"])
    solver = Admm(weights, project, settings)
    task.train_on(model, {}, 0, solver)
    return solver.masks
