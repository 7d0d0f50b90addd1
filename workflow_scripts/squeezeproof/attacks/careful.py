"""Attacks as they are called: on copies, with random numbers of their own, beside a network that they do not change."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from squeezeproof.attacks.source import Counted
from squeezeproof.errors import OfModel
from squeezeproof.randomness import drawn_since, own_randomness, states
from squeezeproof.seeds import derive_seed
from squeezeproof.store.tensors import fingerprint


def points_of(
    attack: Callable[..., Any],
    source: Counted,
    pixels: torch.Tensor,
    aims: torch.Tensor,
    *,
    seed: int,
    indices: torch.Tensor,
    draws_by_batch: bool,
    **options: Any,
) -> torch.Tensor:
    """What an attack returns, detached. It gets copies, which it may work on in place.

    The generators that everything in the process shares start from the seed and the first index, and go on as before
    afterwards: what ran before decides nothing.

    Args:
        attack: of attacks.registry, with its settings bound.
        source, seed, options: handed on.
        pixels, aims, indices: of a batch, as `attacks.craft` has them.
        draws_by_batch: whether the attack declares that it may draw from these generators.

    Raises OfModel where it returns no tensor, or draws from these generators and does not declare it.
    """
    training = source.model.training
    with own_randomness(derive_seed(seed, "shared", int(indices[0])), pixels.device), _settings_of_torch():
        before = states(pixels.device)
        points = attack(source, pixels.clone(), aims.clone(), seed=seed, indices=indices.clone(), **options)
        drawn = [] if draws_by_batch else drawn_since(before, pixels.device)
    if drawn and not _draws(source.model, pixels):
        raise OfModel(
            f"the attack draws from {' and '.join(drawn)}, which everything shares, so that an example gets other "
            f"numbers in another batch; draw by uniform(seed, indices, shape, stream) of squeezeproof.attacks.random, "
            f"or write draws_by_batch = True into the attack's class"
        )
    if not isinstance(points, torch.Tensor):
        raise OfModel(
            f"the attack returned {type(points).__name__}; it has to return a tensor of attacked pixels, shaped as its "
            f"inputs"
        )
    if source.model.training and not training:
        raise OfModel("the attack put the network into training mode, in which it is another; let it call eval()")
    return points.detach()


@contextmanager
def _settings_of_torch() -> Generator[None]:
    """What an attack changes of the settings of this process ends with it."""
    dtype, gradients, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@torch.no_grad()
def _draws(model: nn.Module, pixels: torch.Tensor) -> bool:
    """Whether the passes of a model draw random numbers themselves, or start the generators anew, by whatever seed."""
    with own_randomness(derive_seed("drawn"), pixels.device):
        before = states(pixels.device)
        model(pixels)
        return bool(drawn_since(before, pixels.device))


@contextmanager
def unchanged(model: nn.Module) -> Generator[None]:
    """Raises OfModel at the end where the weights of a model, or the statistics and scales in its state_dict, are no
    longer what they were.

    Other buffers may change: some networks count their passes in one.
    """
    before = _digest(model)
    yield
    if _digest(model) != before:
        raise OfModel(
            "the attack changed weights or statistics of the network that it attacks, so what it found is of another "
            "network; let it work on a copy of what it wants to change (copy.deepcopy)"
        )


def _digest(model: nn.Module) -> str:
    flat = (values.detach().cpu().reshape(-1) for values in model.state_dict().values() if values.is_floating_point())
    # NumPy has no bfloat16.
    return fingerprint(*(values.view(torch.uint8).numpy() for values in flat))
