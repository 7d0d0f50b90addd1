"""Functions, and modules that write into their pixels, as modules that can be attacked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.attacks.source import frozen
from squeezeproof.errors import pass_on


class OnCopies(nn.Module):
    """A module that writes into the pixels that it is given, as `pixels.sub_(mean)` does, and is given copies."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.module(pixels.clone())


def writes(module: nn.Module, pixels: torch.Tensor) -> bool:
    """Whether a module changes the tensor that it is called with, if only by writing the same numbers into it."""
    given = pixels.clone()
    version = given._version
    with frozen(module), torch.no_grad():
        module(given)
    return given._version != version or not torch.equal(given, pixels)


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two modules hold the same weights and buffers under the same names, or are one function."""
    if isinstance(first, Function) or isinstance(second, Function):
        return isinstance(first, Function) and isinstance(second, Function) and first.function is second.function
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(_equal(value, theirs[name]) for name, value in ours.items())


def _equal(one: Any, other: Any) -> bool:
    # What is packed, as by torch.ao's quantization, does not tell.
    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)):
        return False
    return one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())


class Function(nn.Module):
    """A function as a module, called with copies, into which it may write. One that takes no pixels that ask for a
    gradient is a black box.

    Such are functions that compute with NumPy, ONNX Runtime or another program.
    """

    place: torch.Tensor

    def __init__(self, function: Callable[[torch.Tensor], Any], pixels: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        # Tells where the model lies.
        self.register_buffer("place", torch.empty(0, device=pixels.device))
        self.is_black_box = not self._takes(pixels)

    def _takes(self, pixels: torch.Tensor) -> bool:
        try:
            with torch.enable_grad():
                # The copy of what asks for a gradient, into which a function may write, as the first may not be.
                self.function(pixels.clone().requires_grad_(True).clone())
        except Exception as error:
            pass_on(error)
            # Whether it fails on plain pixels, too, is seen when it is called.
            return False
        return True

    def forward(self, pixels: torch.Tensor) -> Any:
        output = self.function((pixels.detach() if self.is_black_box else pixels).clone())
        if isinstance(output, tuple | list) and all(isinstance(row, torch.Tensor) and row.dim() == 1 for row in output):
            return torch.stack(tuple(output))
        if isinstance(output, torch.Tensor) or _holds_several(output):
            return output
        array = np.asarray(output)
        return torch.from_numpy(array.astype(np.float32)).to(self.place) if array.dtype.kind in "fiu" else output


def _holds_several(output: Any) -> bool:
    """Whether an output is a tuple or list of more than rows of logits, such as logits and features."""
    return isinstance(output, tuple | list) and not all(map(_is_row, output))


def _is_row(part: Any) -> bool:
    if isinstance(part, tuple | list):
        return all(isinstance(value, int | float | np.number) for value in part)
    return not isinstance(part, torch.Tensor) and np.ndim(part) == 1
