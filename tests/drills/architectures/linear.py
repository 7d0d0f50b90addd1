"""The smallest new architecture: what it declares, and what it builds."""

from typing import Literal

from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.settings import Flag, setting


class Linear(Architecture):
    """One linear layer over all pixels."""

    function = "squeezeproof.entries.architectures.linear:linear"
    display = "Linear"

    kind: Literal["linear"] = "linear"
    bias: Flag = setting("Whether the logits have a bias.", True)


def linear(*, in_channels, num_classes, image_size, bias=True):
    """Maps [N, C, H, W] to logits [N, K]."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes, bias=bias))
