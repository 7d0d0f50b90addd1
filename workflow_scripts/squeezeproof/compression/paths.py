"""Whether every image takes the same path through a network, and one that can be followed."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from squeezeproof.errors import NotSupported
from squeezeproof.models.device import device_of
from squeezeproof.models.products import gradients, products, used
from squeezeproof.models.quantized import unlike_base
from squeezeproof.randomness import own_randomness
from squeezeproof.store.datasets import to_pixels

IMAGES, ALONE, NUMBERS = 64, 4, 64 * 3 * 32 * 32
# Names that one message has.
LISTED = 4


def check_paths(model: nn.Module, shape: Sequence[int], images: torch.Tensor) -> None:
    """Raise NotSupported where one pass does not tell which weights the others use.

    What is pruned, quantized and counted is found in a pass over one image. Experts that are chosen for an image, early
    exits, and layers that are fed without a gradient would be left out of it, and of what is said of the model.

    Args:
        shape: (C, H, W) of one image.
        images: uint8 [N, C, H, W] of the training split, of which the first are tried, together and some alone.
    """
    device = device_of(model)
    # Of large images fewer, so that it takes less memory than a step of a training.
    pixels = to_pixels(images[: max(ALONE, min(IMAGES, NUMBERS // math.prod(shape)))], device)
    nothing = torch.zeros(1, *shape, device=device)
    with own_randomness(0, device):
        reached = [_reached(model, some) for some in (nothing, pixels, *pixels[:ALONE].split(1))]
        differing = set.union(*reached) - set.intersection(*reached)
        if differing:
            raise NotSupported(
                f"which layers a pass uses depends on the images, so that no pass tells what to remove or to "
                f"count: {_listed(differing)} only for some of them; compute with all layers for every image, or leave "
                f"the network out of compression"
            )
        if lost := _without_gradient(model, shape, pixels):
            raise NotSupported(
                f"the images come to {', '.join(lost[:LISTED])} without a gradient, so that what is multiplied there "
                f"cannot be followed; in `forward`, compute with tensors of torch alone, without torch.no_grad, "
                f".detach(), .data, numpy or integers, or leave the network out of compression"
            )


def _reached(model: nn.Module, pixels: torch.Tensor) -> set[str]:
    """Names of the parameters that the logits of some images depend on."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.is_floating_point()]
    with gradients(model, True), torch.enable_grad():
        logits = model.eval()(pixels)
        if not logits.requires_grad:
            return set()
        found: Any = torch.autograd.grad(logits.sum(), [parameter for _, parameter in named], allow_unused=True)
    return {name for (name, _), gradient in zip(named, found, strict=True) if gradient is not None}


def _without_gradient(model: nn.Module, shape: Sequence[int], pixels: torch.Tensor) -> list[str]:
    """Convolutions and linear layers that see the images and whose weights `products` does not find."""
    known, passes = used(products(model, shape)), []
    if not known:
        # Whoever asks for weights says so.
        return []

    # By the place of its weight, which several layers may share.
    held = {model.get_parameter(name).data_ptr() for name, _ in model.named_parameters() if name in known}

    def hook(name: str) -> Any:
        def record(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            if len(inputs) == 1 and not unlike_base(layer, inputs, output):
                passes[-1].setdefault(name, []).append(inputs[0].clone())

        return record

    with ExitStack() as hooks, torch.no_grad():
        for name, layer in model.named_modules():
            plain = isinstance(layer, (nn.Conv2d, nn.Linear)) and name not in known
            if plain and layer.weight.data_ptr() not in held:
                hooks.callback(layer.register_forward_hook(hook(name)).remove)
        for one in pixels[:2].split(1):
            passes.append({})
            model.eval()(one)
    # What is fed the same for every image, in each of its calls, computes something else, such as a table of positions.
    first, second = passes
    return [name for name, calls in first.items() if not _equal(calls, second.get(name, []))]


def _equal(calls: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return len(calls) == len(others) and all(map(torch.equal, calls, others))


def _listed(names: set[str]) -> str:
    layers = sorted({name.rpartition(".")[0] or name for name in names})
    return ", ".join(layers[:LISTED]) + ", ..." * (len(layers) > LISTED)
