"""The shortest way from a point of the box [0, 1] to a hyperplane that stays in the box [croce2020fab]."""

import torch

from squeezeproof.norms import Norm

# The most that images of 12,288 pixels took, with heavy-tailed weights, was 16.
ROUNDS = 32


def to_hyperplane(points: torch.Tensor, weights: torch.Tensor, values: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The displacements d [..., D] of least norm with values + weights @ d = 0 and points + d in [0, 1].

    Args:
        points: [..., D] in [0, 1]; the leading dimensions of all arguments broadcast.
        weights: [..., D], the planes' normals. A coordinate of weight 0 stays, and so does a point of weights 0.
        values: [...], the linear functions at the points; d is 0 where they are.
        norm: `linf` or `l2`.

    Where the plane misses the box, d leads to the point of the box that comes nearest to it.

    A coordinate moves by min(level, room) for linf and by min(level |weight|, room) for l2, room being what the box
    leaves it, and the level is the root of a concave, increasing, piecewise linear function. The authors' code sorts
    its breakpoints. Newton's method from 0 is as exact, because it never passes the root and ends on the root's piece,
    and takes a handful of rounds. A row's result does not depend on the rounds that its neighbours need.
    """
    # Whatever the weights' size, their squares neither vanish nor overflow.
    scale = weights.abs().amax(-1, keepdim=True).clamp_min_(torch.finfo(weights.dtype).tiny)
    need = values.abs()[..., None] / scale
    downhill = weights / scale * values.sign()[..., None].neg_()
    steep, direction = downhill.abs(), downhill.sign()
    # 1 - x upwards, x downwards.
    room = direction.clamp_min(0).sub_(direction * points)
    speed = torch.ones_like(need) if norm == Norm.LINF else steep
    rates, gains = steep * speed, steep * room
    # Masks of floats: torch takes several times as long for its operations on booleans.
    free, full = torch.empty_like(room), torch.empty_like(room)
    level = torch.zeros_like(need)
    turn = 0
    while True:
        step = level * speed
        torch.gt(room, step, out=free)
        torch.le(room, step, out=full)
        rate = torch.linalg.vecdot(rates, free)[..., None]
        rest = need - torch.linalg.vecdot(gains, full)[..., None]
        # An infinite level times a speed of 0 would be no number.
        higher = torch.where(rate > 0, rest / rate, level).clamp_max_(torch.finfo(level.dtype).max)
        # Asking a GPU whether a level still rises would wait for it in every round.
        if turn == ROUNDS if level.device.type != "cpu" else not (higher > level).any():
            return torch.minimum(step, room).mul_(direction)
        level = torch.maximum(level, higher)
        turn += 1
