"""Quantization, post-training and as the start of quantization-aware training."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import nn

from squeezeproof.checked import QuantizationSettings, QuantizerSettings
from squeezeproof.compression.achieved import FAR
from squeezeproof.compression.calibration import calibrate, draw, observe
from squeezeproof.compression.task import Task
from squeezeproof.errors import NotSupported
from squeezeproof.models.device import device_of
from squeezeproof.models.measure import layer_macs
from squeezeproof.models.multiplied import open_products, parameter_of
from squeezeproof.models.products import NO_WEIGHT, products, weights_in_use
from squeezeproof.models.quantized import Quantizer, not_covered, quantize_layers, unlike_base
from squeezeproof.types import Masks

FLOAT = 32
KEPT_BITS = 8
# Names that one message has.
LISTED = 4


def quantize(
    model: nn.Module, shape: Sequence[int], settings: QuantizationSettings, images: torch.Tensor, seed: int
) -> None:
    """Quantize the convolutions and linear layers of a model in place, their weights and their inputs.

    Args:
        model: the trained float model.
        shape: (C, H, W) of one image.
        settings: a checked `compressions` entry of method quantization with `bits` a single number.
        images: uint8 training images, of which `calibration_images` (or all, where there are fewer) are drawn by
            `seed` to set the ranges of the inputs.

    Weights get a symmetric range per output channel, at 1 bit their sign times the channel's mean magnitude
    [rastegari2016]; inputs get an affine range per layer. All ranges come from the float model. They stay fixed in
    `mode: ptq`; in `mode: qat` they are learned (LSQ [esser2020]), from these instead of from 2 mean|w| / sqrt(Q).
    Biases, normalisations and sums stay float. Raises NotSupported where no layer can be quantized, or more than
    a share FAR of the weights is of none.
    """
    names = _multiplying(model, shape)
    if not names:
        raise NotSupported("the network has no convolution or linear layer that could be quantized")
    layers = {name: _layer_settings(settings, name in (names[0], names[-1])) for name in names}
    _check_share(model, shape, names)
    chosen, generator = draw(images, settings["calibration_images"], seed)
    quantized_inputs = [name for name in names if layers[name]["input"]]
    seen = observe(model, quantized_inputs, chosen, generator) if quantized_inputs else {}
    quantize_layers(model, layers)
    options = {"method": settings["calibration"], "percentile": settings["percentile"]}
    for name in names:
        layer = model.get_submodule(name)
        of_weight, of_input = layer.weight_quantizer, layer.input_quantizer
        if isinstance(of_weight, Quantizer):
            weight = model.get_parameter(f"{name}.weight").detach().flatten(1)
            of_weight.set(*calibrate(weight, of_weight.bits, symmetric=True, **options))
        if isinstance(of_input, Quantizer):
            of_input.set(*calibrate(seen[name], of_input.bits, symmetric=False, **options))


def _multiplying(model: nn.Module, shape: Sequence[int]) -> list[str]:
    """What a pass multiplies with, in order: the layers, and the Products, which are made, of calls of functions.

    Raises NotSupported for a layer that computes something else than torch.nn.Conv2d or torch.nn.Linear, and calls no
    function that does with its weight.
    """
    pixels = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(device_of(model))
    unlike: dict[str, bool] = {}

    def look(name: str, layer: nn.Module, fed: Sequence[torch.Tensor], output: torch.Tensor) -> None:
        unlike[name] = unlike.get(name, False) or unlike_base(layer, fed, output)

    _pass(model, pixels, list(layer_macs(model, shape)), look)
    apart = [name for name in unlike if not unlike[name]]
    products = open_products(model, pixels, {model.get_submodule(name) for name in apart})
    weights = {parameter_of(model, name) for name in products}
    for name in unlike:
        if unlike[name] and f"{name}.weight" not in weights:
            raise not_covered(name, model.get_submodule(name))
    order: dict[str, None] = {}
    _pass(model, pixels, [*apart, *products], lambda name, *_: order.setdefault(name))
    return list(order)


def _pass(model: nn.Module, pixels: torch.Tensor, names: Sequence[str], look: Callable[..., None]) -> None:
    """Run a model in eval mode; look(name, layer, inputs, output) is called after each layer of these names."""
    with ExitStack() as hooks, torch.no_grad():
        for name in names:
            hook = model.get_submodule(name).register_forward_hook(partial(look, name))
            hooks.callback(hook.remove)
        model.eval()(pixels)


def _check_share(model: nn.Module, shape: Sequence[int], names: Sequence[str]) -> None:
    """Raise NotSupported where many weights belong to no layer that is quantized: the bits would be another model's."""
    found, layers = products(model, shape), set(names)
    # The weight of a layer that something else multiplies with, too, is float there.
    within, without = (
        weights_in_use([product for product in found if (product.module in layers) is wanted]).values()
        for wanted in (True, False)
    )
    total = sum(weight.numel() for *_, weight in (*within, *without))
    if not total:
        raise NotSupported(f"quantization {NO_WEIGHT}")
    left = {parameter or module: weight.numel() for module, parameter, weight in without}
    if sum(left.values()) > FAR * total:
        largest = sorted(left, key=left.__getitem__, reverse=True)
        raise NotSupported(
            f"quantization would leave {100 * sum(left.values()) / total:.3g} % of the weights float: no "
            f"call of a torch.nn.Conv2d, a torch.nn.Linear or their functions multiplies with "
            f"{', '.join(largest[:LISTED])}{', ...' * (len(largest) > LISTED)}; hold them in such layers and call "
            f"these, or leave the network out of quantization"
        )


def _layer_settings(settings: QuantizationSettings, is_end: bool) -> dict[str, QuantizerSettings | None]:
    """What `quantize_layers` takes for one layer."""
    bits, input_bits = settings["bits"], settings["activation_bits"] or settings["bits"]
    if is_end and settings["first_last"] == "keep":
        bits, input_bits = max(bits, KEPT_BITS), max(input_bits, KEPT_BITS)
    return {
        "weight": _quantizer_settings(settings, bits),
        "input": _quantizer_settings(settings, input_bits) if input_bits < FLOAT else None,
    }


def _quantizer_settings(settings: QuantizationSettings, bits: int) -> QuantizerSettings:
    return {"bits": bits, "learned": settings["mode"] == "qat"}


def compress_bits(task: Task) -> Masks:
    """Quantization as `compression.compress.compress` calls it."""
    images, _ = task.training_examples()
    quantize(task.model, task.shape, task.settings, images, task.seed)
    masks = task.masks or {}
    task.train_on(task.model, masks, 0)
    return masks
