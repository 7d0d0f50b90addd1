"""Adversarial images that an 8-bit image file can carry."""

import torch

from squeezeproof.attacks.ball import norms
from squeezeproof.norms import Norm

BISECTIONS = 12


def to_integers(points: torch.Tensor, clean: torch.Tensor, eps: float | None, norm: Norm) -> torch.Tensor:
    """The uint8 images nearest to `points` whose distance from the uint8 images `clean` stays within eps.

    Args:
        points: pixels float32 [N, C, H, W] in [0, 1].
        clean: uint8 [N, C, H, W].
        eps: radius of the ball in pixel units, None for no ball.
        norm: of the ball.

    For linf every value is rounded, then moved onto the nearest integer inside the ball. For l2 and l1 a perturbation
    that rounding made too long is shortened by the largest factor whose rounding fits. Rounding changes no further
    value, so that it keeps within l0.
    """
    clean = clean.to(torch.float32)
    delta = points * 255 - clean
    rounded = delta.round()
    if eps is not None and norm == Norm.LINF:
        reach = torch.floor(torch.tensor(eps * 255 + 1e-4))
        rounded = rounded.clamp(-reach, reach)
    elif eps is not None and norm != Norm.L0:
        rounded = _shortened(delta, rounded, eps * 255, norm)
    return (clean + rounded).clamp_(0, 255).to(torch.uint8)


def _shortened(delta: torch.Tensor, rounded: torch.Tensor, radius: float, norm: Norm) -> torch.Tensor:
    long = norms(rounded, norm) > radius
    if not long.any():
        return rounded
    delta = delta[long]
    low, high = torch.zeros(len(delta), 1, 1, 1), torch.ones(len(delta), 1, 1, 1)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        fits = (norms((middle * delta).round(), norm) <= radius)[:, None, None, None]
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    rounded[long] = (low * delta).round()
    return rounded
