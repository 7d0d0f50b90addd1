"""Projected gradient descent [madry2018] and the basic iterative method [kurakin2017physical]."""

from typing import Any

import torch

from squeezeproof.attacks.ball import Ball, Plateau, ascend, random_point
from squeezeproof.attacks.batch import Batch, Strongest, where
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import AWAY, Goal
from squeezeproof.norms import Norm
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Classifier


def pgd(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    loss: str,
    steps: int,
    alpha: float | None,
    keep: str,
    random_start: bool,
    restarts: int,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> torch.Tensor:
    """Steps of length alpha along the steepest direction of the loss, projected onto the ball and the box.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius of the ball in pixel units.
        norm: `linf` or `l2`.
        loss: a name of LOSSES.
        steps: gradient steps of each run.
        alpha: step size in pixel units; None means 2.5 eps / steps.
        keep: `best` returns the iterate that fools the model with the highest loss, or the highest loss where none
            fools it, over all runs, random starts included; `last` returns the last iterate of the best run.
        random_start: start at a uniform point of the ball instead of at the clean image.
        restarts: independent runs.
        stop_on_success: an example stops at the first point that fools; else it makes all its steps, because a point
            at the edge of the decision boundary transfers badly.
        seed, indices: the start of example i of the batch is a function of (seed, run, indices[i]) alone.
        goal: `AWAY` from `labels`, or `TOWARDS` them: then they are the classes to reach, and to fool is to reach them.

    Returns adversarial pixels inside the ball and the box.
    """
    alpha = 2.5 * eps / steps if alpha is None else alpha
    best, objective = Strongest(inputs), goal.loss(loss)
    for run in range(restarts):
        batch = Batch.of(inputs, labels, indices)
        if stop_on_success:
            batch = batch.keep(~best.fools)
        if len(batch) == 0:
            break
        start, whole = derive_seed(seed, run), keep == "last" and not stop_on_success
        points, plateau, ball = batch.inputs, Plateau(start, batch.indices), Ball(batch.inputs, eps, norm)
        if random_start:
            points = random_point(points, eps, norm, start, batch.indices)
        for step in range(steps):
            values, logits, gradient = loss_and_gradient(model, points, batch.labels, objective)
            # The clean image is no adversarial example, a random start is one.
            if not whole and (step > 0 or random_start):
                fools = goal.reached(logits, batch.labels)
                best.update(points, values, fools, batch.rows)
                kept = where(~fools) if stop_on_success else None
                if kept is not None:
                    batch, points, gradient = batch.take(kept), points[kept], gradient[kept]
                    plateau, ball = plateau.take(kept), ball.take(kept)
                    if len(batch) == 0:
                        break
            uphill = ascend(gradient, norm, plateau)
            points = ball.project(points + alpha * uphill)
        if whole and restarts == 1:
            return points
        if len(batch):
            with torch.no_grad():
                logits = model(points)
            best.update(points, objective(logits, batch.labels), goal.reached(logits, batch.labels), batch.rows)
    return best.points


def bim(model: Classifier, inputs: torch.Tensor, labels: torch.Tensor, **settings: Any) -> torch.Tensor:
    """PGD from the clean image, once; see `pgd` for the arguments."""
    return pgd(model, inputs, labels, random_start=False, restarts=1, **settings)
