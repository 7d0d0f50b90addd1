"""RayS [chen2020]: a search along rays to the corners of the ball, by labels alone."""

import torch

from squeezeproof.attacks.batch import where
from squeezeproof.attacks.objective import fooled
from squeezeproof.norms import Norm
from squeezeproof.types import Classifier


@torch.no_grad()
def rays(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    queries: int,
    tolerance: float,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
) -> torch.Tensor:
    """Search for the ray x + r s, every sign of s 1 or -1, that meets a wrong label at the smallest radius r.

    The signs of one block of the image after the other are turned: of the whole, then of halves, quarters and so on,
    down to single values, and then of the whole again. One query tells whether a turned ray is wrong at the smallest
    radius known; only then its own radius is searched by bisection. Where the authors' code differs: it has no last
    query, and its radius is of the Euclidean norm.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode; nothing but the order of the highest
            two is looked at.
        inputs, labels: clean pixels and their labels.
        eps: radius of the ball in pixel units.
        norm: `linf`.
        queries: labels asked for each example, at least 2: one is of the clean image, the last one of the best ray at
            eps.
        tolerance: width in pixel units at which a bisection ends.
        stop_on_success: an example stops at the first point that fools inside the ball; else it makes all its queries.
        seed, indices: not used, nothing is drawn.

    Returns pixels inside the ball and the box: on the best ray of each example, at eps where the source is wrong there,
    or at the smallest radius known.
    """
    inputs = inputs.contiguous()
    found, rows = _Rays(inputs, labels), torch.arange(len(inputs), device=inputs.device)
    found.radius = torch.where(fooled(model(inputs), labels), 0.0, found.radius)
    radius, signs = found.radius.clone(), found.signs.clone()
    for _ in range(queries - 2):
        kept = where(found.radius > eps) if stop_on_success else None
        if kept is not None:
            found, rows = found.take(kept), rows[kept]
            if len(rows) == 0:
                break
        found.ask(model, tolerance)
        radius[rows], signs[rows] = found.radius, found.signs
    inside = radius <= eps
    if stop_on_success:
        at_eps = ~inside
    else:
        at_eps = ~inside | fooled(model(_point(inputs, signs, torch.full_like(radius, eps))), labels)
    return _point(inputs, signs, torch.where(at_eps, eps, radius))


class _Rays:
    """The best ray of each of n examples, and where its search goes on.

    Attributes:
        signs: of the best ray, [n, values of an image].
        radius: smallest at which it is known to be wrong, [n]; 1, where the ray has reached a corner of the box, is
            also that of rays that may be right everywhere.
        low: radius at which it may be right; below `radius` by more than the tolerance while its bisection goes on.
        bisects: whether it does, [n].
        level, block: the next block whose signs are turned, of 2 ** level; level -1 is the ray of ones itself, [n].
    """

    def __init__(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        self.inputs, self.labels = inputs, labels
        self.radius = torch.ones(len(inputs), device=inputs.device)
        self.signs = torch.ones_like(inputs.flatten(1))
        self.low = torch.zeros_like(self.radius)
        self.bisects = torch.zeros_like(labels, dtype=torch.bool)
        self.level, self.block = torch.full_like(labels, -1), torch.zeros_like(labels)

    def take(self, kept: torch.Tensor) -> "_Rays":
        """The examples of some positions, int64 [m]."""
        taken = _Rays(self.inputs[kept], self.labels[kept])
        for name in ("radius", "signs", "low", "bisects", "level", "block"):
            setattr(taken, name, getattr(self, name)[kept])
        return taken

    def ask(self, model: Classifier, tolerance: float) -> None:
        """Make one query for every example, and learn from its answer."""
        values = self.signs.shape[1]
        size = (values / 2.0 ** self.level.clamp_min(0)).ceil().long()
        places = torch.arange(values, device=size.device)
        turned = (places // size[:, None] == self.block[:, None]) & ((self.level >= 0) & ~self.bisects)[:, None]
        signs = torch.where(turned, -self.signs, self.signs)
        radius = torch.where(self.bisects, (self.low + self.radius) / 2, self.radius)
        wrong = fooled(model(_point(self.inputs, signs, radius)), self.labels)
        better = wrong & ~self.bisects
        self.signs = torch.where(better[:, None], signs, self.signs)
        self.radius = torch.where(wrong, radius, self.radius)
        self.low = torch.where(better, 0.0, torch.where(self.bisects & ~wrong, radius, self.low))
        bisects = (self.bisects | better) & (self.radius - self.low > tolerance)
        self._turn_next(~bisects, size)
        self.bisects = bisects

    def _turn_next(self, done: torch.Tensor, size: torch.Tensor) -> None:
        """Go on with the next block of the examples that are done with theirs."""
        values = self.signs.shape[1]
        block = self.block + 1
        last = (self.level < 0) | (block * size >= values)
        level = torch.where(last, self.level + 1, self.level)
        level = torch.where(last & (size == 1) & (self.level >= 0), 0, level)
        self.level = torch.where(done, level, self.level)
        self.block = torch.where(done, torch.where(last, 0, block), self.block)


def _point(inputs: torch.Tensor, signs: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return (inputs + radius[:, None, None, None] * signs.view_as(inputs)).clamp(0, 1)
