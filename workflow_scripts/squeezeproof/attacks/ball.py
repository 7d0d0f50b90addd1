"""The ball {x + d : ||d||_p <= eps} cut with the box [0, 1], for images [N, C, H, W] in float32.

For l0 the norm is the number of values, not of pixels, that change by more than rounding.
"""

import torch

from squeezeproof.attacks.random import normal, uniform
from squeezeproof.norms import Norm

TINY = 1e-12
# Half of what a point may be outside of its ball (attacks.checks).
ROUNDED = 5e-7
# Of a value of an image, which is changed where it differs by more.
CHANGED = 1e-6
# Streams 0 to 2 draw the random points.
PLATEAU = 3


def project(points: torch.Tensor, centers: torch.Tensor, eps: float | torch.Tensor, norm: Norm) -> torch.Tensor:
    """The points moved onto the ball around `centers`, then onto the box; the box holds exactly, the ball to rounding.

    Centers lie in the box. For linf the result is the nearest point of the intersection; for the others clipping to the
    box after the projection never lengthens a perturbation, so the point stays inside both. For l1 values are lowered
    by what is too long, all by the same but those that reach zero [duchi2008]; for l0 the largest changes stay.
    """
    if norm == Norm.LINF:
        return torch.minimum(torch.maximum(points, centers - eps), centers + eps).clamp_(0, 1)
    delta = points - centers
    if norm in (Norm.L1, Norm.L0):
        kept = _nearest_l1(delta, eps) if norm == Norm.L1 else _largest(delta, eps)
        moved = torch.where(kept != 0, centers + kept, centers).clamp_(0, 1)
        return moved if norm == Norm.L0 else _rounded_inwards(moved, centers, eps, norm)
    length = norms(delta, norm).clamp_min(TINY)
    moved = (centers + delta * (eps / length).clamp_max(1)[:, None, None, None]).clamp_(0, 1)
    return _rounded_inwards(moved, centers, eps, norm)


def _rounded_inwards(
    points: torch.Tensor, centers: torch.Tensor, eps: float | torch.Tensor, norm: Norm
) -> torch.Tensor:
    """The points of a ball, those that the rounding of their values took out of it by more than ROUNDED moved back.

    Where many values of an image are alike, such as a white ground, all may be rounded outwards. The next number
    towards the center is nearer than the one that was rounded.
    """
    least = eps.clamp_min(1) if isinstance(eps, torch.Tensor) else max(1.0, eps)
    out = norms(points - centers, norm) > eps + ROUNDED * least
    if points.device.type == "cpu" and not out.any():
        return points
    return torch.where(out[:, None, None, None], torch.nextafter(points, centers), points)


class Ball:
    """`project` onto the balls around the same centers [N, C, H, W], many times: what it can know before is kept."""

    def __init__(self, centers: torch.Tensor, eps: float, norm: Norm) -> None:
        self.centers, self.eps, self.norm = centers, eps, norm
        # The nearest point of two nested intervals lies between the inner bounds.
        self._bounds = ((centers - eps).clamp_(min=0), (centers + eps).clamp_(max=1)) if norm == Norm.LINF else None

    def project(self, points: torch.Tensor) -> torch.Tensor:
        if self._bounds is None:
            return project(points, self.centers, self.eps, self.norm)
        return torch.clamp(points, *self._bounds)

    def take(self, kept: torch.Tensor) -> "Ball":
        """Those of some positions, int64 [m]."""
        return Ball(self.centers[kept], self.eps, self.norm)


def _nearest_l1(delta: torch.Tensor, eps: float | torch.Tensor) -> torch.Tensor:
    """The nearest perturbations [N, C, H, W] of l1 norm eps at most."""
    size = delta.flatten(1).abs().double()
    ordered = size.sort(1, descending=True).values
    excess = (ordered.cumsum(1) - eps) / torch.arange(1, size.shape[1] + 1, device=delta.device)
    # The last value that stays above what it is lowered by decides by how much.
    last = (ordered > excess).sum(1, keepdim=True).clamp_min(1) - 1
    lowered = (size - excess.gather(1, last).clamp_min(0)).clamp_min(0)
    return (lowered * delta.flatten(1).sign()).to(delta).view_as(delta)


def _largest(delta: torch.Tensor, eps: float | torch.Tensor) -> torch.Tensor:
    """The perturbations with nothing but the `eps` values that are changed most."""
    size = delta.flatten(1).abs()
    values = min(int(eps), size.shape[1])
    kept = torch.zeros_like(size).scatter_(1, size.topk(values, dim=1).indices, 1)
    return torch.where((kept > 0) & (size > CHANGED), delta.flatten(1), 0).view_as(delta)


class Plateau:
    """What examples step along where their gradient is exactly zero: noise, because there any direction is as good.

    The noise of example i depends on (seed, indices[i]) alone, so that repeated steps leave the plateau.
    """

    def __init__(self, seed: int, indices: torch.Tensor, noise: torch.Tensor | None = None) -> None:
        self.seed, self.indices, self.noise = seed, indices, noise

    def take(self, kept: torch.Tensor) -> "Plateau":
        """That of the examples of some positions, int64 [m]."""
        return Plateau(self.seed, self.indices[kept], None if self.noise is None else self.noise[kept])

    def leave(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradients [N, C, H, W] of all examples, and noise in the place of those that are exactly zero."""
        flat, shape = peaks(gradient) == 0, gradient.shape[1:]
        if gradient.device.type != "cpu":
            # Asking which are flat would wait for the device at every step; so all noise is drawn, once.
            if self.noise is None:
                self.noise = uniform(self.seed, self.indices, shape, stream=PLATEAU).sub_(0.5)
            return torch.where(flat[:, None, None, None], self.noise, gradient)
        if flat.any():
            gradient = gradient.clone()
            gradient[flat] = uniform(self.seed, self.indices[flat], shape, stream=PLATEAU).sub_(0.5)
        return gradient


def ascend(gradient: torch.Tensor, norm: Norm, plateau: Plateau) -> torch.Tensor:
    """`steepest`, but a random direction where the gradient is exactly zero."""
    return steepest(plateau.leave(gradient), norm)


def steepest(gradient: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The direction of unit norm that raises the loss fastest; zero where the gradient is zero."""
    if norm == Norm.LINF:
        return gradient.sign()
    # Scaling by the largest entry first keeps the square of a tiny gradient from vanishing.
    scaled = gradient / gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
    return scaled / norms(scaled, norm).clamp_min(TINY)[:, None, None, None]


def norms(delta: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The norm of each perturbation, [N]."""
    flat = delta.flatten(1)
    if norm == Norm.L0:
        return (flat.abs() > CHANGED).sum(1).to(delta)
    if norm == Norm.LINF:
        return peaks(delta)
    # In float32 the sum of an image's values would be off by more than the slack of a ball.
    return torch.linalg.vector_norm(flat, 1 if norm == Norm.L1 else 2, dim=1, dtype=torch.float64).to(delta)


def peaks(tensor: torch.Tensor) -> torch.Tensor:
    """The largest absolute entry of each example [N]; NaN where one is NaN."""
    # On CPUs torch's vector norm takes ten times as long.
    return tensor.abs().flatten(1).amax(1)


def random_point(
    centers: torch.Tensor, eps: float | torch.Tensor, norm: Norm, seed: int, indices: torch.Tensor
) -> torch.Tensor:
    """A uniform point of each ball, clipped to the box; that of example i depends on (seed, indices[i]) alone."""
    shape = centers.shape[1:]
    if norm == Norm.LINF:
        noise = uniform(seed, indices, shape, stream=0).mul_(2).sub_(1)
        return (centers + eps * noise).clamp_(0, 1)
    direction = normal(seed, indices, shape, stream=0)
    direction = direction / norms(direction, norm).clamp_min(TINY)[:, None, None, None]
    # torch's float32 power rounds by a number's place in memory, so by the batch.
    radius = (uniform(seed, indices, (1,), stream=2).flatten().double() ** (1 / centers[0].numel())).float()
    return project(centers + eps * radius[:, None, None, None] * direction, centers, eps, norm)


def surface_point(centers: torch.Tensor, eps: float, norm: Norm, seed: int, indices: torch.Tensor) -> torch.Tensor:
    """A point of each ball's surface, clipped to the box; that of example i depends on (seed, indices[i]) alone."""
    draw = uniform if norm == Norm.LINF else normal
    noise = draw(seed, indices, centers.shape[1:], stream=0)
    if norm == Norm.LINF:
        noise = noise.mul_(2).sub_(1)
    scale = eps / norms(noise, norm).clamp_min(TINY)
    return project(centers + scale[:, None, None, None] * noise, centers, eps, norm)
