"""What the adapter of a library is told of one batch."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from squeezeproof.norms import Norm


@dataclass(frozen=True)
class Call:
    """One attack on one batch.

    Attributes:
        package, name: the library's module and the attack's name there.
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, classes].
        inputs, labels: clean pixels and their labels, or the classes to reach.
        targeted: which of the two.
        eps, norm: of the ball; eps None is no ball.
        seed: of random numbers that the library draws from a seed of its own.
        fills: what the study's settings fill, by name -> the library's parameter of it.
        parameters: the library's own.
    """

    package: ModuleType
    name: str
    model: nn.Module
    inputs: torch.Tensor
    labels: torch.Tensor
    targeted: bool
    eps: float | None
    norm: Norm
    seed: int
    classes: int
    fills: dict[str, str]
    parameters: dict[str, Any]

    def filled(self, values: dict[str, Any]) -> dict[str, Any]:
        """The parameters that the study's settings fill; a value that is None leaves the library's default."""
        return {own: values[what] for what, own in self.fills.items() if values.get(what) is not None}
