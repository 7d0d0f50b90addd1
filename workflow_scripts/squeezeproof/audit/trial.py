"""A model, the examples that a probe looks at, and runs of PGD on them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from squeezeproof.attacks.objective import LOSSES, fooled
from squeezeproof.attacks.pgd import pgd
from squeezeproof.audit.gathered import gathered
from squeezeproof.models.device import device_of
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Classifier


class Trial:
    """A model, the examples it is probed with, and runs of PGD on them."""

    def __init__(
        self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int, batch_size: int | None
    ) -> None:
        self.model, self.seed, self.batch_size = model, seed, batch_size
        device = device_of(model)
        self.inputs, self.labels = to_pixels(images, device), labels.to(device)

    def batched(self, function: Callable[[int, int], torch.Tensor]) -> torch.Tensor:
        """function(first, last) over all examples in batches, its tensors put together along the first dimension."""
        return gathered(len(self.labels), self.batch_size, function)

    def logits(self, points: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.batched(lambda first, last: self.model(points[first:last]))

    def attack(self, through: Classifier, **options: Any) -> torch.Tensor:
        """Whether PGD with some options fools the model, bool [N]; `through` is what PGD sees of it."""
        return fooled(
            self.logits(self.batched(lambda first, last: self._points(through, (first, last), options))), self.labels
        )

    def curves(self, **options: Any) -> torch.Tensor:
        """The loss at every point that one run of PGD visits, [N, steps + 1]."""

        def work(first: int, last: int) -> torch.Tensor:
            losses, labels = [], self.labels[first:last]

            def recorded(points: torch.Tensor) -> torch.Tensor:
                logits = self.model(points)
                losses.append(LOSSES[options["loss"]](logits.detach(), labels))
                return logits

            # The same points, and a look at the last of them too.
            self._points(recorded, (first, last), options | {"restarts": 1, "keep": "best"})
            return torch.stack(losses, dim=1)

        return self.batched(work)

    def _points(self, through: Classifier, rows: tuple[int, int], options: dict[str, Any]) -> torch.Tensor:
        indices, chosen = torch.arange(*rows, device=self.labels.device), slice(*rows)
        return pgd(
            through, self.inputs[chosen], self.labels[chosen], seed=self.seed, indices=indices, **options
        ).detach()
