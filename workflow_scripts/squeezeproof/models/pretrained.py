"""Weights that a library made for its network, of other images or classes."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from squeezeproof.errors import InputError
from squeezeproof.models.checkpoints import state_of
from squeezeproof.models.measure import layer_macs
from squeezeproof.models.state_dicts import plain_state, state_of_file
from squeezeproof.store.tensors import read_foreign

log = logging.getLogger("squeezeproof")

# Classifiers at the side that serve a training of the library's own, and that networks are built without.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def start_from(model: Any, path: str | Path, shape: Sequence[int], epochs: int) -> None:
    """`load_pretrained`, for a training of some epochs; InputError where one of none would leave layers random."""
    random = load_pretrained(model, path, shape)
    if random and epochs == 0:
        raise InputError(
            f"{path}: is for other images or classes, so {', '.join(random)} would stay random: train for an epoch or "
            f"more, or give a data set with the file's classes"
        )
    log.info("%s: random, since the file is for other images or classes", ", ".join(random) or "nothing")


def load_pretrained(model: Any, path: str | Path, shape: Sequence[int]) -> list[str]:
    """Load a library's weights into the network of `model`; returns the names of tensors that stay as they are.

    These are the first and the last layer, where the file has them in another shape: for other images or classes.

    Args:
        path: a safetensors file.
        shape: (C, H, W) of one image.

    Raises InputError where any other tensor is missing or differs in shape.
    """
    with state_of_file(path):
        tensors, _ = plain_state(read_foreign(path, framework="pt"))
    own = model.network.state_dict()
    layers = list(layer_macs(model, shape))
    free = tuple(f"{name.removeprefix('network.')}." for name in (layers[0], layers[-1]))
    other = [name for name in tensors if name in own and tensors[name].shape != own[name].shape]
    loaded = {name: tensor for name, tensor in tensors.items() if name not in other}
    missing, unexpected = model.network.load_state_dict(state_of(model.network, loaded), strict=False)
    unexpected = [name for name in unexpected if not name.startswith(AUXILIARY)]
    wrong = [name for name in (*missing, *other) if not name.startswith(free)]
    if wrong or unexpected:
        raise InputError(
            f"{path}: are no weights of this network: {', '.join([*wrong, *unexpected][:5])} are missing, unknown or "
            f"of another shape; only the first layer and that of the classes may differ"
        )
    return sorted({*missing, *other})
