"""Initial weights other than those that a network's own code draws."""

from collections.abc import Callable
from functools import partial

from torch import nn

from squeezeproof.entries.architecture import OWN
from squeezeproof.errors import InputError
from squeezeproof.randomness import own_randomness

DRAWN: dict[str, Callable[..., object]] = {
    "glorot_uniform": nn.init.xavier_uniform_,
    "he_normal": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
}


def initialize(network: nn.Module, initialization: str, seed: int) -> None:
    """Draw the weights of every convolution and linear layer anew, in place, and set their biases to zero.

    Args:
        initialization: `glorot_uniform` [glorot2010] or `he_normal` [he2015], fans counted per group of channels; `own`
            changes nothing.
        seed: of the draw; the global generators are left as they were.

    Raises InputError where a layer's weight is computed from other parameters.
    """
    if initialization == OWN:
        return
    with own_randomness(seed):
        for name, layer in network.named_modules():
            if not isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
                continue
            if "weight" not in layer._parameters:
                raise InputError(
                    f"initialization: the weight of {name} is computed from others; write initialization: {OWN}"
                )
            DRAWN[initialization](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
