"""Intervals of accuracies that are averaged over runs."""

import numpy as np
from scipy.special import stdtrit

from squeezeproof.statistics.intervals import wilson


def mean_interval(mean, std, runs, trials):
    """95 % interval of mean accuracies in [0, 1], element by element: (low, high).

    Student's t over `runs` of standard deviation `std`, Wilson over the `trials` test images where there is one run.
    """
    low, high = wilson(mean * trials, trials)
    half = stdtrit(np.maximum(runs - 1, 1), 0.975) * std / np.sqrt(runs)
    several = runs > 1
    return np.where(several, np.maximum(0, mean - half), low), np.where(several, np.minimum(1, mean + half), high)
