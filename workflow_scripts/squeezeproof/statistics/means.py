"""Means over runs and their intervals."""

from math import isqrt

import numpy as np
from scipy.special import stdtrit

from squeezeproof.statistics.crossed import Numbers
from squeezeproof.statistics.intervals import wilson


def mean_interval(
    mean: Numbers, std: Numbers, runs: Numbers, trials: Numbers, seeds: Numbers | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of mean accuracies in [0, 1], element by element: (low, high).

    Wilson over the `trials` test images; over several `runs` of standard deviation `std` their Student's t as well. The
    two are independent, so half widths add as squares do. Runs that happen to agree say nothing of other images.

    Runs that share models are no more independent runs than there are `seeds` (`independent`). They are taken as if all
    of the spread were that of the models which they share, which is the widest.
    """
    seeds = runs if seeds is None else seeds
    low, high = wilson(mean * trials, trials)
    several, freedom = seeds > 1, np.maximum(seeds - 1, 1)
    error = np.where(runs > seeds, std * np.sqrt((runs - 1) / (runs * freedom)), std / np.sqrt(runs))
    half = np.where(several, stdtrit(freedom, 0.975) * error, 0)
    return np.maximum(0, mean - np.hypot(half, mean - low)), np.minimum(1, mean + np.hypot(half, high - mean))


def independent(sources: int, targets: int) -> int:
    """How many runs of so many sources and targets count as independent: those that share a model do not.

    As many as there are sources or targets, whichever are fewer; where there is but one, as many as of the others, and
    the interval is about that one.
    """
    fewer, more = sorted((sources, targets))
    return fewer if fewer > 1 else more


def seeds_of_pairs(runs: int) -> int:
    """The most seeds whose S (S - 1) pairs of two are no more than some runs."""
    return (1 + isqrt(1 + 4 * runs)) // 2
