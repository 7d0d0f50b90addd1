"""The examples of a batch that an attack still works on, and the strongest point found for each."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Batch:
    """Examples under attack: clean `inputs` [n, C, H, W], `labels` [n], their `indices` [n] in the data set,
    and their `rows` [n] in the batch the attack was given."""

    inputs: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def of(cls, inputs, labels, indices):
        return cls(inputs, labels, indices, torch.arange(len(labels), device=labels.device))

    def __len__(self):
        return len(self.labels)

    def keep(self, mask):
        """The examples where `mask` [n] is true; the batch itself when it is true everywhere."""
        if mask.all():
            return self
        return Batch(self.inputs[mask], self.labels[mask], self.indices[mask], self.rows[mask])


class Strongest:
    """The strongest point seen of each example: one that fools before one that does not, then by loss.

    Attributes: `points` [N, C, H, W], `values` [N] their losses, `fools` bool [N].
    """

    def __init__(self, inputs):
        self.points = inputs.clone()
        self.values = torch.full((len(inputs),), float("-inf"), device=inputs.device)
        self.fools = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)

    def update(self, points, values, fools, rows=None):
        """Offer one point, its loss and whether it fools, for every example of `rows` (all by default)."""
        if rows is None or len(rows) == len(self.values):
            better = self._better(values, fools, self.values, self.fools)
            # A where over the whole batch costs less than gathering the better points, and waits for no device.
            self.points = torch.where(better[:, None, None, None], points, self.points)
            self.values = torch.where(better, values, self.values)
            self.fools = self.fools | fools
            return
        better = self._better(values, fools, self.values[rows], self.fools[rows])
        chosen = rows[better]
        self.points[chosen], self.values[chosen] = points[better], values[better]
        self.fools[chosen] = fools[better]

    @staticmethod
    def _better(values, fools, known, fooled):
        return (fools & ~fooled) | ((fools == fooled) & (values >= known))
