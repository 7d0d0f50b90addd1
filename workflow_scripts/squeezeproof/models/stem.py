"""Fast input gradients of first layers, by a hack: convolutions of few channels change their class for a while.

Their own backward pass is slow on a CPU.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

FEW = 4


class _StemConvolution(torch.autograd.Function):
    """A convolution whose input gradient is a matrix product and a sum over overlapping patches."""

    @staticmethod
    def forward(
        context: Any, points: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, padding: Any
    ) -> torch.Tensor:
        context.save_for_backward(weight)
        context.geometry = points.shape[2:], stride, padding
        return functional.conv2d(points, weight, bias, stride, padding)

    @staticmethod
    def backward(  # ty: ignore[incompatible-method-override]
        context: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        (weight,) = context.saved_tensors
        size, stride, padding = context.geometry
        patches = torch.matmul(weight.to(gradient.dtype).flatten(1).t(), gradient.flatten(2))
        return functional.fold(patches, size, weight.shape[2:], 1, padding, stride), None, None, None, None


class StemConv2d(nn.Conv2d):
    """An nn.Conv2d of few channels with a fast input gradient; only while its parameters take no gradient."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.weight.requires_grad or input.is_cuda:
            return super().forward(input)
        return _StemConvolution.apply(input, self.weight, self.bias, self.stride, self.padding)


def is_stem(module: nn.Module) -> bool:
    """Whether a module is a plain convolution of at most FEW channels that StemConv2d computes."""
    return (
        type(module) is nn.Conv2d
        and module.in_channels <= FEW
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


@contextmanager
def fast_stems(model: nn.Module) -> Generator[nn.Module]:
    """Every convolution of few channels of the model as a StemConv2d; they are what they were afterwards."""
    stems = [module for module in model.modules() if is_stem(module)]
    try:
        for module in stems:
            module.__class__ = StemConv2d
        yield model
    finally:
        for module in stems:
            module.__class__ = nn.Conv2d
