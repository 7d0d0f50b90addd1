"""Two classifiers on the same images: is one right more often, and by how much?

Throughout, `only_first` and `only_second` count the images that just one of the two gets right and `trials` all images;
a difference is first minus second, (only_first - only_second) / trials. Counts may be arrays, taken element by element.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri

HALVINGS = 60


def mcnemar(only_first: ArrayLike, only_second: ArrayLike) -> np.ndarray:
    """Two-sided exact P value of McNemar's test [mcnemar1947]: are both equally often the only one that is right?

    Given their number, the discordant images fall to either side like a fair coin; without any, P is 1.
    """
    only_first, only_second = np.asarray(only_first, int), np.asarray(only_second, int)
    return np.minimum(1.0, 2 * bdtr(np.minimum(only_first, only_second), only_first + only_second, 0.5))


def score(only_first: ArrayLike, only_second: ArrayLike, trials: ArrayLike, difference: ArrayLike) -> np.ndarray:
    """Tango's score statistic [tango1998] of the hypothesis that the true difference is `difference`, in [-1, 1].

    Approximately standard normal; positive where the observed difference is larger. Falls as `difference` grows.
    """
    b, c, n, delta = (np.asarray(value, float) for value in (only_first, only_second, trials, difference))
    # The chance of "only the second", most likely given the difference: the larger root of 2n q^2 + half q + free.
    half = -b - c + (2 * n - b + c) * delta
    free = -c * delta * (1 - delta)
    root = np.sqrt(np.maximum(half**2 - 8 * n * free, 0))
    # Of the two forms of the root, the one that subtracts no nearly equal numbers.
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = np.where(half > 0, -2 * free / (half + root), (root - half) / (4 * n))
        variance = np.maximum(n * (2 * chance + delta * (1 - delta)), 0)
        distance = b - c - n * delta
        return np.where(distance == 0, 0.0, distance / np.sqrt(variance))


def tango(
    only_first: ArrayLike, only_second: ArrayLike, trials: ArrayLike, alpha: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Tango's score interval [tango1998] of the difference: (low, high), covering it with probability 1 - alpha.

    Unlike Wald's it stays inside [-1, 1] and has a width where no image is discordant.
    """
    b, c, n = np.broadcast_arrays(*(np.asarray(count, float) for count in (only_first, only_second, trials)))
    z, observed = ndtri(1 - alpha / 2), (b - c) / n

    def bound(end: float, sign: int) -> np.ndarray:
        inside, outside = observed.copy(), np.full(n.shape, float(end))
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            accepted = sign * score(b, c, n, middle) < z
            inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
        return np.clip(inside, -1, 1)

    return bound(-1, 1), bound(1, -1)
