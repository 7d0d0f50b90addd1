"""Attacks as they are called: on copies, beside a network that they have to leave as it is."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from squeezeproof.attacks.source import Counted
from squeezeproof.errors import InputError
from squeezeproof.store.tensors import fingerprint


def points_of(
    attack: Callable[..., Any],
    source: Counted,
    pixels: torch.Tensor,
    aims: torch.Tensor,
    *,
    indices: torch.Tensor,
    **options: Any,
) -> torch.Tensor:
    """What an attack returns, detached. It gets copies, which it may work on in place.

    Args:
        attack: of attacks.registry, with its settings bound.
        source, options: handed on.
        pixels, aims, indices: of a batch, as `attacks.craft` has them.

    Raises InputError where that is no tensor.
    """
    points = attack(source, pixels.clone(), aims.clone(), indices=indices.clone(), **options)
    if not isinstance(points, torch.Tensor):
        raise InputError(
            f"the attack returned {type(points).__name__}; it has to return a tensor of attacked pixels, shaped as its "
            f"inputs"
        )
    return points.detach()


@contextmanager
def unchanged(model: nn.Module) -> Generator[None]:
    """Raises InputError at the end where the parameters of a model are no longer what they were.

    Buffers may change: some networks count their passes in one.
    """
    before = _digest(model)
    yield
    if _digest(model) != before:
        raise InputError(
            "the attack changed weights of the network that it attacks, so what it found is of another network; let "
            "it work on a copy of what it wants to change (copy.deepcopy)"
        )


def _digest(model: nn.Module) -> str:
    flat = (parameter.detach().cpu().reshape(-1) for parameter in model.parameters())
    # NumPy has no bfloat16.
    return fingerprint(*(values.view(torch.uint8).numpy() for values in flat))
