"""Points at a decision boundary, moved until the model that is scored misclassifies them by more than rounding."""

import torch

from squeezeproof.attacks.ball import Plateau, ascend, norms, project
from squeezeproof.attacks.gradient import logits_at, loss_and_gradient
from squeezeproof.attacks.objective import AWAY, Goal, margin, rounding
from squeezeproof.norms import Norm
from squeezeproof.types import Classifier

# Of the clean image's margin and the largest logit: a copy whose margins differ by more is not used (models.fold).
NEAR = 2e-3
TRIES = 10


def confirm(
    model: Classifier,
    *,
    copy: Classifier,
    inputs: torch.Tensor,
    points: torch.Tensor,
    labels: torch.Tensor,
    gaps: torch.Tensor,
    eps: float | None,
    norm: Norm,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a gradient attack on a copy of a model found, moved across the boundaries of the model itself.

    A point moves where the copy misclassifies it and the model does not, and where rounding could turn the model's
    decision around: along the gradient of the model's margin, each try twice as far, until the margin exceeds
    `rounding`. Where no try gets there, within the ball and the box, the point stays. Towards target classes, to
    misclassify is to classify as the target.

    Args:
        model, copy: map pixels [N, C, H, W] in [0, 1] to logits [N, K]; the copy's differ by little.
        inputs, labels: clean pixels and their labels, or the target classes, as `goal` says.
        points: [N, C, H, W] in the ball and the box.
        gaps: absolute margins [N] of the model at the clean pixels.
        eps, norm: the ball; eps None is no ball.
        seed, indices: of the direction where the gradient is exactly zero.

    Returns (points, the model's logits [N, K] at them).
    """
    with torch.no_grad():
        logits = model(points)
    near = goal.margin(logits, labels).abs() <= NEAR * (gaps + logits.abs().amax(1))
    rows = near.nonzero().squeeze(1)
    if len(rows):
        near = [tensor[rows] for tensor in (points, inputs, labels, indices)]
        claimed = goal.reached(logits[rows] if copy is model else logits_at(copy, near[0]), near[2])
        moved, reached, across = _push(model, *near, claimed, eps, norm, seed, goal)
        rows = rows[across]
        points, logits = points.index_copy(0, rows, moved[across]), logits.index_copy(0, rows, reached[across])
    return points, logits


def _push(
    model: Classifier,
    points: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    indices: torch.Tensor,
    claimed: torch.Tensor,
    eps: float | None,
    norm: Norm,
    seed: int,
    goal: Goal,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(points, their logits, which of them moved across by more than rounding); those far from a boundary stay."""
    going, moved, attempt, plateau = claimed, claimed, 0, Plateau(seed, indices)
    while True:
        values, logits, gradient = loss_and_gradient(model, points, labels, goal.margin)
        own = logits.gather(1, labels[:, None]).squeeze(1)
        safe = rounding(own, own + margin(logits, labels), gradient)
        if attempt == 0:
            going = claimed & (values <= 0) | (values.abs() < safe)
            moved = going.clone()
        going &= values < safe
        if attempt == TRIES or not going.any():
            return points, logits, moved & ~going
        slope = norms(gradient, Norm.L2) if norm == Norm.L2 else gradient.abs().flatten(1).sum(1)
        lengths = torch.where(going & (slope > 0), (2 * safe - values) * 2**attempt / slope, 0.0)
        further = points + lengths[:, None, None, None] * ascend(gradient, norm, plateau)
        points = further.clamp_(0, 1) if eps is None else project(further, inputs, eps, norm)
        attempt += 1
