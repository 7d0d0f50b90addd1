"""Fast input gradients of first layers: convolutions of few channels, whose own backward pass is slow on a CPU."""

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

FEW = 4


class _StemConvolution(torch.autograd.Function):
    """A convolution whose input gradient is a matrix product and a sum over overlapping patches."""

    @staticmethod
    def forward(context, points, weight, bias, stride, padding):
        context.save_for_backward(weight)
        context.geometry = points.shape[2:], stride, padding
        return functional.conv2d(points, weight, bias, stride, padding)

    @staticmethod
    def backward(context, gradient):
        (weight,) = context.saved_tensors
        size, stride, padding = context.geometry
        patches = torch.matmul(weight.to(gradient.dtype).flatten(1).t(), gradient.flatten(2))
        return functional.fold(patches, size, weight.shape[2:], 1, padding, stride), None, None, None, None


class StemConv2d(nn.Conv2d):
    """An nn.Conv2d of few channels with a fast input gradient; only while its parameters take no gradient."""

    def forward(self, points):
        if self.weight.requires_grad or points.is_cuda:
            return super().forward(points)
        return _StemConvolution.apply(points, self.weight, self.bias, self.stride, self.padding)


def is_stem(module):
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
def fast_stems(model):
    """Every convolution of few channels of the model as a StemConv2d; they are what they were afterwards."""
    stems = [module for module in model.modules() if is_stem(module)]
    try:
        for module in stems:
            module.__class__ = StemConv2d
        yield model
    finally:
        for module in stems:
            module.__class__ = nn.Conv2d
