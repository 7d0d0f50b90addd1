"""Confidence intervals of proportions."""

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054


def wilson(successes: ArrayLike, trials: ArrayLike, z: float = Z95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval [wilson1927] of successes / trials, element by element: (low, high), 95 % by default.

    It always contains the share itself, 0 and 1 included.
    """
    successes, trials = np.asarray(successes, float), np.asarray(trials, float)
    share = successes / trials
    scale = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # Rounding would move the bound at 0 or 1 off the share by 1e-17, and an error bar's length below zero.
    return np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)
