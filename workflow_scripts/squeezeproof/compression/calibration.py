"""Calibration: from values to the scales and zero points of the grid that they are rounded to."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from squeezeproof.errors import NotSupported
from squeezeproof.models.device import device_of
from squeezeproof.models.quantized import SMALLEST_SCALE, FakeQuantize
from squeezeproof.seeds import derive_seed
from squeezeproof.store.datasets import to_pixels

BATCH = 128
SAMPLE = 2**17
SHARES = [percent / 100 for percent in range(100, 0, -1)]


def draw(images: torch.Tensor, count: int, seed: int) -> tuple[torch.Tensor, torch.Generator]:
    """`count` random images (or all, where there are fewer) for the ranges of a model, and the generator they took."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "calibration"))
    return images[torch.randperm(len(images), generator=generator)[:count]], generator


def calibrate(
    values: torch.Tensor, bits: int, *, symmetric: bool, method: str, percentile: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point of each row of `values` [R, n], both [R].

    Args:
        symmetric: a range of -limit to limit, where zero is level 2^(bits - 1); otherwise the range is affine, it spans
            zero, and zero is the level nearest to its place.
        method: `minmax` spans all values; `percentile` all but the share 1 - percentile / 100 at each end (of the
            magnitudes, for a symmetric range); `mse` multiplies the minmax range by the share in {0.01, ..., 1} whose
            rounded values have the least mean squared error.

    Grids are as in torch.ao: the range is 2^bits - 1 steps wide, zero is on the grid.
    """
    low, high = _ends(values.abs() if symmetric else values, percentile if method == "percentile" else 100)
    low, high = (-high, high) if symmetric else (low.clamp_max(0), high.clamp_min(0))
    scale, zero_point = _grid(low, high, bits, symmetric)
    if method != "mse":
        return scale, zero_point
    least = _error(values, scale, zero_point, bits)
    for share in SHARES[1:]:
        candidate = _grid(share * low, share * high, bits, symmetric)
        error = _error(values, *candidate, bits)
        better = error < least
        least = torch.where(better, error, least)
        scale, zero_point = (
            torch.where(better, new, old) for new, old in zip(candidate, (scale, zero_point), strict=True)
        )
    return scale, zero_point


def observe(
    model: nn.Module, names: Sequence[str], images: torch.Tensor, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """What layers are fed: layer name -> a sample [1, n] of the values of its inputs, their extremes included.

    Args:
        model: maps pixels to logits; run in eval mode.
        images: uint8 [N, C, H, W].
        generator: of the sample, about SAMPLE values a layer, as many from every image.

    Raises NotSupported where a value is not finite.
    """
    quota = -(-SAMPLE // len(images))
    seen, ends = {name: [] for name in names}, {name: [] for name in names}

    def record(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            values = (*args, *kwargs.values())[0].flatten(1)
            ends[name] += values.aminmax()
            if values.shape[1] > quota:
                places = torch.randint(values.shape[1], (len(values), quota), generator=generator)
                values = values.gather(1, places.to(values.device))
            seen[name].append(values.flatten())

        return hook

    hooks = [model.get_submodule(name).register_forward_pre_hook(record(name), with_kwargs=True) for name in names]
    device = device_of(model)
    try:
        with torch.no_grad():
            for batch in images.split(BATCH):
                model.eval()(to_pixels(batch, device))
    finally:
        for hook in hooks:
            hook.remove()
    for name in names:
        extremes = torch.stack(ends[name])
        if not torch.isfinite(extremes).all():
            raise NotSupported(f"the inputs of {name} are not finite, so they cannot be quantized")
        seen[name].append(torch.stack([extremes.min(), extremes.max()]))
    return {name: torch.cat(values)[None] for name, values in seen.items()}


def _ends(values: torch.Tensor, percentile: float) -> tuple[torch.Tensor, torch.Tensor]:
    if percentile == 100:
        return values.amin(1), values.amax(1)
    ordered = values.sort(1).values
    rank = round(percentile / 100 * (values.shape[1] - 1))
    return ordered[:, -1 - rank], ordered[:, rank]


def _grid(low: torch.Tensor, high: torch.Tensor, bits: int, symmetric: bool) -> tuple[torch.Tensor, torch.Tensor]:
    top = 2**bits - 1
    scale = ((high - low) / top).clamp_min(SMALLEST_SCALE)
    zero_point = torch.full_like(scale, 2 ** (bits - 1)) if symmetric else (-low / scale).round().clamp(0, top)
    return scale, zero_point


def _error(values: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, bits: int) -> torch.Tensor:
    rounded = FakeQuantize.apply(values, scale[:, None], zero_point[:, None], 2**bits - 1)
    return (rounded - values).square().mean(1)
