"""Means over runs and their intervals."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from squeezeproof.statistics.crossed import Numbers
from squeezeproof.statistics.intervals import wilson


def mean_interval(mean: Numbers, std: Numbers, runs: Numbers, trials: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of mean accuracies in [0, 1], element by element: (low, high).

    Student's t over `runs` of standard deviation `std`, Wilson over the `trials` test images where there is one run.
    """
    low, high = wilson(mean * trials, trials)
    half = stdtrit(np.maximum(runs - 1, 1), 0.975) * std / np.sqrt(runs)
    several = runs > 1
    return np.where(several, np.maximum(0, mean - half), low), np.where(several, np.minimum(1, mean + half), high)


def student(values: ArrayLike, alpha: float = 0.05) -> tuple[float, float, float, float]:
    """(mean, standard deviation, low, high) of values [S], one per seed, with Student's t interval of their mean.

    With one value all but the mean are NaN.
    """
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, np.nan, np.nan, np.nan
    spread = float(values.std(ddof=1))
    half = float(stdtrit(len(values) - 1, 1 - alpha / 2)) * spread / np.sqrt(len(values))
    return mean, spread, mean - half, mean + half
