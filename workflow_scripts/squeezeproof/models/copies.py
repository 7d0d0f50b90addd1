"""Copies of networks, also of those that keep what they computed in a pass."""

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from squeezeproof.errors import pass_on

# What nn.Module itself holds, which every module can copy.
OWN = vars(nn.Module()).keys()
Network = TypeVar("Network", bound=nn.Module)


def copied(model: Network) -> Network:
    """A deep copy of a model. What it keeps of a pass, such as the maps of a layer, is copied without its gradient:
    torch copies parameters and constants alone."""
    return copy.deepcopy(model, _memo(model))


def not_copied(network: nn.Module) -> str | None:
    """The attribute of a network that cannot be copied and why, None where a copy can be made."""
    memo = _memo(network)
    for name, module in network.named_modules():
        for key, value in vars(module).items():
            try:
                copy.deepcopy(None if key in OWN else value, dict(memo))
            except Exception as error:
                pass_on(error)
                return f"{name}.{key}".removeprefix(".") + f" cannot be copied ({type(error).__name__}: {error})"
    return None


def _memo(model: nn.Module) -> dict[int, Any]:
    """What deepcopy takes for tensors that were computed, by their ids."""
    kept = [tensor for module in model.modules() for value in vars(module).values() for tensor in _tensors(value)]
    return {id(tensor): tensor.detach().clone() for tensor in kept if tensor.grad_fn is not None}


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, (list, tuple, set)):
        for part in value:
            yield from _tensors(part)
