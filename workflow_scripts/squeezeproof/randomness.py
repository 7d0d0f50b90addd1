"""The random numbers that everything in a process shares: torch's, numpy's and Python's own."""

import random
from collections.abc import Generator
from contextlib import contextmanager

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
