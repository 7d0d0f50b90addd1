"""The size of a model: parameters, non-zeros, channels, MACs and bytes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from squeezeproof.models.device import device_of
from squeezeproof.models.foreign import Foreign
from squeezeproof.models.multiplied import parameter_of
from squeezeproof.models.products import Product, products, weights_in_use
from squeezeproof.models.quantized import Quantizer, quantized_layers
from squeezeproof.types import Masks

FLOAT_BITS = 32


def measure(model: nn.Module, masks: Masks, shape: Sequence[int]) -> dict[str, int]:
    """Count what a model holds and does.

    Args:
        model: maps [N, *shape] to logits.
        masks: pruned parameter name -> bool tensor; empty for dense models.
        shape: (C, H, W) of one image.

    Returns a dictionary of ints: `parameters`; `nonzeros` among them; `channels`, the filters of all
    `convolutions`, the layers that `filtering` finds; `weights`, the values that activations are multiplied with,
    as they are used, `zero_weights` among them and `quantized_weights`; `weight_bits`, what all of them take at their
    width, zeros too; `macs`, multiply-accumulates for one image,
    those of attention too and zeros counted (unstructured zeros save no time on CPUs and GPUs); `bytes` of the
    parameters in float32; `packed_bytes` with masked tensors stored as their non-zeros and one bit per position,
    and quantized weights at their bit width. Scales and zero points of quantized layers are no parameters; they
    count in `packed_bytes`, with four bytes each.
    """
    network = getattr(model, "network", None)
    if isinstance(network, Foreign):
        return network.size(shape)
    layers = quantized_layers(model)
    bits = {parameter_of(model, name): settings["weight"]["bits"] for name, settings in layers.items()}
    parameters = {name: p for name, p in model.named_parameters() if not name.endswith("_quantizer.scale")}
    packed = sum(_quantizer_bytes(model.get_submodule(name)) for name in layers)
    for name, parameter in parameters.items():
        kept = int(masks[name].sum()) if name in masks else parameter.numel()
        packed += (bits.get(name, FLOAT_BITS) * kept + 7) // 8
        packed += (parameter.numel() + 7) // 8 if name in masks else 0
    total = sum(parameter.numel() for parameter in parameters.values())
    found = products(model, shape)
    used = weights_in_use(found).values()
    filters = [width_of(layer) for layer in filtering(model, shape, found)]
    return {
        "parameters": total,
        "nonzeros": sum(int(parameter.count_nonzero()) for parameter in parameters.values()),
        "channels": sum(filters),
        "convolutions": len(filters),
        "weights": sum(weight.numel() for _, _, weight in used),
        "zero_weights": sum(int((weight == 0).sum()) for _, _, weight in used),
        "quantized_weights": sum(weight.numel() for module, _, weight in used if module in layers),
        "weight_bits": sum(
            weight.numel() * (layers[module]["weight"]["bits"] if module in layers else FLOAT_BITS)
            for module, _, weight in used
        ),
        "macs": sum(product.macs for product in found),
        "bytes": 4 * total,
        "packed_bytes": packed,
    }


def filtering(model: nn.Module, shape: Sequence[int], found: Sequence[Product] | None = None) -> list[nn.Module]:
    """The layers whose outputs are the filters of a network: its convolutions, and where there is but the one that cuts
    the image into patches, as in transformers, its linear layers too. What a pass over an image of `shape` (C, H, W)
    does not use is none of them. `found` are its products, where they are known.
    """
    found = products(model, shape) if found is None else found
    used = {product.parameter.rpartition(".")[0] for product in found if product.parameter}
    used |= layer_macs(model, shape).keys()
    modules = [module for name, module in model.named_modules() if name in used]
    layers = [module for module in modules if isinstance(module, nn.Conv2d)]
    if len(layers) == 1 and layers[0].kernel_size == layers[0].stride != (1, 1):
        return [*layers, *(module for module in modules if isinstance(module, nn.Linear))]
    return [*layers]


def width_of(layer: Any) -> int:
    """Outputs of a convolution or a linear layer."""
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features


def _quantizer_bytes(layer: Any) -> int:
    """Four bytes for every scale, of a binary weight too, and for every zero point that is not known anyway."""
    return 4 * len(layer.weight) + (8 if isinstance(layer.input_quantizer, Quantizer) else 0)


def layer_macs(model: nn.Module, shape: Sequence[int]) -> dict[str, int]:
    """Multiply-accumulates for one image of every convolution and linear layer by its name, in order of execution."""
    macs, hooks = {}, []

    def record(name: str) -> Callable[..., None]:
        def hook(module: nn.Conv2d | nn.Linear, inputs: Any, output: Any) -> None:
            # A network may hold parts of the image, as its windows, in the place of images, and none of them.
            positions = output.numel() // len(module.weight)
            macs[name] = macs.get(name, 0) + module.weight.numel() * positions

        return hook

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            hooks.append(module.register_forward_hook(record(name)))
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *shape, device=device_of(model)))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return macs
