"""Batch normalisations folded into the convolutions before them, for passes in eval mode."""

import logging

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from squeezeproof.errors import pass_on
from squeezeproof.models.logits import close, unmasked
from squeezeproof.models.quantized import quantized_layers

log = logging.getLogger("squeezeproof")

# Of the length of an example's input gradient: ReLUs next to zero may fall either way.
GRADIENT = 1e-2


def fold(model: nn.Module, images: torch.Tensor) -> nn.Module:
    """A copy of the model without the batch normalisations that directly follow a convolution, or the model itself.

    The copy computes the same logits and input gradients up to rounding, in fewer passes over memory; it is made for a
    model in eval mode. The model itself is returned where it has no batch normalisation, where it is quantized (tracing
    would lose the gradient of the rounding), where anything goes wrong with the copy (it is traced, and Python code may
    do anything with a traced tensor), or where the copy differs on one of `images` [N, C, H, W].
    """
    if quantized_layers(model) or not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    try:
        folded = fuse(model)
        same = agrees(model, folded, images)
    except Exception as error:
        pass_on(error)
        log.info("the model is used as it is, not folded (%s: %s)", type(error).__name__, error)
        return model
    return folded if same else model


def agrees(model: nn.Module, other: nn.Module, images: torch.Tensor) -> bool:
    """Whether another model has the logits and input gradients of `model` on every image, in all that attacks see.

    The gradients are those of a random sum of the logits of the classes that are not masked.
    """
    points = images.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        expected, found = model(points), other(points)
        seen = unmasked(expected.detach())
        weights = torch.randn(expected.shape[1], generator=torch.Generator().manual_seed(0)).to(expected)
        gradient, other_gradient = (
            torch.autograd.grad(torch.where(seen, logits * weights, 0).sum(), points)[0].flatten(1)
            for logits in (expected, found)
        )
    turned = (gradient - other_gradient).norm(dim=1)
    same = close(expected.detach(), found.detach()) & (turned <= GRADIENT * gradient.norm(dim=1))
    return bool(same.all())
