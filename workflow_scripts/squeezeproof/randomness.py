"""The random numbers that everything in a process shares: torch's, numpy's and Python's own."""

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class Randomness:
    """What was done to the generators: `reseeded` tells, in the end, whether torch's was seeded anew in between."""

    reseeded = False


@contextmanager
def own_randomness(seed: int, device: torch.device | str = "cpu") -> Generator[Randomness]:
    """The global generators of torch, numpy and Python started from a seed, and afterwards as they were before.

    Yields Randomness.
    """
    told, python, numbers = Randomness(), random.getstate(), np.random.get_state()
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield told
        finally:
            told.reseeded = torch.initial_seed() != seed
            random.setstate(python)
            np.random.set_state(numbers)


def states(device: torch.device | str = "cpu") -> dict[str, Any]:
    """The states of the generators that everything in this process shares, by their names in a message."""
    numpy, device = np.random.get_state(legacy=False)["state"], torch.device(device)
    found: dict[str, Any] = {
        "Python's random": random.getstate(),
        "numpy.random": (numpy["key"].tobytes(), numpy["pos"]),
    }
    found["torch"] = torch.get_rng_state().numpy().tobytes()
    if device.type != "cpu":
        found[f"torch on {device.type}"] = torch.get_device_module(device).get_rng_state().cpu().numpy().tobytes()
    return found


def drawn_since(before: dict[str, Any], device: torch.device | str = "cpu") -> list[str]:
    """The names of the generators whose `states` are no longer those of before."""
    return [name for name, state in states(device).items() if state != before[name]]
