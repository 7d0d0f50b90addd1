"""Projected gradient descent (Madry et al. 2018) and the basic iterative method (Kurakin et al. 2017)."""

import torch

from squeezeproof.attacks.ball import project, random_point, steepest
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import LOSSES, fooled
from squeezeproof.seeds import derive_seed


def pgd(model, inputs, labels, *, eps, norm, loss, steps, alpha, keep, random_start, restarts, seed, examples):
    """Steps of length alpha along the steepest direction of the loss, projected onto the ball and the box.

    Every example makes all its steps, also once it fools the model: a point at the edge of the decision boundary
    transfers badly.

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
        seed, examples: the start of example i of the batch is a function of (seed, run, examples[i]) alone.

    Returns adversarial pixels inside the ball and the box.
    """
    objective = LOSSES[loss]
    alpha = 2.5 * eps / steps if alpha is None else alpha
    best = _Best(inputs)
    for run in range(restarts):
        points = inputs
        if random_start:
            points = random_point(inputs, eps, norm, derive_seed(seed, run), examples)
        for step in range(steps):
            values, logits, gradient = loss_and_gradient(model, points, labels, objective)
            # The clean image is no adversarial example, a random start is one.
            if keep == "best" and (step > 0 or random_start):
                best.update(points, values, fooled(logits, labels))
            points = project(points + alpha * steepest(gradient, norm), inputs, eps, norm)
        if keep == "best" or restarts > 1:
            with torch.no_grad():
                logits = model(points)
            best.update(points, objective(logits, labels), fooled(logits, labels))
        else:
            return points
    return best.points


def bim(model, inputs, labels, **settings):
    """PGD from the clean image, once; see `pgd` for the arguments."""
    return pgd(model, inputs, labels, random_start=False, restarts=1, **settings)


class _Best:
    """The strongest point seen of each example: one that fools before one that does not, then by loss."""

    def __init__(self, inputs):
        self.points = inputs.clone()
        self.values = torch.full((len(inputs),), float("-inf"), device=inputs.device)
        self.fools = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)

    def update(self, points, values, fools):
        better = (fools & ~self.fools) | ((fools == self.fools) & (values >= self.values))
        self.points = torch.where(better[:, None, None, None], points, self.points)
        self.values = torch.where(better, values, self.values)
        self.fools |= fools
