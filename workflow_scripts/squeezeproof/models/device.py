"""Where a model lies."""

from itertools import chain

import torch

from squeezeproof.types import Placed


def device_of(model: Placed) -> torch.device:
    """The device of a model's first parameter, or of its first buffer where it has none; else the CPU.

    A model of `models.build` has the buffers of its normalisation even where a network has no parameter.
    """
    tensor = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device
