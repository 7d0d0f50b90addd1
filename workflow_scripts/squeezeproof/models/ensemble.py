"""Several models as one that averages their class probabilities (Marshall 2020, Appendix C)."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.errors import InputError
from squeezeproof.types import Masks

KIND = "ensemble"


class Averaged(nn.Module):
    """Maps pixels [N, C, H, W] in [0, 1] to the logarithm of the mean of the members' class probabilities [N, K].

    The output is a vector of logits like any other: its softmax is that mean. It is computed from logarithms
    throughout, so that it stays finite, and attacks see a gradient, where all members are certain of one class. Where
    members are certain of different classes the mean itself is flat, and attacks on the ensemble weak: members'
    own attacks, scored on it, tell.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        shares = torch.stack([functional.log_softmax(member(pixels), dim=1) for member in self.members])
        return shares.logsumexp(0) - math.log(len(self.members))


def averaged(members: Iterable[nn.Module]) -> nn.Sequential:
    """The ensemble of some models, built as every other: a network behind a normalisation, which the members have."""
    return nn.Sequential(OrderedDict(normalize=nn.Identity(), network=Averaged(members)))


def join(members: Sequence[tuple[Masks, dict[str, Any]]]) -> tuple[dict[str, Any], Masks]:
    """(specification, masks) of the ensemble of the members' (masks, checkpoint metadata), in their order.

    Raises InputError where they do not map images of one form to as many classes.
    """
    specs = [metadata["specification"] for _, metadata in members]
    form = {key: specs[0][key] for key in ("in_channels", "image_size", "num_classes")}
    for spec in specs:
        if {key: spec[key] for key in form} != form:
            raise InputError(f"an ensemble's members take images and tell classes apart alike, not {form} and {spec}")
    masks = {
        f"network.members.{index}.{name}": mask for index, (own, _) in enumerate(members) for name, mask in own.items()
    }
    return {"architecture": {"kind": KIND, "members": specs}, **form}, masks
