"""The gradient of an attack's loss with respect to its input, and nothing else."""

import torch

from squeezeproof.errors import InputError


def loss_and_gradient(model, points, labels, loss):
    """Per-example loss [N], logits [N, K] and the loss's input gradient [N, C, H, W] at `points`.

    Raises InputError where the model gives no gradient to its input, or one that is not finite.
    """
    points = points.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(points)
        values = loss(logits, labels)
    if not values.requires_grad:
        raise InputError("the model gives no gradient to its input, so a gradient attack would say nothing about it")
    (gradient,) = torch.autograd.grad(values.sum(), points, allow_unused=True)
    if gradient is None:
        raise InputError(
            "the model's logits do not depend on its input, so a gradient attack would say nothing about it"
        )
    # The sign of a NaN is 0: the example would stay where it is and count as robust.
    if not torch.isfinite(gradient).all():
        raise InputError("the model's logits or their gradient are not finite, so an attack would say nothing about it")
    return values.detach(), logits.detach(), gradient
