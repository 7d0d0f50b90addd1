"""What a group of tied filters stands for, and the size of a network without some of its groups' filters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

NORMALIZATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
SIZED = (nn.Conv2d, nn.Linear, *NORMALIZATIONS, nn.PReLU, nn.Parameter)


@dataclass
class Group:
    """Filters pruned together: what ties them, their scores [units], and what a unit of them stands for.

    A unit is what can only go as a whole: a filter, or one of every group of channels of a grouped convolution or
    normalisation, or filters that gate each other; `units` has the indices of each among the filters of the convolution
    `root`. `tied` holds every convolution of theirs with the order in which its filters are those of the root; `outs`
    and `ins` how many rows and columns of each layer one unit stands for.
    """

    root: nn.Conv2d

    units: list[list[int]]
    tied: list[tuple[Any, torch.Tensor]]
    outs: dict[Any, float]
    ins: dict[Any, float]
    scores: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def filters(self) -> int:
        return len(self.units)


@dataclass(frozen=True)
class Size:
    """Channels, parameters and MACs of a model."""

    channels: int
    parameters: int
    macs: int


def size_after(layers: list[Any], groups: list[Group], removals: Sequence[int]) -> Size:
    """The Size that removing `removals[i]` units of `groups[i]` leaves."""
    channels = parameters = macs = 0
    for layer, layer_macs_now, filters in layers:
        lost_out = round(sum(count * group.outs.get(layer, 0) for group, count in zip(groups, removals, strict=True)))
        lost_in = round(sum(count * group.ins.get(layer, 0) for group, count in zip(groups, removals, strict=True)))
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            parameters += _kept_of_channels(layer, lost_out)
            continue
        rows, columns = layer.weight.shape[:2]
        kept_rows = rows - lost_out
        kept_columns = columns if is_depthwise(layer) else columns - lost_in // getattr(layer, "groups", 1)
        weights = round(layer.weight.numel() / (rows * columns)) * kept_rows * kept_columns
        parameters += weights + (kept_rows if layer.bias is not None else 0)
        macs += round(layer_macs_now / layer.weight.numel() * weights)
        channels += kept_rows if filters else 0
    return Size(channels, parameters, macs)


def _kept_of_channels(layer: Any, lost: int) -> int:
    """Parameters that a normalisation, a PReLU or a bare parameter has left without some channels."""
    own = [layer] if isinstance(layer, nn.Parameter) else list(layer.parameters(recurse=False))
    # torch-pruning cuts a bare parameter along its last dimension that is longer than 1, and leaves a single slope.
    lengths = [next((size for size in reversed(parameter.shape) if size > 1), 1) for parameter in own]
    return sum(
        parameter.numel() // length * (length - lost if length > 1 else 1)
        for parameter, length in zip(own, lengths, strict=True)
    )


def is_depthwise(layer: Any) -> bool:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels == layer.out_channels
