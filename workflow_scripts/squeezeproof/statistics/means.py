"""Means over runs and their intervals."""

import numpy as np
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
