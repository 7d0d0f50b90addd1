"""Compression in one or more steps, with training in between and after."""

from squeezeproof.compression.outcome import check_outcome
from squeezeproof.compression.paths import check_paths
from squeezeproof.compression.task import Task
from squeezeproof.entries import registry
from squeezeproof.entries.compression import CONTROL
from squeezeproof.models.device import device_of
from squeezeproof.randomness import own_randomness
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Masks


def compress(task: Task) -> Masks:
    """Compress a model in place as its settings say, and train it in between and after; return the masks.

    The generators that everything in the process shares start from the task's seed, and go on as before afterwards.

    Raises NotSupported where the ratio cannot be reached, nothing would be removed, or images take different paths
    through the network, OfModel where what comes of it is no compressed model (`outcome`).
    """
    device = device_of(task.model)
    with own_randomness(derive_seed(task.seed, "shared"), device):
        if task.settings["method"] == CONTROL:
            return train_alone(task)
        if task.examples is not None:
            check_paths(task.model, task.shape, task.examples[0])
        masks = registry.compressions()[task.settings["method"]].imported()(task)
    check_outcome(task.model, masks, device)
    return masks


def train_alone(task: Task) -> Masks:
    """Train a base as long as a compressed model is trained, and compress nothing."""
    if task.settings["scratch"]:
        task.model.load_state_dict(task.untrained().state_dict())
    for stage in range(task.settings["steps"]):
        task.train_on(task.model, {}, stage)
    return {}
