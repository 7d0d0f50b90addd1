"""Auto-PGD: projected gradient ascent that chooses its step sizes itself [croce2020autoattack]."""

from collections.abc import Callable
from functools import partial

import torch

from squeezeproof.attacks.ball import Ball, Plateau, ascend, surface_point
from squeezeproof.attacks.batch import Batch, Strongest, where
from squeezeproof.attacks.gradient import logits_at, loss_and_gradient
from squeezeproof.attacks.objective import AWAY, Goal, check_classes, margin, targeted_dlr
from squeezeproof.norms import Norm
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Classifier, Loss

# Share of the new step against the last one's direction, and share of rising steps below which the step size halves.
MOMENTUM = 0.75
RISING = 0.75


def apgd(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    loss: str,
    steps: int,
    restarts: int,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> torch.Tensor:
    """Ascent with momentum whose step halves, from the best point on, where the loss has stopped rising.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius of the ball in pixel units.
        norm: `linf` or `l2`.
        loss: a name of LOSSES; `dlr` needs at least 3 classes.
        steps: gradient steps of each run.
        restarts: independent runs.
        stop_on_success: an example stops at the first point that fools the model; else it makes all its steps in every
            run.
        seed, indices: the start of example i of the batch is a function of (seed, run, indices[i]) alone.
        goal: `AWAY` from `labels`, or `TOWARDS` them: then they are the classes to reach, and to fool is to reach them.

    Returns the strongest points seen, inside the ball and the box: one that fools before one that does not, then by
    loss. The authors' code returns the clean image where no iterate fools, which transfers to nothing.

    Raises NotSupported for `dlr` with fewer than 3 classes, or 4 towards classes.
    """
    best, whole = Strongest(inputs), Batch.of(inputs, labels, indices)
    run_of = partial(_ascend, model, eps=eps, norm=norm, steps=steps, stop_on_success=stop_on_success, goal=goal)
    for run in range(restarts):
        batch = whole.keep(~best.fools) if stop_on_success else whole
        if len(batch):
            run_of(batch, best, lambda _: goal.loss(loss), None, seed=derive_seed(seed, run))
    return best.points


def apgd_t(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    targets: int,
    steps: int,
    restarts: int,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
) -> torch.Tensor:
    """APGD on the targeted difference of logits ratio, towards each of the highest other classes in turn.

    Args:
        targets: how many of the highest other classes of the clean image are tried, at most K - 1.
        restarts: independent runs per target.

    The other arguments and the result are those of `apgd`; the strongest point over the targets is the one of the
    largest margin. Raises NotSupported for fewer than 4 classes.
    """
    logits = logits_at(model, inputs)
    check_classes(logits, "the targeted loss dlr", 4)
    ranked = logits.scatter(1, labels[:, None], float("-inf")).argsort(dim=1, descending=True, stable=True)
    best, whole = Strongest(inputs), Batch.of(inputs, labels, indices)
    run_of = partial(_ascend, model, eps=eps, norm=norm, steps=steps, stop_on_success=stop_on_success)
    for run in range(restarts):
        for target in ranked[:, : min(targets, logits.shape[1] - 1)].unbind(1):
            batch = whole.keep(~best.fools) if stop_on_success else whole
            if len(batch):
                loss_of = lambda batch, target=target: partial(targeted_dlr, targets=target[batch.rows])  # noqa: E731
                run_of(batch, best, loss_of, margin, seed=derive_seed(seed, run))
    return best.points


def _ascend(
    model: Classifier,
    batch: Batch,
    best: Strongest,
    loss_of: Callable[[Batch], Loss],
    score: Loss | None,
    *,
    eps: float,
    norm: Norm,
    steps: int,
    stop_on_success: bool,
    seed: int,
    goal: Goal = AWAY,
) -> None:
    """One run of APGD over a batch; every iterate is offered to `best`.

    Args:
        best: Strongest of the batch that the attack was given.
        loss_of: Batch -> the loss that is raised, a function of logits and labels.
        score: the loss that iterates are compared by in `best`; None for the one that is raised.
    """
    points = surface_point(batch.inputs, eps, norm, seed, batch.indices)
    state, plateau, ball = None, Plateau(seed, batch.indices), Ball(batch.inputs, eps, norm)
    window, shortest, shrink = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    checkpoint = window
    for step in range(steps):
        values, logits, gradient = loss_and_gradient(model, points, batch.labels, loss_of(batch))
        fools = goal.reached(logits, batch.labels)
        best.update(points, score(logits, batch.labels) if score else values, fools, batch.rows)
        state = state or _State(points, values, gradient, 2 * eps)
        kept = where(~fools) if stop_on_success else None
        if kept is not None:
            batch, points, values, gradient = batch.take(kept), points[kept], values[kept], gradient[kept]
            state.take(kept)
            plateau, ball = plateau.take(kept), ball.take(kept)
            if len(batch) == 0:
                return
        state.record(points, values, gradient)
        if step == checkpoint:
            points, gradient = state.halve(points, gradient, window)
            window = max(window - shrink, shortest)
            checkpoint += window
        points = state.move(points, ascend(gradient, norm, plateau), ball, first=step == 0)
    logits = logits_at(model, points)
    best.update(points, (score or loss_of(batch))(logits, batch.labels), goal.reached(logits, batch.labels), batch.rows)


class _State:
    """What a run remembers of every example: its step size, the point before, the best point and the last losses."""

    def __init__(self, points: torch.Tensor, values: torch.Tensor, gradient: torch.Tensor, step_size: float) -> None:
        self.step_size = torch.full((len(points), 1, 1, 1), step_size, device=points.device)
        self.previous = self.best_points = points
        self.best_gradient, self.best_values, self.best_at_check, self.last_values = gradient, values, values, values
        self.rises = torch.zeros_like(values)
        self.halved = torch.ones_like(values, dtype=torch.bool)

    def take(self, kept: torch.Tensor) -> None:
        for name, value in vars(self).items():
            setattr(self, name, value[kept])

    def record(self, points: torch.Tensor, values: torch.Tensor, gradient: torch.Tensor) -> None:
        better = values > self.best_values
        wide = better[:, None, None, None]
        self.best_points = torch.where(wide, points, self.best_points)
        self.best_gradient = torch.where(wide, gradient, self.best_gradient)
        self.best_values = torch.where(better, values, self.best_values)
        self.rises += values > self.last_values
        self.last_values = values

    def halve(self, points: torch.Tensor, gradient: torch.Tensor, window: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Halve the step of every example that rises too rarely or has stalled; it goes on from its best point."""
        stalled = ~self.halved & (self.best_at_check >= self.best_values)
        self.halved = (self.rises <= RISING * window) | stalled
        self.best_at_check = self.best_values
        self.rises = torch.zeros_like(self.rises)
        wide = self.halved[:, None, None, None]
        self.step_size = torch.where(wide, self.step_size / 2, self.step_size)
        return torch.where(wide, self.best_points, points), torch.where(wide, self.best_gradient, gradient)

    def move(self, points: torch.Tensor, uphill: torch.Tensor, ball: Ball, *, first: bool) -> torch.Tensor:
        """The next points; the first step of a run has no step before it to go on with."""
        moved = ball.project(points + self.step_size * uphill)
        if not first:
            moved = points + MOMENTUM * (moved - points) + (1 - MOMENTUM) * (points - self.previous)
            moved = ball.project(moved)
        self.previous = points
        return moved
