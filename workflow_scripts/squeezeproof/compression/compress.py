"""Compression in one or more steps, with training in between and after."""

from squeezeproof.compression.paths import check_paths
from squeezeproof.compression.task import Task
from squeezeproof.entries import registry
from squeezeproof.entries.compression import CONTROL
from squeezeproof.types import Masks


def compress(task: Task) -> Masks:
    """Compress a model in place as its settings say, and train it in between and after; return the masks.

    Raises NotSupported where the ratio cannot be reached, nothing would be removed, or images take different paths
    through the network.
    """
    if task.settings["method"] == CONTROL:
        return train_alone(task)
    if task.examples is not None:
        check_paths(task.model, task.shape, task.examples[0])
    return registry.compressions()[task.settings["method"]].imported()(task)


def train_alone(task: Task) -> Masks:
    """Train a base as long as a compressed model is trained, and compress nothing."""
    if task.settings["scratch"]:
        task.model.load_state_dict(task.untrained().state_dict())
    for stage in range(task.settings["steps"]):
        task.train_on(task.model, {}, stage)
    return {}
