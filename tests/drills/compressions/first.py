"""The smallest new compression: what it declares, and what it does."""

from typing import Literal

from squeezeproof.entries.compression import Compression, Fraction
from squeezeproof.entries.settings import Distinct, setting


class First(Compression):
    """The first weights of every layer are set to zero and held there by a mask."""

    function = "squeezeproof.entries.compressions.first:compress_first"
    masks_stored = True

    method: Literal["first"] = "first"
    ratio: Distinct[Fraction] = setting("Fraction removed, one value or a list.", min_length=1)


def compress_first(task):
    """Masks over the first weights; `task` is a compression.task.Task."""
    import torch

    from squeezeproof.compression.weights import prunable

    found = {}
    for name, weight in prunable(task.model, task.shape).items():
        place = torch.arange(weight.numel(), device=weight.device).view(weight.shape)
        found[name] = place >= task.settings["ratio"] * weight.numel()
        weight.data.mul_(found[name])
    task.train_on(task.model, found, 0)
    return found
