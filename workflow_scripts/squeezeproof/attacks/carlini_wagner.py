"""The l2 attack with a binary search over the margin's weight [carlini2017]."""

import math
from functools import partial

import torch

from squeezeproof.attacks.adam import Adam
from squeezeproof.attacks.ball import Plateau, norms, project
from squeezeproof.attacks.batch import Batch, Strongest, where
from squeezeproof.attacks.gradient import logits_at, loss_and_gradient
from squeezeproof.attacks.objective import AWAY, Goal
from squeezeproof.norms import Norm
from squeezeproof.types import Classifier

# The authors' 0.999999 moves a black or white pixel a million times slower than a grey one, this one half as fast.
SCALE = 0.7
LARGEST_C = 1e10
# A search goes on while its loss falls at least this much between two of its checks.
PROGRESS = 0.9999
# Steps between two checks, or more: Adam's path swings, and over fewer of them a loss rises that is about to fall.
APART = 15


def cw(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float | None,
    norm: Norm,
    confidence: float,
    learning_rate: float,
    searches: int,
    steps: int,
    initial_c: float,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> torch.Tensor:
    """The nearest point found that minimises ||d||_2^2 + c max(confidence - margin, 0), over searches with different c.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius of the l2 ball in pixel units onto which the result is projected; None for no ball.
        norm: `l2`, the only one.
        confidence: the least margin, in logits, of an adversarial point.
        learning_rate: Adam's, in the units of the change of variables pixel = tanh(w) / (2 SCALE) + 1/2.
        searches: values of c; ten times larger until an example is broken, then bisected.
        steps: passes of each search, at least 2; the first is at its start. An example whose loss stops falling by
            PROGRESS, looked at ten times a search but not sooner than APART steps after the last look, ends its search.
        initial_c: the first c.
        stop_on_success: with a number for eps, an example stops at its first adversarial point within eps; else it
            makes all its searches.
        seed, indices: of the direction where the gradient is exactly zero.
        goal: `AWAY` from `labels`, or `TOWARDS` them: then they are the classes to reach, and to fool is to reach them.

    Returns pixels inside the box: the adversarial point of the smallest norm; without one the highest margin seen
    after the start; the clean image where the model misclassifies it.

    Differs from the authors' code: w stays where the pixel is in the box, so that SCALE may be far from 1; an example
    that was never broken goes on from where its last search ended, not from the image, so that few steps reach far
    boundaries too; the early abort looks at one example, not at the batch; the last search does not repeat the
    smallest c that succeeded, because it would repeat its steps.
    """
    batch = Batch.of(inputs, labels, indices).keep(~goal.reached(logits_at(model, inputs), labels))
    best, reach = Strongest(inputs), eps if stop_on_success and eps is not None else -math.inf
    # torch's float32 atanh rounds by a number's place in memory, so by the batch.
    image = start = torch.atanh(SCALE * (2 * batch.inputs.double() - 1)).float()
    c = torch.full_like(batch.labels, initial_c, dtype=inputs.dtype)
    lower, upper = torch.zeros_like(c), torch.full_like(c, math.inf)
    options = {"confidence": confidence, "learning_rate": learning_rate, "steps": steps, "reach": reach, "seed": seed}
    search_from = partial(_search, model, **options, goal=goal)
    for search in range(searches):
        if len(batch) == 0:
            break
        found, end = search_from(batch, start, c, best, first=search == 0)
        lower, upper = torch.where(found, lower, c), torch.where(found, c, upper)
        unbroken = upper.isinf()
        c = torch.where(unbroken, 10 * c, (lower + upper) / 2).clamp_max(LARGEST_C)
        start = torch.where(unbroken[:, None, None, None], end, image)
        kept = where(~(best.fools & (best.values >= -reach))[batch.rows])
        if kept is not None:
            batch = batch.take(kept)
            image, start, c, lower, upper = (state[kept] for state in (image, start, c, lower, upper))
    return best.points if eps is None else project(best.points, inputs, eps, norm)


def _search(
    model: Classifier,
    batch: Batch,
    start: torch.Tensor,
    c: torch.Tensor,
    best: Strongest,
    *,
    first: bool,
    confidence: float,
    learning_rate: float,
    steps: int,
    reach: float,
    seed: int,
    goal: Goal,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise the loss for one c per example [n] from `start`, in tanh space, and offer the points to `best`.

    Returns whether each example was broken, [n], and where its path ended, in tanh space.
    """
    found, end, limit = torch.zeros_like(c, dtype=torch.bool), start.clone(), math.atanh(SCALE)
    place, adam, previous = (
        torch.arange(len(c), device=c.device),
        Adam(start.clone(), learning_rate),
        torch.full_like(c, math.inf),
    )
    plateau = Plateau(seed, batch.indices)
    for step in range(steps):
        tanh = adam.variable.tanh()
        points = (tanh / (2 * SCALE) + 0.5).clamp_(0, 1)
        values, logits, uphill = loss_and_gradient(model, points, batch.labels, goal.margin)
        broken = goal.reached(logits, batch.labels) & (values >= confidence)
        delta = points - batch.inputs
        distance = norms(delta, Norm.L2)
        # The first start is the image, which is no adversarial example.
        if step > 0 or not first:
            best.update(points, torch.where(broken, -distance, values), broken, batch.rows)
            found[place] |= broken

        weight = torch.where(broken, 0, c)[:, None, None, None]
        uphill = plateau.leave(uphill)
        adam.step((2 * delta - weight * uphill) * (1 - tanh * tanh) / (2 * SCALE))
        adam.variable.clamp_(-limit, limit)

        going, looks = ~(broken & (distance <= reach)), step % max(APART, math.ceil(steps / 10)) == 0
        if looks:
            loss = distance**2 + c * (confidence - values).clamp_min(0)
            going, previous = going & (loss <= PROGRESS * previous), loss
        kept = where(going) if looks or reach > 0 else None
        if kept is not None:
            end[place] = adam.variable
            batch, place, c, previous = batch.take(kept), place[kept], c[kept], previous[kept]
            adam.take(kept)
            plateau = plateau.take(kept)
            if len(batch) == 0:
                break
    end[place] = adam.variable
    return found, end
