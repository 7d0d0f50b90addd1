"""Adversarial images that an 8-bit image file can carry."""

from collections.abc import Callable

import torch

from squeezeproof.attacks.ball import norms
from squeezeproof.norms import Norm
from squeezeproof.store.datasets import to_pixels

BISECTIONS = 12
# Of a perturbation whose success rounding undoes. Crossings of an unprotected network may be shorter than half a step
# of the grid in all values.
FACTORS = (1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 64.0)


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


def carried(
    points: torch.Tensor,
    clean: torch.Tensor,
    eps: float | None,
    norm: Norm,
    reached: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Images of 8 bits that succeed where the points of an attack do, if any does in the ball.

    Where rounding undoes a success, the perturbation is lengthened by the first of FACTORS with which the rounded
    image succeeds. Where none does, the image is the nearest one.

    Args:
        points, clean, eps, norm: as in `to_integers`; the points may lie on any device.
        reached: (pixels [n, C, H, W], their rows [n]) -> whether they succeed, bool [n] on the CPU.

    Returns (uint8 images [N, C, H, W], which points succeed [N], which of these successes the images lack [N], how many
    lengthened images were tried).
    """
    every, tries = torch.arange(len(points)), 0
    stored, succeeds = to_integers(points.cpu(), clean, eps, norm), reached(points, every)
    undone = succeeds & ~reached(to_pixels(stored, points.device), every)
    for factor in FACTORS:
        rows = undone.nonzero().squeeze(1)
        if len(rows) == 0:
            break
        start = to_pixels(clean[rows], "cpu")
        longer = (start + factor * (points[rows].cpu() - start)).clamp_(0, 1)
        longer = to_integers(longer, clean[rows], eps, norm)
        there, tries = reached(to_pixels(longer, points.device), rows), tries + len(rows)
        stored[rows[there]], undone[rows] = longer[there], ~there
    return stored, succeeds, undone, tries


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
