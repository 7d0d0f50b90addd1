"""Models that were made for negatives of the images: no setting inverts pixels, so that they are told, not read so."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from squeezeproof.guessing import judged
from squeezeproof.models.device import device_of
from squeezeproof.models.moments import Moments
from squeezeproof.models.normalize import Normalize
from squeezeproof.models.predict import predict

NEGATIVES = "inverted pixels (negatives), "


class Inverted(nn.Module):
    """Pixels in [0, 1] -> their negatives."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return 1 - pixels


def of_negatives(
    network: nn.Module,
    known: Mapping[str, Moments],
    images: torch.Tensor,
    labels: torch.Tensor,
    batch_size: int | None = None,
) -> tuple[str, torch.Tensor]:
    """(what a person is told of it, its labels int64 [N]) of the reading of negatives that knows most.

    Args:
        network: takes normalised pixels [N, C, H, W], and gives logits.
        known: what to write -> (mean, std) of a normalization that it may stand behind.
        images, labels: uint8 [N, C, H, W] and int64 [N], on the CPU.
    """
    found: dict[str, Any] = {}
    for name, (mean, std) in known.items():
        model = nn.Sequential(Inverted(), Normalize(mean, std).to(device_of(network)), network)
        found[f"{NEGATIVES}{name}"] = predict(model, images, batch_size)
    best = max(found, key=lambda name: judged(found[name], labels).beyond)
    return best, found[best]


def what_to_write(reading: str, known: Mapping[str, Moments], network: str) -> str:
    """What to do about a reading of `of_negatives`; nothing where it is another one.

    Args:
        known: as for `of_negatives`.
        network: whose, such as `its network`.
    """
    if not reading.startswith(NEGATIVES):
        return ""
    mean, std = known[reading.removeprefix(NEGATIVES)]
    pixels = "1 - pixels"
    if set(mean) != {0.0}:
        pixels += f" - {_listed(mean)}"
    if set(std) != {1.0}:
        pixels = f"({pixels}) / {_listed(std)}"
    return f". No setting inverts pixels: let {network} begin with {pixels}, and write normalization: none"


def _listed(numbers: list[float]) -> str:
    shown = [f"{number:.4g}" for number in numbers]
    return shown[0] if len(set(shown)) == 1 else f"[{', '.join(shown)}] per channel"
