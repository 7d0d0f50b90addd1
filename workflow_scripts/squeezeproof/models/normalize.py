"""Normalisation as the first layer of a model, so that attacks work on pixels."""

from collections.abc import Sequence

import torch
from torch import nn


class Normalize(nn.Module):
    """Maps pixels in [0, 1] to (pixels - mean) / std per channel."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels - self.mean) / self.std
