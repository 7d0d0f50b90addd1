"""What the named layers of a model say of images, for t-SNE and histograms of activations."""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from squeezeproof.errors import InputError, OfModel
from squeezeproof.models.measure import layer_macs

SUGGESTED = 3


def layer_names(model: nn.Module, shape: Sequence[int]) -> list[str]:
    """Names of the convolutions and linear layers of a model that maps [N, *shape] to logits, in order of execution.

    A layer that is used several times is named once, where it is first used.
    """
    return list(layer_macs(model, shape))


def features(model: nn.Module, names: Sequence[str], images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outputs of the named layers for `images` [N, C, H, W] in [0, 1], each a tensor [N, ...], in the order of `names`.

    A name is one of `model.named_modules()`, such as those of `layer_names`. The outputs are the layers' own, before
    the activation that follows a convolution; of a layer that is used several times, the last one's. The pass is made
    in eval mode and without gradients, and the model is left as it was. Images lie on the model's device.

    Raises InputError for a name that the model does not have, with the nearest ones, and for a layer that the pass
    does not reach or that returns something else than a tensor.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    for name in names:
        if name not in modules:
            nearest = difflib.get_close_matches(name, modules, n=SUGGESTED, cutoff=0)
            raise OfModel(f"the model has no layer {name!r}; the nearest are {', '.join(nearest)}")
    found = {}

    def record(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            # An in-place activation that follows would overwrite it.
            found[name] = output.clone() if isinstance(output, torch.Tensor) else output

        return hook

    training = {module for module in model.modules() if module.training}
    hooks = [modules[name].register_forward_hook(record(name)) for name in dict.fromkeys(names)]
    try:
        with torch.no_grad():
            model.eval()(images)
    finally:
        for module in model.modules():
            module.training = module in training
        for hook in hooks:
            hook.remove()
    for name in names:
        if not isinstance(found.get(name), torch.Tensor):
            fault = f"returns {type(found[name]).__name__}, not a tensor" if name in found else "is not reached"
            raise InputError(f"layer {name!r} of the model {fault}; choose another")
    return {name: found[name] for name in names}
