"""Momentum and input diversity, which make examples transfer: MI-FGSM [dong2018], DI-FGSM [xie2019]."""

from collections.abc import Callable
from functools import partial
from typing import NotRequired, TypedDict, Unpack

import torch
from torch.nn import functional

from squeezeproof.attacks.ball import Ball, Plateau, ascend
from squeezeproof.attacks.batch import Batch, Strongest, where
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import AWAY, Goal
from squeezeproof.attacks.random import uniform
from squeezeproof.norms import Norm
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Classifier


class Shared(TypedDict):
    """The settings that both attacks have; `mifgsm` says what each means."""

    eps: float
    norm: Norm
    loss: str
    steps: int
    alpha: float | None
    decay: float
    stop_on_success: bool
    indices: torch.Tensor
    goal: NotRequired[Goal]


def mifgsm(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    keep: str,
    seed: int,
    **settings: Unpack[Shared],
) -> torch.Tensor:
    """Steps along a running sum of gradients scaled to mean absolute value 1, projected onto the ball and the box.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius of the ball in pixel units.
        norm: `linf` or `l2`.
        loss: a name of LOSSES.
        steps: gradient steps.
        alpha: step size in pixel units; None means eps / steps.
        decay: of the running sum.
        keep: `best` returns the iterate that fools the model with the highest loss, or the highest loss where none
            fools it; `last` returns the last iterate, as the paper does.
        stop_on_success: an example stops at the first point that fools; else it makes all its steps.
        seed, indices: of the direction where the gradients are exactly zero.
        goal: `AWAY` from `labels`, or `TOWARDS` them: then they are the classes to reach, and to fool is to reach them.

    Returns adversarial pixels inside the ball and the box.
    """
    return _iterate(model, inputs, labels, None, keep=keep, seed=seed, **settings)


def difgsm(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    smallest: float,
    probability: float,
    seed: int,
    **settings: Unpack[Shared],
) -> torch.Tensor:
    """MI-FGSM whose gradients are taken at images that are shrunk at random and padded with zeros, for transfer.

    Args:
        smallest: smallest side of a shrunk image, as a fraction of the side; images keep their form.
        probability: that the images of a step are shrunk.

    The other arguments are those of `mifgsm`, without `keep`. The images of a step share their size and place, which
    depend on (seed, step) alone. Returns the last iterate: the loss at a shrunk image does not rank the iterates.
    """

    def diversity(step: int) -> partial[torch.Tensor] | None:
        drawn = uniform(derive_seed(seed, "diversity"), torch.tensor([step]), (4,), stream=0)[0].tolist()
        if drawn[0] >= probability:
            return None
        sides, share = inputs.shape[-2:], smallest + (1 - smallest) * drawn[1]
        sizes = [max(1, round(side * share)) for side in sides]
        free = [side - size for side, size in zip(sides, sizes, strict=True)]
        top, left = (int(place * (room + 1)) for place, room in zip(drawn[2:], free, strict=True))
        return partial(_shrink, sizes=sizes, around=(left, free[1] - left, top, free[0] - top))

    return _iterate(model, inputs, labels, diversity, keep="last", seed=seed, **settings)


def _shrink(points: torch.Tensor, sizes: list[int], around: tuple[int, int, int, int]) -> torch.Tensor:
    shrunk = functional.interpolate(points, size=sizes, mode="bilinear", align_corners=False)
    return functional.pad(shrunk, around)


def _iterate(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    diversity: Callable[[int], partial[torch.Tensor] | None] | None,
    *,
    eps: float,
    norm: Norm,
    loss: str,
    steps: int,
    alpha: float | None,
    decay: float,
    keep: str,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> torch.Tensor:
    """See `mifgsm`; `diversity` maps a step to what is done to the images whose gradient it takes, if anything."""
    alpha = eps / steps if alpha is None else alpha
    best, batch, points, objective = Strongest(inputs), Batch.of(inputs, labels, indices), inputs, goal.loss(loss)
    direction, plateau, ball = torch.zeros_like(inputs), Plateau(seed, indices), Ball(inputs, eps, norm)
    for step in range(steps):
        transform = diversity(step) if diversity else None
        values, logits, gradient = loss_and_gradient(model, points, batch.labels, objective, transform)
        # The clean image is no adversarial example, and a shrunk one is not the point itself.
        if step > 0 and transform is None and (keep == "best" or stop_on_success):
            fools = goal.reached(logits, batch.labels)
            best.update(points, values, fools, batch.rows)
            kept = where(~fools) if stop_on_success else None
            if kept is not None:
                batch, points, ball = batch.take(kept), points[kept], ball.take(kept)
                gradient, direction, plateau = gradient[kept], direction[kept], plateau.take(kept)
                if len(batch) == 0:
                    return best.points
        size = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        direction = decay * direction + gradient / size.clamp_min(torch.finfo(gradient.dtype).tiny)
        points = ball.project(points + alpha * ascend(direction, norm, plateau))
    if keep == "last" and not stop_on_success:
        return points
    with torch.no_grad():
        logits = model(points)
    best.update(points, objective(logits, batch.labels), goal.reached(logits, batch.labels), batch.rows)
    return best.points
