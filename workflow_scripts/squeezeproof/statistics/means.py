"""Means over runs and their intervals."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from squeezeproof.statistics.crossed import Numbers
from squeezeproof.statistics.intervals import wilson


def mean_interval(mean: Numbers, std: Numbers, runs: Numbers, trials: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of mean accuracies in [0, 1], element by element: (low, high).

    Wilson over the `trials` test images; over several `runs` of standard deviation `std` their Student's t as well. The
    two are independent, so half widths add as squares do. Runs that happen to agree say nothing of other images.
    """
    low, high = wilson(mean * trials, trials)
    several = runs > 1
    half = np.where(several, stdtrit(np.maximum(runs - 1, 1), 0.975) * std / np.sqrt(runs), 0)
    return np.maximum(0, mean - np.hypot(half, mean - low)), np.minimum(1, mean + np.hypot(half, high - mean))


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
