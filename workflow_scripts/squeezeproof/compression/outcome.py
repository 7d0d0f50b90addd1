"""Whether what a compression left behind is a compressed model: it may be the user's own code."""

from typing import Any

import torch
from torch import nn

from squeezeproof.errors import OfModel

# What a compression returns.
WANTED = "return a dictionary, parameter name -> bool tensor of its shape, False where a weight is removed; {} for none"


def check_outcome(model: nn.Module, masks: Any, device: torch.device) -> None:
    """Raise OfModel where the parameters of a compressed model are not float32 on the device that it was on, or where
    its masks are none, or not those of its weights: every number of its size follows from these.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise OfModel(
                f"the compression left {name} in {str(parameter.dtype)[6:]}, float32 is needed; round values, not types"
            )
        if parameter.device.type != device.type:
            raise OfModel(f"the compression left {name} on {parameter.device}, the model was on {device}; move it back")
    if not isinstance(masks, dict):
        raise OfModel(f"the compression returned {type(masks).__name__}; let it {WANTED}")
    for name, mask in masks.items():
        if problem := _unfit(parameters.get(name), mask):
            raise OfModel(f"the mask of {name} that the compression returned {problem}; let it {WANTED}")


def _unfit(parameter: torch.Tensor | None, mask: Any) -> str:
    """What is wrong with a mask; empty where nothing is."""
    if parameter is None:
        return "is of no parameter of the model"
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        return f"is no bool tensor but {getattr(mask, 'dtype', type(mask).__name__)}"
    if mask.shape != parameter.shape:
        return f"has the shape {list(mask.shape)}, its parameter {list(parameter.shape)}"
    others = int((parameter.detach()[~mask] != 0).sum())
    return f"is False at {others} weights that are not zero" if others else ""
