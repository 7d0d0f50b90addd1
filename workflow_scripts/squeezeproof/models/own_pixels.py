"""What a checkpoint of a study says that its network's pixels are made of; other files of weights say nothing of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeezeproof.errors import InputError
from squeezeproof.models.moments import Moments
from squeezeproof.store.tensors import read_foreign

MEAN, STD = "normalize.mean", "normalize.std"
# Relative distance of two numbers that are one, rounded.
ROUNDED = 1e-4


def normalization_in(path: str | Path) -> Moments | None:
    """(mean, std) per channel that a checkpoint lays before its network; None of a file that has none."""
    tensors = read_foreign(path, framework="pt")
    if MEAN not in tensors or STD not in tensors:
        return None
    mean, std = (tensors[name].flatten().tolist() for name in (MEAN, STD))
    return mean, std


def alike(one: Moments, other: Moments) -> bool:
    """Whether two normalizations, (mean, std) each, are one."""
    return all(len(a) == len(b) and np.allclose(a, b, ROUNDED, ROUNDED) for a, b in zip(one, other, strict=True))


def another(path: str | Path, own: Moments, given: Moments, remedy: str) -> InputError:
    """That the network of a checkpoint would get another normalization than its own."""
    return InputError(
        f"{path}: its network takes pixels minus {_listed(own[0])} over {_listed(own[1])}, as the file says, and would "
        f"get them minus {_listed(given[0])} over {_listed(given[1])}; {remedy}"
    )


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)
