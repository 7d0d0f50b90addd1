"""Layers that compute with quantized weights and inputs, simulated in float32; a hack: layers change their class.

This is fake quantization. Every value that such a layer multiplies lies on a grid of at most 2^bits levels. The
gradient passes straight through the rounding [bengio2013], so the layers can be trained and attacked. Ranges are state,
set once: neither training mode nor the batch moves them.
"""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from squeezeproof.errors import InputError, NotSupported
from squeezeproof.models.copies import copied
from squeezeproof.models.multiplied import Product, is_product, open_product

SMALLEST_SCALE = torch.finfo(torch.float32).eps


class FakeQuantize(torch.autograd.Function):
    """apply(x, scale, zero_point, top, gradient): scale * (clamp(round(x / scale) + zero_point, 0, top) - zero_point).

    `scale` and `zero_point` broadcast with x. The values are those of torch.fake_quantize_per_tensor_affine and
    _per_channel_affine. `gradient` is a name of SLOPES. The gradient of the scale is that of LSQ ([esser2020], eq. 3,
    and the factor 1 / sqrt(N Q) of its section 2.2, N being the values of x[0]).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor,
        zero_point: torch.Tensor,
        top: int,
        gradient: str = "straight-through",
    ) -> torch.Tensor:
        ctx.save_for_backward(x, scale, zero_point)
        ctx.top, ctx.gradient = top, gradient
        steps = (x * _positive(scale).reciprocal()).round_()
        return steps.add_(zero_point).clamp_(0, top).sub_(zero_point).mul_(_positive(scale))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scale, zero_point = ctx.saved_tensors
        position = x * _positive(scale).reciprocal()
        low, high = -zero_point, ctx.top - zero_point
        rounded = position.round()
        along_scale = None
        if ctx.needs_input_grad[1]:
            inside = (position > low) & (position < high)
            slope = torch.where(inside, rounded - position, position.clamp(low, high))
            # Q is the largest level: 2^(bits - 1) - 1 for weights, 2^bits - 1 for non-negative inputs.
            factor = (x[0].numel() * torch.maximum(high, zero_point - 1).clamp_min(1)).rsqrt()
            along_scale = (gradient * slope).sum_to_size(scale.shape) * factor
        return gradient * SLOPES[ctx.gradient](position, rounded, low, high), along_scale, None, None, None


def _inside(position: torch.Tensor, rounded: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """1 where x rounds into the range, 0 where it is clipped: half a step more at each end than in LSQ, so that the
    ends of the range, where saturated pixels lie, take part in attacks."""
    return (rounded >= low) & (rounded <= high)


def _everywhere(position: torch.Tensor, rounded: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """1, also where x is clipped."""
    return torch.ones_like(position)


def _staircase(position: torch.Tensor, rounded: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """The slope of a staircase of tanh [gong2019]: steepest between two levels, and of mean 1 between them."""
    step = position.floor().clamp(low, high - 1)
    away = (SHARPNESS * (position - step - 0.5)).clamp(-FLAT, FLAT)
    return SHARPNESS / (2 * math.tanh(SHARPNESS / 2)) / away.cosh().square()


# The slope that stands for that of the rounding, at x / scale, which rounds to a level, with the range [low, high].
SLOPES = {"straight-through": _inside, "identity": _everywhere, "smoothed": _staircase}
# Of 1, 2, 3 and 5, the sharpnesses 2 and 3 made APGD strongest at 2 and 3 bits.
SHARPNESS, FLAT = 2.5, 40


@contextmanager
def rounding_slope(model: nn.Module, name: str) -> Generator[None]:
    """Within the context, gradients pass the rounding of the inputs of a model's layers as a name of SLOPES says."""
    quantizers = [module for module in model.modules() if isinstance(module, Quantizer)]
    before = [quantizer.gradient for quantizer in quantizers]
    for quantizer in quantizers:
        quantizer.gradient = name
    try:
        yield
    finally:
        for quantizer, gradient in zip(quantizers, before, strict=True):
            quantizer.gradient = gradient


def _positive(scale: torch.Tensor) -> torch.Tensor:
    # A learned scale may step below zero; its gradient then still brings it back.
    return scale.clamp_min(SMALLEST_SCALE)


class Quantizer(nn.Module):
    """Rounds x to 2^bits levels, with one scale for each x[i] or, where there is only one, for all.

    Args:
        bits: 1 to 16.
        count: number of scales.
        learned: whether the scales are parameters, trained by LSQ [esser2020], or stay as they are set.

    State: float32 `scale` and int32 `zero_point`, the level in [0, 2^bits - 1] that stands for 0; both [count].
    """

    scale: torch.Tensor
    zero_point: torch.Tensor

    def __init__(self, bits: int, count: int = 1, *, learned: bool = False, device: torch.device | None = None) -> None:
        super().__init__()
        self.bits, self.learned, self.gradient = bits, learned, "straight-through"
        scale = torch.ones(count, device=device)
        if learned:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros(count, dtype=torch.int32, device=device))

    def set(self, scale: torch.Tensor, zero_point: torch.Tensor) -> None:
        """Set the scales and zero points, each [count] or one for all."""
        with torch.no_grad():
            self.scale.copy_(scale)
            self.zero_point.copy_(zero_point)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = [-1] + [1] * (x.dim() - 1)
        # The rounding is in float32 under autocast too.
        zero_point = self.zero_point.float().view(shape)
        return FakeQuantize.apply(x.float(), self.scale.view(shape), zero_point, 2**self.bits - 1, self.gradient)


class Binarizer(nn.Module):
    """Sign of each weight times the mean magnitude of its output channel [rastegari2016], 0 counting as +1.

    The scale follows the weights, there is nothing to set. The gradient passes unchanged where |w| <= 1 and is 0
    elsewhere; the paper multiplies it by the scale and adds 1/n, which slows training with SGD.
    """

    bits, learned = 1, False

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        scale = weight.detach().abs().flatten(1).mean(1).view([-1] + [1] * (weight.dim() - 1))
        binary = torch.where(weight.detach() >= 0, scale, -scale)
        through = weight.clamp(-1, 1)
        return binary + (through - through.detach())


class QuantizedConv2d(nn.Conv2d):
    """A convolution whose weight and input pass `weight_quantizer` and `input_quantizer`."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(self.input_quantizer(input), self.weight_quantizer(self.weight), self.bias)


class QuantizedLinear(nn.Linear):
    """A linear layer whose weight and input pass `weight_quantizer` and `input_quantizer`."""

    weight_quantizer: nn.Module
    input_quantizer: nn.Module

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.input_quantizer(input), self.weight_quantizer(self.weight), self.bias)


QUANTIZED: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: QuantizedConv2d, nn.Linear: QuantizedLinear}


def quantize_layers(model: nn.Module, layers: Mapping[str, dict[str, Any]]) -> None:
    """Turn layers of a model into quantized ones in place; their ranges are still to be set (`Quantizer.set`).

    Args:
        layers: layer name -> {"weight": {"bits", "learned"}, "input": the same or None for float inputs}. A layer may
            be a Product (models.multiplied), which is made where there is none.

    Parameters keep their names and values. Raises NotSupported for a layer that is no torch.nn.Conv2d or
    torch.nn.Linear; whether a subclass computes what those do is for `unlike_base` to say.
    """
    for name, settings in layers.items():
        if is_product(name) and name not in dict(model.named_modules()):
            open_product(model, name)
        layer: Any = model.get_submodule(name)
        base = _base(layer)
        if base is not None:
            layer.__class__ = QUANTIZED[base]
        elif not isinstance(layer, Product) or _is_quantized(layer):
            raise not_covered(name, layer)
        device, weight = layer.weight.device, settings["weight"]
        binary = weight["bits"] == 1
        layer.weight_quantizer = Binarizer() if binary else Quantizer(**weight, count=len(layer.weight), device=device)
        layer.input_quantizer = Quantizer(**settings["input"], device=device) if settings["input"] else nn.Identity()
        layer.train(layer.training)


def not_covered(name: str, layer: nn.Module) -> InputError:
    """The NotSupported of a layer that cannot be quantized."""
    what = type(layer).__name__
    if "weight" not in layer._parameters:
        what += (
            ", whose weight is computed from parameters; make it a plain parameter first, by remove_weight_norm, "
            "remove_parametrizations or prune.remove"
        )
    return NotSupported(
        f"quantization covers torch.nn.Conv2d and torch.nn.Linear, what computes as they do, and the functions conv2d "
        f"and linear of torch.nn.functional where they are given a parameter; {name} is a {what}"
    )


def unlike_base(layer: Any, fed: Sequence[torch.Tensor], output: torch.Tensor) -> bool:
    """Whether a layer gave another `output` for its inputs `fed` than torch.nn.Conv2d or torch.nn.Linear would, or
    would give another with other weights: some write a mask or bounds into theirs, and a training would leave them."""
    base = _base(layer)
    # A hook, as that of torch.nn.utils.weight_norm, computes the weight of a layer that is called the same.
    if type(layer) is base and "weight" in layer._parameters:
        return False
    with torch.no_grad():
        if base is None or len(fed) != 1 or not torch.equal(base.forward(layer, fed[0]), output):
            return True
        other = copied(layer)
        generator = torch.Generator().manual_seed(0)
        weight = 10 * torch.randn(layer.weight.shape, generator=generator).to(layer.weight)
        other.weight.data = weight.clone()
        own = other.forward(fed[0])
        other.weight.data = weight
        return not torch.equal(base.forward(other, fed[0]), own)


def _base(layer: nn.Module) -> type[nn.Module] | None:
    """torch.nn.Conv2d or torch.nn.Linear, where a layer is one with a weight of its own and not quantized yet."""
    if isinstance(layer, tuple(QUANTIZED.values())):
        return None
    base = next((base for base in QUANTIZED if isinstance(layer, base)), None)
    return base if base is not None and "weight" in layer._parameters else None


def quantized_layers(model: nn.Module) -> dict[str, dict[str, Any]]:
    """The settings that `quantize_layers` was called with, read off the model; empty for a float model."""
    return {
        name: {part: _settings(layer.get_submodule(f"{part}_quantizer")) for part in ("weight", "input")}
        for name, layer in model.named_modules()
        if _is_quantized(layer)
    }


def _is_quantized(layer: Any) -> bool:
    opened = isinstance(layer, Product) and not isinstance(layer.weight_quantizer, nn.Identity)
    return opened or isinstance(layer, tuple(QUANTIZED.values()))


def _settings(quantizer: nn.Module) -> dict[str, Any] | None:
    if isinstance(quantizer, nn.Identity):
        return None
    return {"bits": quantizer.bits, "learned": quantizer.learned}
