"""The examples of a batch that an attack still works on, and the strongest point found for each."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Batch:
    """Examples under attack: clean `inputs` [n, C, H, W], `labels` [n], their indices in the data set `indices` [n],
    and their `rows` [n] in the batch the attack was given."""

    inputs: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def of(cls, inputs: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> "Batch":
        return cls(inputs, labels, indices, torch.arange(len(labels), device=labels.device))

    def __len__(self) -> int:
        return len(self.labels)

    def keep(self, mask: torch.Tensor) -> "Batch":
        """The examples where `mask` [n] is true; the batch itself when it is true everywhere."""
        kept = where(mask)
        return self if kept is None else self.take(kept)

    def take(self, kept: torch.Tensor) -> "Batch":
        """The examples of some positions, int64 [m]."""
        return Batch(self.inputs[kept], self.labels[kept], self.indices[kept], self.rows[kept])


def where(mask: torch.Tensor) -> torch.Tensor | None:
    """The positions, int64 [m], where `mask` [n] is true; None for all of them.

    A GPU is waited for here alone, once: picking rows by their positions asks it nothing, picking by a mask does.
    """
    kept = mask.nonzero().squeeze(1)
    return None if len(kept) == len(mask) else kept


class Strongest:
    """The strongest point seen of each example: one that fools before one that does not, then by loss.

    Attributes: `points` [N, C, H, W], `values` [N] their losses, `fools` bool [N].
    """

    def __init__(self, inputs: torch.Tensor) -> None:
        self.points = inputs.clone()
        self.values = torch.full((len(inputs),), float("-inf"), device=inputs.device)
        self.fools = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)

    def update(
        self, points: torch.Tensor, values: torch.Tensor, fools: torch.Tensor, rows: torch.Tensor | None = None
    ) -> None:
        """Offer one point, its loss and whether it fools, for every example of `rows` (all by default)."""
        if rows is None or len(rows) == len(self.values):
            self.points, self.values, self.fools = self._stronger(points, values, fools, slice(None))
        else:
            self.points[rows], self.values[rows], self.fools[rows] = self._stronger(points, values, fools, rows)

    def _stronger(
        self, points: torch.Tensor, values: torch.Tensor, fools: torch.Tensor, rows: torch.Tensor | slice
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # To choose over all rows costs less than to gather the better points, and waits for no GPU.
        known, fooled = self.values[rows], self.fools[rows]
        better = (fools & ~fooled) | ((fools == fooled) & (values >= known))
        points = torch.where(better[:, None, None, None], points, self.points[rows])
        return points, torch.where(better, values, known), fooled | fools
