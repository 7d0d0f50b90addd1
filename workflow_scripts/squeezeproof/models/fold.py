"""Batch normalisations folded into the convolutions before them, for passes in eval mode."""

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse

from squeezeproof.models.quantized import quantized_layers

RELATIVE_DIFFERENCE = 1e-3


def fold(model, images):
    """A copy of the model without the batch normalisations that directly follow a convolution, or the model itself.

    The copy computes the same logits up to rounding, in fewer passes over memory; it is made for a model in eval mode.
    The model itself is returned where it has no batch normalisation, where it is quantized (tracing would lose the
    gradient of the rounding), where Python control flow keeps it from being traced, or where the copy's logits on
    `images` [N, C, H, W] differ by more than rounding.
    """
    if quantized_layers(model) or not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    try:
        folded = fuse(model)
    except (fx.proxy.TraceError, TypeError, NotImplementedError):
        return model
    with torch.no_grad():
        expected, found = model(images), folded(images)
    close = (expected - found).abs().max() <= RELATIVE_DIFFERENCE * expected.abs().max()
    return folded if close else model
