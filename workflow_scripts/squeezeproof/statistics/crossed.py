"""Mean differences over images and seeds: their intervals and tests, for the models at hand and for other trainings.

`differences` [S, N] are those of S pairs of models, one pair a seed, on the same N images. Two questions are asked of
their mean, and each has an interval of its own:

    MODELS: what would these very models show on other images? Images are the sample.
    TRAININGS: what would other trainings show on other images? Seeds are a sample too, so there must be two or more.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

HALVINGS = 60
# So that an interval holds a bound that it would touch.
WIDER = 1.0001
Numbers = float | np.ndarray


class About(StrEnum):
    """What a verdict speaks of: these very models, or other trainings of them."""

    MODELS = "these models"
    TRAININGS = "trainings"


@dataclass(frozen=True)
class Mean:
    """What the intervals of a mean difference are made of; the fields are numbers or arrays of one shape.

    Attributes:
        mean: over all seeds and images.
        square: mean over the images of the squared difference, which is a mean over seeds itself.
        images, seeds: how many there are.
        variance: of the seeds' own means, with S - 1; NaN for one seed.
    """

    mean: Numbers
    square: Numbers
    images: Numbers
    seeds: Numbers
    variance: Numbers

    @classmethod
    def of(cls, differences: ArrayLike) -> "Mean":
        """The Mean of differences [S, N], each in [-1, 1]."""
        differences = np.asarray(differences, float)
        seeds, images = differences.shape
        variance = differences.mean(1).var(ddof=1) if seeds > 1 else np.nan
        return cls(differences.mean(), (differences.mean(0) ** 2).mean(), images, seeds, variance)


def half_width(found: Mean, alpha: Numbers, about: About) -> np.ndarray:
    """Half the width of the interval of a Mean that covers the true one with probability 1 - alpha or more.

    MODELS: z sqrt(v), v being the variance of the mean over the images and over z^2 more that differ, half of them in
    either direction: where few images differ, or all in one direction, the observed variance alone is too small. The
    same is done to one proportion in [agresti1998], and in [agresti2005] to pairs, with half an image in each cell.
    N images of which each may fall to either side, as a coin does, all fall to one with probability 2^(1 - N): at an
    alpha below that the interval holds 0, however they fell.

    TRAININGS: sqrt(t^2 s^2 / S + z^2 v), with the variance s^2 of the seeds' means and Student's t at S - 1 degrees of
    freedom. It covers at least 1 - alpha, whatever share p of the variance the seeds have: the chance that the squared
    error of a normal mean exceeds x is convex in x, so that of exceeding p X + (1 - p) Y is at most p times that of
    exceeding X = t^2 s^2 / (p S), which is alpha, and 1 - p times that of exceeding Y = z^2 v / (1 - p), alpha too, all
    in units of the whole variance. The noise of single images is in both terms, which only widens.
    """
    z = -ndtri(alpha / 2)
    images = found.images + z**2
    spread = found.images * found.square + z**2 - (found.images * found.mean) ** 2 / images
    squared = z**2 * spread / images**2
    by_chance = np.exp2(1.0 - np.asarray(found.images, float)) > alpha
    squared = np.where(by_chance, np.maximum(squared, WIDER * np.square(found.mean)), squared)
    if about == About.TRAININGS:
        squared = squared + stdtrit(found.seeds - 1, 1 - alpha / 2) ** 2 * found.variance / found.seeds
    return np.sqrt(squared)


def interval(found: Mean, alpha: float, about: About) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) around the mean of a Mean, inside [-1, 1]."""
    half = half_width(found, alpha, about)
    return np.maximum(found.mean - half, -1), np.minimum(found.mean + half, 1)


def p_beyond(found: Mean, distance: ArrayLike, about: About) -> np.ndarray:
    """Two-sided P value of a true mean `distance` or more from the observed one: the alpha of that `half_width`."""
    distance = np.asarray(distance, float)
    low, high = np.zeros_like(distance), np.ones_like(distance)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        wide = half_width(found, middle, about) > distance
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return high


def p_difference(found: Mean, about: About) -> np.ndarray:
    """Two-sided P value of no true difference; below alpha exactly where the interval excludes 0."""
    return p_beyond(found, np.abs(found.mean), about)


def p_equivalence(found: Mean, margin: float, about: About) -> np.ndarray:
    """P value of two one-sided tests [schuirmann1987] that the true difference lies inside (-margin, margin).

    Below alpha exactly where the 1 - 2 alpha interval lies inside the margin; 1 where the mean does not.
    """
    room = margin - np.abs(found.mean)
    return np.where(room > 0, p_beyond(found, np.maximum(room, 0), about) / 2, 1.0)
