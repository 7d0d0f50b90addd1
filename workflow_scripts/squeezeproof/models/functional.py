"""Linear layers whose weights a network multiplies with itself, without calling them; a hack: they change their class.

Hooks do not see such a layer, so it would be neither counted, pruned nor quantized: the attention of torchvision's swin
transformers uses its projections so. Here the network calls them, which computes the same.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class _Called(TorchFunctionMode):
    """Calls one of the `layers` where its weight and bias are multiplied with by functional.linear."""

    def __init__(self, layers: Iterable[nn.Linear]) -> None:
        super().__init__()
        self.layers = {id(layer.weight): layer for layer in layers}

    # torch passes them by place.
    def __torch_function__(  # ty: ignore[lost-keyword-for-regular-parameter]
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is functional.linear:
            fed, weight, bias = _arguments(*args, **(kwargs or {}))
            layer = self.layers.get(id(weight))
            if layer is not None and layer.bias is bias:
                return self.call(layer, fed)
        return function(*args, **(kwargs or {}))

    def call(self, layer: nn.Linear, fed: torch.Tensor) -> torch.Tensor:
        return layer(fed)


class _Watched(_Called):
    """Notes, in `found`, the layers whose weights are multiplied with while they are not being called."""

    def __init__(self, layers: Iterable[nn.Linear]) -> None:
        super().__init__(layers)
        self.inside, self.found = set(), []

    def call(self, layer: nn.Linear, fed: torch.Tensor) -> torch.Tensor:
        if layer not in self.inside:
            self.found.append(layer)
        return functional.linear(fed, layer.weight, layer.bias)


def call_layers(network: nn.Module, pixels: torch.Tensor) -> None:
    """Let the modules of a network call those of their linear layers that they use without a call; in place.

    Args:
        pixels: images of a pass that shows which those are.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    watched, hooks = _Watched(layers), []
    for layer in layers:
        hooks.append(layer.register_forward_pre_hook(lambda module, _: watched.inside.add(module)))
        hooks.append(layer.register_forward_hook(lambda module, *_: watched.inside.discard(module)))
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad(), watched:
            network.eval()(pixels)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    for module in list(network.modules()):
        used = tuple(name for name, child in module.named_children() if any(child is layer for layer in watched.found))
        if used:
            module.__class__ = _calling(type(module), used)


@cache
def _calling(kind: Any, names: tuple[str, ...]) -> type[nn.Module]:
    """The class of modules that call their layers of these names."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with _Called([getattr(self, name) for name in names]):
            return kind.forward(self, *args, **kwargs)

    return type(kind.__name__, (kind,), {"forward": forward})


def _arguments(input: Any, weight: Any, bias: Any = None) -> tuple[Any, Any, Any]:
    return input, weight, bias
