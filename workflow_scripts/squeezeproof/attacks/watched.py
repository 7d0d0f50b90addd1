"""A model that notes, of every example under attack, the strongest point that passes through it.

What an attack of a library returns says little where it fails: several return the clean image then. Every point that
it looked at passed through the model.
"""

import torch
from torch import nn

from squeezeproof.attacks.ball import norms, peaks
from squeezeproof.attacks.batch import Strongest
from squeezeproof.attacks.objective import AWAY, Goal
from squeezeproof.attacks.source import Counted
from squeezeproof.norms import Norm

SLACK = 1e-6


class Exhausted(BaseException):
    """The budget of queries is spent. No Exception: libraries that catch those are ended too."""


class Watched(nn.Module):
    """The source (attacks.source.Counted) as a library's attack sees it; it has no layers whose mode could be changed.

    Args:
        inputs, labels: of the batch, pixels [N, C, H, W] in [0, 1], and what the points are to leave or to reach.
        eps, norm: of the ball; eps None is no ball.
        nearest: whether the strongest point is the nearest that fools the model, not the one of the highest margin.
        gradients: whether the model gives any.
        queries: images per example after which the model raises Exhausted; None for no such budget.

    Attributes:
        best: the Strongest of every example; one of which no other point than the clean image was seen has the value
            -inf.
        beyond: the same of the points outside the ball, of which `best` has none.
    """

    def __init__(
        self,
        source: Counted,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        eps: float | None,
        norm: Norm,
        nearest: bool,
        gradients: bool,
        queries: int | None,
        goal: Goal = AWAY,
    ) -> None:
        super().__init__()
        self.source, self.inputs, self.labels, self.goal = source, inputs, labels, goal
        self.reach = float("inf") if eps is None else eps + SLACK * max(1.0, eps)
        self.norm, self.nearest, self.gradients = norm, nearest, gradients
        self.left = None if queries is None else queries * len(inputs)
        self.best, self.beyond = Strongest(inputs), Strongest(inputs)
        self.first = _first_of_its_kind(inputs)
        self.twins = (self.first != torch.arange(len(inputs), device=inputs.device)).nonzero().flatten().tolist()
        # Libraries ask a model's first parameter for its device.
        self.place = nn.Parameter(torch.zeros(1, device=inputs.device), requires_grad=False)
        self.eval()

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Logits [n, K] of points [n, C, H, W] of any floating type; NaN where one is not finite."""
        points = points.to(self.inputs.dtype)
        finite = torch.isfinite(points).flatten(1).all(1)
        if not finite.all():
            # The source would be blamed for what it makes of them.
            points = torch.where(finite[:, None, None, None], points, 0)
        if self.left is not None:
            self.left -= len(points)
            if self.left < 0:
                raise Exhausted
        with torch.set_grad_enabled(self.gradients and torch.is_grad_enabled()):
            # Hooks of a view are of this pass alone, whatever the library passes again.
            points = points.view_as(points)
            logits = self.source(points)
            if points.requires_grad and logits.requires_grad:
                self._observe(points, logits)
        with torch.no_grad():
            self._note(points.detach()[finite], logits.detach()[finite])
        return torch.where(finite[:, None], logits, torch.nan)

    def _observe(self, points: torch.Tensor, logits: torch.Tensor) -> None:
        """Show the source its input gradients, of every example of which the library's loss has a gradient that is
        finite and not zero: what follows then is the model's doing.
        """
        asked = torch.zeros(len(points), dtype=torch.bool, device=points.device)

        def ask(gradient: torch.Tensor) -> None:
            nonlocal asked
            largest = peaks(gradient)
            asked = torch.isfinite(largest) & (largest > 0)

        logits.register_hook(ask)
        points.register_hook(lambda gradient: self.source.observe(torch.where(asked, peaks(gradient), 1.0)))

    def _note(self, points: torch.Tensor, logits: torch.Tensor) -> None:
        if points.shape[1:] != self.inputs.shape[1:]:
            return
        owners = self._owners(points)
        inside = (points >= -SLACK).flatten(1).all(1) & (points <= 1 + SLACK).flatten(1).all(1)
        self.offer(points, logits, owners, inside)
        # Nobody can tell whose point it is, and each may have it.
        for twin in self.twins:
            own = owners == self.first[twin]
            self.offer(points[own], logits[own], torch.full_like(owners[own], twin), inside[own])

    def _owners(self, points: torch.Tensor) -> torch.Tensor:
        """The example [n] that each point is nearest to: a library may pass a part of the batch, or several of each.

        Of equal images it is the first.
        """
        flat, clean = points.flatten(1), self.inputs.flatten(1)
        # The squared distance but for a summand that all examples of a point share.
        return self.first[((clean**2).sum(1) - 2 * flat @ clean.T).argmin(1)]

    def offer(self, points: torch.Tensor, logits: torch.Tensor, owners: torch.Tensor, allowed: torch.Tensor) -> None:
        """Take note of points [n, C, H, W] of the examples `owners` [n] where `allowed` [n] and the ball are kept.

        A clean image is no point of an attack in a ball; for a minimum-norm attack it is one if the model already
        misclassifies it.
        """
        labels = self.labels[owners]
        lengths, fools = norms(points - self.inputs[owners], self.norm), self.goal.reached(logits, labels)
        values = self.goal.margin(logits, labels)
        if self.nearest:
            values = torch.where(fools, -lengths, values)
        allowed = allowed & torch.isfinite(values) & ((lengths > SLACK) | (fools & self.nearest))
        inside = lengths <= self.reach
        for strongest, kept in ((self.best, allowed & inside), (self.beyond, allowed & ~inside)):
            rows = kept.nonzero().squeeze(1)
            if len(rows):
                _keep_last(strongest, points[rows], owners[rows], values[rows], fools[rows])


def _first_of_its_kind(images: torch.Tensor) -> torch.Tensor:
    """The first image [N] that equals each of some images."""
    _, kind = images.flatten(1).unique(dim=0, return_inverse=True)
    places = torch.arange(len(images), device=images.device)
    return torch.full_like(places, len(images)).scatter_reduce_(0, kind, places, "amin")[kind]


def _keep_last(
    strongest: Strongest, points: torch.Tensor, owners: torch.Tensor, values: torch.Tensor, fools: torch.Tensor
) -> None:
    """Offer several points of some examples."""
    # The last in the order of strength is an example's strongest.
    order = torch.argsort(values, stable=True)
    order = order[torch.argsort(fools[order].int(), stable=True)]
    last = torch.full((len(strongest.values),), -1, device=order.device)
    last.scatter_reduce_(0, owners[order], torch.arange(len(order), device=order.device), "amax")
    examples = (last >= 0).nonzero().squeeze(1)
    chosen = order[last[examples]]
    strongest.update(points[chosen], values[chosen], fools[chosen], examples)
