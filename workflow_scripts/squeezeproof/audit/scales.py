"""Check 34: the scales of a quantized model fit the weights and the inputs that they serve.

With the scales of another layer a model still computes, and its numbers are its own; they are not those of its name.
Learned scales (LSQ) may cut more off, and run away where the steps of their training are large: of 16 bits under plain
SGD, ten were never used. So they may be wider and cut more, but not without a bound.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from squeezeproof.audit.findings import EVERY, Finding, judge, listed, not_applicable
from squeezeproof.batches import in_batches
from squeezeproof.models.device import device_of
from squeezeproof.models.quantized import SMALLEST_SCALE, Quantizer
from squeezeproof.store.datasets import to_pixels

# How many times as wide as its values a range may be. That of weights never is when it is set; fine-tuning moves them.
# That of inputs was set on other images, some of which may have had larger values.
WIDE_WEIGHTS, WIDE_INPUTS = 1.5, 2.5
# The same of learned ranges, of which trainings of 2 to 8 bits left up to 4; 8 leave 3 bits unused.
WIDE_LEARNED = 8.0
# Share of the values that a range may cut off, by bits: several times what the range of least mean squared error cuts
# off of normally distributed values.
CUT = {1: 1.0, 2: 0.5, 3: 0.25}
CUT_OTHERS = 0.06
FEW_WEIGHTS = 2.5
# Share that a learned range may cut off.
CUT_LEARNED = 0.25


def audit_scales(
    model: nn.Module, images: torch.Tensor, *, batch_size: int | None, dataset: str, source: str
) -> list[Finding]:
    """The finding of check 34 on a model with quantized layers (models.quantized), none on another.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        images: uint8 [N, C, H, W], that it is fed, on the CPU.
        batch_size: images in memory at a time; None for as many as fit.
        dataset, source: names of the cell.

    Its value is how many ranges do not fit.
    """
    layers = [(name, layer) for name, layer in model.named_modules() if hasattr(layer, "input_quantizer")]
    if not layers:
        return []
    key = (dataset, EVERY, source, EVERY)
    if not any(_has_range(part) for _, layer in layers for part in (layer.weight_quantizer, layer.input_quantizer)):
        return [not_applicable(key, 34, "its scales follow its weights")]
    found = [problem for name, layer in layers if (problem := _weights(name, layer))]
    found += _inputs(model, layers, images, batch_size)
    message = (
        f"ranges that do not fit what they round: {listed(range(len(found)), found)}; the scales are of other layers, "
        f"units or images, or ran away while they were learned: compress it again, with more calibration_images, or "
        f"fine-tune it with a smaller learning rate"
    )
    return [judge(key, 34, len(found), 0, message)]


def _weights(name: str, layer: Any) -> str:
    """What is wrong with the ranges of a layer's weights, by the median over its channels; empty where nothing is."""
    quantizer = layer.weight_quantizer
    if not _has_range(quantizer):
        return ""
    weight = layer.weight.detach().flatten(1)
    low, high = _range(quantizer)
    extent = weight.abs().amax(1)
    used = extent > 0
    if not used.any():
        return ""
    wide = torch.maximum(-low, high)[used] / extent[used]
    step = _scale(quantizer)[:, None]
    cut = ((weight < low[:, None] - step) | (weight > high[:, None] + step))[used].double().mean(1)
    # One of a few weights is a large share.
    most, widest = max(_most_cut(quantizer), FEW_WEIGHTS / weight.shape[1]), _widest(quantizer, WIDE_WEIGHTS)
    return _problem(f"weights of {name}", wide.median().item(), widest, cut.median().item(), most)


def _has_range(quantizer: nn.Module) -> bool:
    """Whether its range was set by calibration or learned."""
    return isinstance(quantizer, Quantizer)


def _inputs(
    model: nn.Module, layers: list[tuple[str, Any]], images: torch.Tensor, batch_size: int | None
) -> Iterator[str]:
    """What is wrong with the ranges of the layers' inputs."""
    seen: dict[str, list[tuple[float, float, int, int]]] = {}
    device, chosen = device_of(model), [each for each in layers if _has_range(each[1].input_quantizer)]

    def hook(name: str, quantizer: Quantizer) -> Any:
        def look(module: nn.Module, fed: tuple[torch.Tensor, ...]) -> None:
            values, (low, high) = fed[0], _range(quantizer)
            step = _scale(quantizer)
            outside = (values < low - step) | (values > high + step)
            told = values.min().item(), values.max().item(), int(outside.sum()), outside.numel()
            seen.setdefault(name, []).append(told)

        return look

    with ExitStack() as hooks, torch.no_grad():
        for name, layer in chosen:
            quantizer = layer.input_quantizer
            hooks.callback(quantizer.register_forward_pre_hook(hook(name, quantizer)).remove)
        in_batches(len(images), batch_size, lambda first, last: model(to_pixels(images[first:last], device)))
    for name, layer in chosen:
        lows, highs, outside, counts = zip(*seen.get(name, [(0.0, 0.0, 0, 1)]), strict=True)
        low, high = (end.item() for end in _range(layer.input_quantizer))
        extent = max(max(highs), 0.0) - min(min(lows), 0.0)
        if extent > 0:
            wide, cut = (high - low) / extent, sum(outside) / sum(counts)
            most, widest = _most_cut(layer.input_quantizer), _widest(layer.input_quantizer, WIDE_INPUTS)
            if problem := _problem(f"inputs of {name}", wide, widest, cut, most):
                yield problem


def _range(quantizer: Quantizer) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the largest value that a quantizer has levels for, each [count]."""
    scale, zero_point = _scale(quantizer), quantizer.zero_point
    return -zero_point * scale, (2**quantizer.bits - 1 - zero_point) * scale


def _scale(quantizer: Quantizer) -> torch.Tensor:
    """The scales that its rounding takes [count]; a learned one may step below zero."""
    return quantizer.scale.detach().clamp_min(SMALLEST_SCALE)


def _most_cut(quantizer: Quantizer) -> float:
    """Share of the values that a range may cut off."""
    set_once = CUT.get(quantizer.bits, CUT_OTHERS)
    return max(set_once, CUT_LEARNED) if quantizer.learned else set_once


def _widest(quantizer: Quantizer, set_once: float) -> float:
    """How many times as wide as its values a range may be, given that of one that was set."""
    return WIDE_LEARNED if quantizer.learned else set_once


def _problem(what: str, wide: float, widest: float, cut: float, most: float) -> str:
    if wide > widest:
        return f"{what} ({wide:.3g} times as wide as they are)"
    return f"{what} ({cut:.1%} of them cut off)" if cut > most else ""
