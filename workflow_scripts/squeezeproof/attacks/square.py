"""Square Attack [andriushchenko2020]: random search over square windows, without gradients."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch.nn import functional

from squeezeproof.attacks.ball import TINY, norms
from squeezeproof.attacks.batch import Batch, Strongest, where
from squeezeproof.attacks.gradient import check_finite
from squeezeproof.attacks.objective import AWAY, Goal
from squeezeproof.attacks.random import uniform
from squeezeproof.norms import Norm
from squeezeproof.seeds import derive_seed
from squeezeproof.types import Classifier, Loss

# The share p of changed pixels halves after each of these proposals, of LENGTH.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
LENGTH = 10_000
# Queries of AutoAttack.
FULL = 5000
# Proposals whose random numbers are drawn in one call, which costs hardly more than drawing those of one.
CHUNK = 100


@torch.no_grad()
def square(
    model: Classifier,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: Norm,
    queries: int,
    p_init: float,
    reference: bool | None,
    loss: str,
    restarts: int,
    stop_on_success: bool,
    seed: int,
    indices: torch.Tensor,
    goal: Goal = AWAY,
) -> torch.Tensor:
    """Random search over windows of shrinking size, each proposal at the edge of the ball; needs no gradient.

    As in the authors' code a square (linf) that would change nothing draws its signs again. Where AutoAttack's version
    differs: windows and signs are drawn for every example instead of for the batch, a window may also touch the last
    row and column, a proposal as good as the known point is accepted, the tiles that start l2 are centred, and the
    start is one of the queries.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        inputs, labels: clean pixels and their labels.
        eps: radius of the ball in pixel units.
        norm: `linf` or `l2`.
        queries: forward passes of each run, at least 1; AutoAttack takes 5000.
        p_init: share of the pixels in the first windows, in (0, 1]; AutoAttack takes 0.8.
        reference: the windows shrink as AutoAttack's do, as if there were 10,000 queries (resc_schedule=False in the
            authors' code); False over the queries that there are (resc_schedule=True). None as if there were the
            geometric mean of the two, and from AutoAttack's 5,000 queries on as its do: docs/choose_an_attack.md.
        loss: a name of LOSSES; AutoAttack takes the margin.
        restarts: independent runs.
        stop_on_success: an example stops at the first point that fools; else it makes all its queries and raises the
            loss also once it fools the model.
        seed, indices: the numbers of example i of the batch are a function of (seed, run, indices[i]) alone.
        goal: `AWAY` from `labels`, or `TOWARDS` them: then they are the classes to reach, and to fool is to reach them.

    Returns adversarial pixels inside the ball and the box, of a fooled example or not. Raises InputError where the
    model's loss is not finite.
    """
    inputs = inputs.contiguous()
    best = Strongest(inputs)
    for run in range(restarts):
        batch = Batch.of(inputs, labels, indices)
        if stop_on_success:
            batch = batch.keep(~best.fools)
        if len(batch):
            start, phases = derive_seed(seed, "square", run), schedule(queries - 1, p_init, reference)
            _search(model, batch, best, eps, norm, phases, goal.loss(loss), goal, stop_on_success, start)
    check_finite(torch.isfinite(best.values).all())
    return best.points


def schedule(proposals: int, p_init: float, reference: bool | None) -> Iterator[tuple[int, float]]:
    """Yields (count, p): the next `count` proposals, at most CHUNK, change a share p of the pixels; see `square`."""
    if reference is None:
        length = LENGTH if proposals + 1 >= FULL else math.sqrt(LENGTH * proposals)
    else:
        length = LENGTH if reference else proposals
    first = 0
    ends = [min(math.ceil((last + 1) * length / LENGTH), proposals) for last in HALVINGS]
    for halvings, end in enumerate((*ends, proposals)):
        for start in range(first, end, CHUNK):
            yield min(CHUNK, end - start), p_init / 2**halvings
        first = max(first, end)


def _search(
    model: Classifier,
    batch: Batch,
    best: Strongest,
    eps: float,
    norm: Norm,
    phases: Iterable[tuple[int, float]],
    loss: Loss,
    goal: Goal,
    stop_on_success: bool,
    seed: int,
) -> None:
    """One run, of which the last accepted points are offered to `best`."""
    start, windows = KINDS[norm]
    points = start(batch.inputs, eps, seed, batch.indices)
    logits = model(points)
    values, fools = loss(logits, batch.labels), goal.reached(logits, batch.labels)
    for phase, (count, p) in enumerate(phases):
        moves = windows(batch, eps, p, count, derive_seed(seed, phase))
        for turn in range(count):
            kept = where(~fools) if stop_on_success else None
            if kept is not None:
                best.update(points, values, fools, batch.rows)
                batch, points, values, fools = batch.take(kept), points[kept], values[kept], fools[kept]
                if len(batch) == 0:
                    return
                moves.take(kept)
            candidates = moves.propose(turn, points, batch.inputs)
            logits = model(candidates)
            news, hits = loss(logits, batch.labels), goal.reached(logits, batch.labels)
            better = (hits > fools) | ((hits == fools) & (news >= values))
            points = torch.where(better[:, None, None, None], candidates, points)
            values, fools = torch.where(better, news, values), torch.where(better, hits, fools)
    best.update(points, values, fools, batch.rows)


class _Squares:
    """The next proposals for linf: a square of x - eps or x + eps, the sign drawn for every channel."""

    def __init__(self, batch: Batch, eps: float, p: float, count: int, seed: int) -> None:
        channels, height, width = batch.inputs.shape[1:]
        size = min(max(round(math.sqrt(p * height * width)), 1), height, width)
        self.window = _window(batch.inputs, size)
        patterns = 2**channels
        spans = (_positions(batch.inputs, size), patterns, patterns - 1)
        place, pattern, offset = _integers(seed, batch.indices, count, spans).unbind(2)
        self.corners = _corners(place, batch.inputs, size)
        # The second pattern is any but the first.
        pattern = torch.stack([pattern, (pattern + 1 + offset) % patterns], dim=2)[..., None]
        bits = pattern >> torch.arange(channels, device=pattern.device) & 1
        self.steps = eps * (2.0 * bits - 1)

    def take(self, kept: torch.Tensor) -> None:
        self.corners, self.steps = self.corners[kept], self.steps[kept]

    def propose(self, turn: int, points: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        index = self.corners[:, turn, None] + self.window
        steps = self.steps[:, turn, :, :, None]
        candidates = points.clone()
        flat = candidates.flatten(1)
        clean, old = inputs.flatten(1).gather(1, index).view(*steps.shape[::2], -1), flat.gather(1, index)
        new = (clean + steps[:, 0]).clamp_(0, 1)
        same = (new.flatten(1) == old).all(1)
        new = torch.where(same[:, None, None], (clean + steps[:, 1]).clamp_(0, 1), new)
        flat.scatter_(1, index, new.flatten(1))
        return candidates


class _Bumps:
    """The next proposals for l2: what the perturbation loses in one window strengthens a pair of bumps in another."""

    def __init__(self, batch: Batch, eps: float, p: float, count: int, seed: int) -> None:
        channels, height, width = batch.inputs.shape[1:]
        size = max(round(math.sqrt(p * height * width)), 3)
        size = min(size + (size % 2 == 0), height, width)
        self.eps, self.channels = eps, channels
        self.window = _window(batch.inputs, size)
        self.bumps = _bumps(size, batch.inputs.device).flatten(1)
        places = _positions(batch.inputs, size)
        numbers = _integers(seed, batch.indices, count, (places, places, 2, *[2] * channels))
        self.corners = _corners(numbers[..., :2], batch.inputs, size)
        self.turned, self.signs = numbers[..., 2], 2.0 * numbers[..., 3:] - 1

    def take(self, kept: torch.Tensor) -> None:
        self.corners, self.turned, self.signs = self.corners[kept], self.turned[kept], self.signs[kept]

    def propose(self, turn: int, points: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        stronger, emptied = (self.corners[:, turn, i, None] + self.window for i in (0, 1))
        candidates = points.clone()
        flat, clean = candidates.flatten(1), inputs.flatten(1)
        center, outside = clean.gather(1, stronger), clean.gather(1, emptied)
        old = self._by_channel(flat.gather(1, stronger) - center)
        lost = self._by_channel(flat.gather(1, emptied) - outside)
        flat.scatter_(1, emptied, outside)
        rest = self._by_channel(flat.gather(1, stronger) - center)
        # What the box cut off before is spent again; the energy outside both windows stays as it is.
        unspent = self.eps**2 - norms(points - inputs, Norm.L2).square()
        energy = lost.square().sum(2) + rest.square().sum(2) + unspent[:, None] / self.channels
        new = self.bumps[self.turned[:, turn], None] * self.signs[:, turn, :, None] + _unit(old)
        new = _unit(new) * energy.clamp_min(0).sqrt()[..., None]
        flat.scatter_(1, stronger, (center + new.flatten(1)).clamp_(0, 1))
        return candidates

    def _by_channel(self, windows: torch.Tensor) -> torch.Tensor:
        return windows.view(len(windows), self.channels, -1)


def _stripes(inputs: torch.Tensor, eps: float, seed: int, indices: torch.Tensor) -> torch.Tensor:
    """The start for linf: vertical stripes, the sign drawn for every column and channel."""
    signs = _signs(seed, indices, (inputs.shape[1], 1, inputs.shape[3]))
    return (inputs + eps * signs).clamp_(0, 1)


def _tiles(inputs: torch.Tensor, eps: float, seed: int, indices: torch.Tensor) -> torch.Tensor:
    """The start for l2: tiles of a fifth of the side, each a pair of bumps, as many as fit."""
    count, channels, height, width = inputs.shape
    size = max(min(height, width) // 5, 1)
    down, across = height // size, width // size
    signs = _signs(seed, indices, (1 + channels, down, across))
    tiles = _bumps(size, inputs.device)[(signs[:, 0] > 0).long()]
    tiles = tiles[:, None] * signs[:, 1:, ..., None, None]
    grid = tiles.transpose(3, 4).reshape(count, channels, down * size, across * size)
    top, left = (height - down * size) // 2, (width - across * size) // 2
    grid = functional.pad(grid, (left, width - across * size - left, top, height - down * size - top))
    return (inputs + eps * grid / norms(grid, Norm.L2)[:, None, None, None]).clamp_(0, 1)


KINDS = {Norm.LINF: (_stripes, _Squares), Norm.L2: (_tiles, _Bumps)}


def _bumps(size: int, device: torch.device) -> torch.Tensor:
    """[2, size, size]: a positive bump above a negative one, of unit norm together, and the same transposed."""
    upper, lower = _bump(size // 2, size, device), _bump(size - size // 2, size, device)
    both = torch.cat([upper, -lower])
    both = both / both.norm()
    return torch.stack([both, both.T])


def _bump(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Squares around the center, of side 2k - 1 and weight 1 / k^2, added up; of unit norm."""
    rows = (torch.arange(height, device=device) - height // 2).abs()
    columns = (torch.arange(width, device=device) - width // 2).abs()
    weights = torch.arange(1, max(height, width) // 2 + 2, device=device).float() ** -2
    outwards = weights.flip(0).cumsum(0).flip(0)
    bump = outwards[torch.maximum(rows[:, None], columns)]
    return bump / bump.norm()


def _unit(windows: torch.Tensor) -> torch.Tensor:
    return windows / (windows.norm(dim=2, keepdim=True) + TINY)


def _signs(seed: int, indices: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    return torch.where(uniform(seed, indices, shape, stream=0) < 0.5, -1.0, 1.0)


def _integers(seed: int, indices: torch.Tensor, count: int, spans: Sequence[int]) -> torch.Tensor:
    """int64 [N, count, len(spans)], uniform on [0, span); a float32 below 1 times a span never rounds up to it."""
    numbers = uniform(seed, indices, (count, len(spans)), stream=0)
    return (numbers * torch.tensor(spans, device=numbers.device)).long()


def _window(inputs: torch.Tensor, size: int) -> torch.Tensor:
    """Where the pixels of the first window lie in a flattened image, channel by channel."""
    image = inputs[0]
    return torch.arange(image.numel(), device=inputs.device).view_as(image)[:, :size, :size].flatten()


def _positions(inputs: torch.Tensor, size: int) -> int:
    return (inputs.shape[2] - size + 1) * (inputs.shape[3] - size + 1)


def _corners(places: torch.Tensor, inputs: torch.Tensor, size: int) -> torch.Tensor:
    """The first pixel of a window in a flattened image, for a number of its place in [0, _positions)."""
    across = inputs.shape[3] - size + 1
    return places // across * inputs.shape[3] + places % across
