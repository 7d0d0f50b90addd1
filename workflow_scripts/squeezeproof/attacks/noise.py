"""Uniform random noise: the control that every attack must beat [carlini2019]."""

import torch

from squeezeproof.attacks.ball import random_point
from squeezeproof.attacks.batch import Batch, Strongest
from squeezeproof.attacks.gradient import check_finite
from squeezeproof.attacks.objective import AWAY, Goal
from squeezeproof.norms import Norm
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Classifier


@torch.no_grad()
def noise(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    samples: int,
    loss: str,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> torch.Tensor:
    """The strongest of `samples` uniform random points of the ball; needs no gradient.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius of the ball in pixel units.
        norm: `linf` or `l2`.
        samples: points tried for each example, at least 1.
        loss: a name of LOSSES, by which points that fool, or points that do not, are compared.
        stop_on_success: an example stops at the first point that fools; else it tries all points.
        seed, indices: the points of example i of the batch are a function of (seed, indices[i]) alone.
        goal: `AWAY` from `labels`, or `TOWARDS` them: then they are the classes to reach, and to fool is to reach them.

    Returns noisy pixels inside the ball and the box. Raises InputError where the model's loss is not finite.
    """
    best, batch = Strongest(inputs), Batch.of(inputs, labels, indices)
    for sample in range(samples):
        points = random_point(batch.inputs, eps, norm, derive_seed(seed, "noise", sample), batch.indices)
        logits = model(points)
        fools = goal.reached(logits, batch.labels)
        best.update(points, goal.loss(loss)(logits, batch.labels), fools, batch.rows)
        if stop_on_success:
            batch = batch.keep(~fools)
            if len(batch) == 0:
                break
    check_finite(torch.isfinite(best.values).all())
    return best.points
