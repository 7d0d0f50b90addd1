"""DeepFool [moosavidezfooli2016]."""

import math

import torch

from squeezeproof.attacks.ball import Plateau, ascend, project
from squeezeproof.attacks.batch import Batch, Strongest, where
from squeezeproof.attacks.gradient import difference_gradients, logits_at
from squeezeproof.attacks.objective import fooled, margin, rounding
from squeezeproof.norms import Norm
from squeezeproof.types import Classifier

REFINEMENTS = 3
GREY_LEVEL = 1 / 255


def deepfool(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float | None,
    norm: Norm,
    steps: int,
    overshoot: float,
    candidates: int,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
) -> torch.Tensor:
    """Steps across the nearest boundary of the linearised model, until the image is across the model's own.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius in pixel units of the ball that the result is projected onto; None leaves it as it is.
        norm: the norm to keep small, `l2` or `linf`.
        steps: gradient steps that an example makes at most, each with `candidates` - 1 backward passes.
        overshoot: a step goes 1 + overshoot times the way to the linearised boundary.
        candidates: classes considered: the label's and those with the highest other clean logits.
        stop_on_success: not used, an example is finished where it crosses the boundary.
        seed, indices: of the direction where all gradients are exactly zero.

    Returns pixels in the box: a point that the model misclassifies, or where no step reached one, the point with the
    highest margin among those they reached. Images that the model already misclassifies come back unchanged.

    Differences from the paper and from foolbox and torchattacks, which clip each step to the box: the steps after the
    first leave out the pixels that the box would hold back, so that they are few also where much is black or white.
    The references' points lie on the boundary, where another batch size rounds some of them back; here a point is
    across when its margin exceeds `rounding`. The step that crossed is then shortened to just that by the
    regula falsi, so that on a linear model the perturbation is between 1 and 1 + overshoot times the smallest one.
    """
    logits = logits_at(model, inputs)
    right = ~fooled(logits, labels)
    batch = Batch.of(inputs, labels, indices).keep(right)
    others = _rivals(logits, labels, candidates)[right]
    points, best, plateau = batch.inputs, Strongest(inputs), Plateau(seed, batch.indices)
    origins, before, safe = inputs.clone(), torch.zeros_like(best.values), torch.zeros_like(best.values)
    for step in range(steps):
        if len(batch) == 0:
            break
        logits, gradients = difference_gradients(model, points, batch.labels, others)
        if step > 0:
            gradients = _inwards(points, gradients)
        distances, lacks, doubts, gradient = _nearest(logits, gradients, batch.labels, others, norm)
        origins[batch.rows], before[batch.rows], safe[batch.rows] = points, -lacks, doubts
        move = _images(distances * (1 + overshoot)) * ascend(gradient, norm, plateau)
        points = (points + move).clamp_(0, 1)
        # To sort out the examples that are across costs one forward pass and saves `candidates` - 1 backward ones.
        excess = margin(logits_at(model, points), batch.labels) - doubts
        short = excess <= 0
        best.update(points, excess, ~short, batch.rows)
        kept = where(short)
        if kept is not None:
            batch, points, others = batch.take(kept), points[kept], others[kept]
            plateau = plateau.take(kept)
    crossed = best.fools.nonzero().squeeze(1)
    if len(crossed):
        last = origins[crossed], best.points[crossed], before[crossed], best.values[crossed]
        best.points[crossed] = _shorten(model, *last, labels[crossed], safe[crossed])
    return best.points if eps is None else project(best.points, inputs, eps, norm)


def _rivals(logits: torch.Tensor, labels: torch.Tensor, candidates: int) -> torch.Tensor:
    """The `candidates` - 1 classes with the highest logits but the label's, [N, T]."""
    rest = logits.scatter(1, labels[:, None], float("-inf"))
    return rest.topk(min(candidates, logits.shape[1]) - 1, dim=1).indices


def _inwards(points: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """The gradients [N, T, C, H, W] without the entries that point out of the box at its edge."""
    lowest, highest = torch.where(points > 0, -math.inf, 0.0), torch.where(points < 1, math.inf, 0.0)
    return gradients.clamp(lowest[:, None], highest[:, None])


def _nearest(
    logits: torch.Tensor, gradients: torch.Tensor, labels: torch.Tensor, others: torch.Tensor, norm: Norm
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The nearest linearised boundary: the distance [N] to just across it, what the class behind it lacks to be across,
    [N], how much of that is for rounding, [N], and the gradient [N, C, H, W] towards it."""
    own, rest = logits.gather(1, labels[:, None]), logits.gather(1, others)
    safe = rounding(own, rest, gradients)
    lacks = own - rest + safe
    slopes = torch.linalg.vector_norm(gradients.flatten(2), 1 if norm == Norm.LINF else 2, dim=2)
    distances, nearest = torch.where(slopes > 0, (lacks + safe) / slopes, math.inf).min(1)
    rows = torch.arange(len(labels), device=labels.device)
    lacks, safe, gradient = lacks[rows, nearest], safe[rows, nearest], gradients[rows, nearest]
    # On a plateau no boundary is in sight, and a step changes each pixel by about a grey level.
    plateau = GREY_LEVEL * (1 if norm == Norm.LINF else math.sqrt(gradient[0].numel()))
    return torch.where(distances.isinf(), plateau, distances), lacks, safe, gradient


@torch.no_grad()
def _shorten(
    model: Classifier,
    low: torch.Tensor,
    high: torch.Tensor,
    under: torch.Tensor,
    over: torch.Tensor,
    labels: torch.Tensor,
    safe: torch.Tensor,
) -> torch.Tensor:
    """The points `high` across the boundary, moved towards `low` as far as they stay across.

    Args:
        under, over: by how much the margin exceeds `safe` [N] at `low` and `high`, [N]; at `low` that of the class the
            step led to, because the runner-up there may be another one.
    """
    # What is for rounding differs from point to point, so that one which was not across may seem to be by a little.
    under = under.clamp_max(0)
    for _ in range(REFINEMENTS):
        # A point that aims at the boundary itself would as often miss it.
        middle = torch.lerp(high, low, _images(0.99 * over / (over - under)))
        excess = margin(model(middle), labels) - safe
        across = excess > 0
        low, high = torch.where(_images(across), low, middle), torch.where(_images(across), middle, high)
        under, over = torch.where(across, under, excess), torch.where(across, excess, over)
    return high


def _images(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]
