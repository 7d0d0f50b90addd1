"""The fast adaptive boundary attack FAB [croce2020fab]."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from squeezeproof.attacks.ball import TINY, norms, project
from squeezeproof.attacks.batch import Batch, Strongest, where
from squeezeproof.attacks.gradient import difference_by_class, logits_at
from squeezeproof.attacks.hyperplane import to_hyperplane
from squeezeproof.attacks.objective import fooled, margin
from squeezeproof.attacks.random import normal, uniform
from squeezeproof.norms import Norm
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Classifier

# The reference's eps where none is given.
RADIUS = {Norm.LINF: 0.3, Norm.L2: 1.0}


def fab(model: Classifier, inputs: torch.Tensor, labels: torch.Tensor, **settings: Any) -> torch.Tensor:
    """The smallest perturbation, by steps to the nearest class's linearised boundary that are biased towards the image.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius in pixel units within which a crossing counts as success, or None: any is one.
        norm: `linf` or `l2`, the norm that is minimised.
        steps: of each run; one costs two forward passes and K - 1 backward passes.
        restarts: runs. The first starts at the clean image, the others at half the smallest crossing's distance (eps
            where none was found, 0.3 for linf and 1 for l2 where eps is None) from it, in a random direction.
        alpha_max: in [0, 1], largest weight of the clean image's own projection onto the boundary.
        eta: at least 1, the part of the way to the linearised boundary that a step goes.
        beta: in (0, 1), what a step back towards the clean image leaves of a perturbation that crosses.
        stop_on_success: with a number for eps, an example stops at its first crossing within eps, which need not be the
            smallest; else it makes all steps of all runs.
        seed, indices: the starts of example i of the batch are a function of (seed, run, indices[i]) alone.

    Returns pixels in the box: of each example the smallest crossing within eps, or else, projected onto the ball, the
    highest margin visited. What the model already misclassifies is returned unchanged.

    As AutoAttack's code, it does without the paper's final search. Unlike there, an example whose step is blocked,
    because the gradient is zero or the box ends, goes on from a random start instead of staying where it is.
    """
    return _attack(model, inputs, labels, lambda rivals: [rivals], **settings)


def fab_t(
    model: Classifier, inputs: torch.Tensor, labels: torch.Tensor, *, targets: int, **settings: Any
) -> torch.Tensor:
    """FAB towards one class at a time, in runs of their own with one backward pass per step; see `fab`.

    Args:
        targets: how many classes, from the highest clean logit down; at most the K - 1 others are tried.
    """
    return _attack(model, inputs, labels, lambda rivals: rivals[:, :targets].split(1, dim=1), **settings)


def _attack(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    group: Callable[[torch.Tensor], Sequence[torch.Tensor]],
    *,
    eps: float | None,
    norm: Norm,
    steps: int,
    restarts: int,
    alpha_max: float,
    eta: float,
    beta: float,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
) -> torch.Tensor:
    """One series of runs for each group [N, T] of the other classes [N, K - 1], highest clean logit first."""
    logits = logits_at(model, inputs)
    rivals = logits.scatter(1, labels[:, None], float("-inf")).argsort(dim=1, descending=True, stable=True)[:, :-1]
    correct = Batch.of(inputs, labels, indices).keep(~fooled(logits, labels))
    best = Strongest(inputs)
    limit, default = (float("inf"), RADIUS[norm]) if eps is None else (eps, eps)
    stops = stop_on_success and eps is not None
    runs = [(index, others, run) for index, others in enumerate(group(rivals)) for run in range(restarts)]
    for index, others, run in runs:
        batch = correct.keep(~best.fools[correct.rows]) if stops else correct
        radius = torch.where(best.fools, -best.values, default) / 2
        points = batch.inputs
        if run > 0:
            points = _random_start(batch, radius, norm, derive_seed(seed, index, run))
        for step in range(steps):
            if len(batch) == 0:
                break
            values, normals = _nearest_boundary(model, points, batch.labels, others[batch.rows], norm)
            points, blocked = _step(points, batch.inputs, values, normals, norm, alpha_max, eta)
            # Asking a GPU which are blocked would wait for it at every step.
            if points.device.type != "cpu" or blocked.any():
                start = _random_start(batch, radius, norm, derive_seed(seed, index, run, step))
                points = torch.where(blocked[:, None, None, None], start, points)
            logits = logits_at(model, points)
            crosses, length = fooled(logits, batch.labels), norms(points - batch.inputs, norm)
            broken = crosses & (length <= limit)
            best.update(points, torch.where(broken, -length, margin(logits, batch.labels)), broken, batch.rows)
            points = torch.where(crosses[:, None, None, None], torch.lerp(batch.inputs, points, beta), points)
            kept = where(~broken) if stops else None
            if kept is not None:
                batch, points = batch.take(kept), points[kept]
    if eps is None:
        return best.points
    # A crossing lies so near to the boundary that the rounding of a projection could undo it.
    return torch.where(best.fools[:, None, None, None], best.points, project(best.points, inputs, eps, norm))


def _nearest_boundary(
    model: Classifier, points: torch.Tensor, labels: torch.Tensor, others: torch.Tensor, norm: Norm
) -> tuple[torch.Tensor, torch.Tensor]:
    """z[other] - z[label] [N] and its gradient [N, C, H, W] for the class of `others` whose linearised boundary is
    nearest to the point, the box left aside."""
    logits, gradients = difference_by_class(model, points, labels, others)
    differences = logits.gather(1, others) - logits.gather(1, labels[:, None])
    least, values, normals = torch.full_like(differences[:, 0], torch.inf), differences[:, 0], torch.zeros_like(points)
    for index, gradient in enumerate(gradients):
        value, flat = differences[:, index], gradient.flatten(1)
        dual = flat.abs().sum(1) if norm == Norm.LINF else flat.norm(dim=1)
        distance = value.abs() / dual.clamp_min(TINY)
        nearer = distance < least
        least, values = torch.where(nearer, distance, least), torch.where(nearer, value, values)
        normals = torch.where(nearer[:, None, None, None], gradient, normals)
    return values, normals


def _step(
    points: torch.Tensor,
    inputs: torch.Tensor,
    values: torch.Tensor,
    normals: torch.Tensor,
    norm: Norm,
    alpha_max: float,
    eta: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next points, and bool [N]: the way from the point to the boundary is blocked.

    Both the point and the image go beyond the boundary by eta; the nearer one's move weighs more.
    """
    ends, normals = torch.stack([points, inputs]).flatten(2), normals.flatten(1)
    # Differences of two large products would lose the digits of a value near the boundary.
    shift = torch.linalg.vecdot(normals, ends[1] - ends[0])
    moves = to_hyperplane(ends, normals, torch.stack([values, values + shift]), norm)
    near, far = norms(moves.flatten(0, 1), norm).view(2, -1)
    alpha = (near / (near + far).clamp_min(TINY)).clamp_max(alpha_max)
    ends.add_(moves, alpha=eta)
    return torch.lerp(*ends, alpha[:, None]).clamp_(0, 1).view_as(points), near == 0


def _random_start(batch: Batch, radius: torch.Tensor, norm: Norm, seed: int) -> torch.Tensor:
    """Points at the distance radius[row] from the images, clipped to the box."""
    shape = batch.inputs.shape[1:]
    if norm == Norm.LINF:
        noise = uniform(seed, batch.indices, shape, stream=0).sub_(0.5)
    else:
        noise = normal(seed, batch.indices, shape, stream=0)
    scale = radius[batch.rows] / norms(noise, norm).clamp_min(TINY)
    return (batch.inputs + scale[:, None, None, None] * noise).clamp_(0, 1)
