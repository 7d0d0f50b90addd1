"""The ball {x + d : ||d||_p <= eps} cut with the box [0, 1], for images [N, C, H, W] in float32."""

import torch

from squeezeproof.attacks.random import normal, uniform

TINY = 1e-12


def project(points, centers, eps, norm):
    """The points moved onto the ball around `centers`, then onto the box; the box holds exactly, the ball to rounding.

    For linf the result is the nearest point of the intersection; for l2 clipping to the box after the radial
    projection never lengthens a perturbation, so the point stays inside both.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(points, centers - eps), centers + eps).clamp_(0, 1)
    delta = points - centers
    length = norms(delta, norm).clamp_min(TINY)
    return (centers + delta * (eps / length).clamp_max(1)[:, None, None, None]).clamp_(0, 1)


def steepest(gradient, norm):
    """The direction of unit norm that raises the loss fastest; zero where the gradient is zero."""
    if norm == "linf":
        return gradient.sign()
    # Scaling by the largest entry first keeps the square of a tiny gradient from vanishing.
    scaled = gradient / gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
    return scaled / norms(scaled, norm).clamp_min(TINY)[:, None, None, None]


def norms(delta, norm):
    """The norm of each perturbation, [N]."""
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def random_point(centers, eps, norm, seed, examples):
    """A uniform point of each ball, clipped to the box; that of example i depends on (seed, examples[i]) alone."""
    shape = centers.shape[1:]
    if norm == "linf":
        noise = uniform(seed, examples, shape, stream=0).mul_(2).sub_(1)
        return (centers + eps * noise).clamp_(0, 1)
    direction = normal(seed, examples, shape, stream=0)
    direction = direction / norms(direction, norm).clamp_min(TINY)[:, None, None, None]
    radius = uniform(seed, examples, (1,), stream=2).flatten() ** (1 / centers[0].numel())
    return project(centers + eps * radius[:, None, None, None] * direction, centers, eps, norm)
