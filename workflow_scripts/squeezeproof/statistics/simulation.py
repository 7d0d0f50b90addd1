"""How often verdicts are false and intervals miss, on studies simulated with a known truth.

A comparison has S seeds, whose true differences are normal around the true mean with standard deviation tau, and N
images. Every image is one of three types that all seeds share: one that the compressed model may lose, one that it may
gain, one on which the two nearly always agree. The types make the seeds' results depend on each other, as the same test
images do. Given its type, an image's differences at the seeds are independent, so the counts of the 3^S patterns over
the images are multinomial and no image needs to be drawn.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.statistics.crossed import About, Mean, half_width, p_equivalence

# Share of the images of either changing type, how often one of them changes, and how often another does.
CHANGING, OFTEN, SELDOM = 0.2, 0.5, 0.005
ALPHA, MARGIN, TOLERANCE = 0.05, 0.02, 0.01
SEEDS, IMAGES, TAUS = (1, 2, 3, 5), (300, 1000, 10_000), (0, 1, 2, 4)
# Comparisons of a family -> studies simulated.
STUDIES = {1: 10_000, 12: 2000, 48: 1000}
FALSE = ["false_difference", "false_equivalence"]
COVERED = ["covered", "max_delta_covered", "selected_covered"]


@dataclass(frozen=True)
class Drawn:
    """Simulated differences; every field has a row per study and a column per comparison, `of_seeds` a third axis.

    Attributes:
        found: the Mean over seeds and images.
        of_seeds: the Mean of every seed alone.
        models: true mean difference of the seeds drawn.
    """

    found: Mean
    of_seeds: Mean
    models: np.ndarray


def draw(truth: np.ndarray, images: int, generator: np.random.Generator) -> Drawn:
    """Simulated comparisons.

    Args:
        truth: true differences of every seed, [studies, comparisons, seeds], of size up to CHANGING.
        images: how many.
    """
    studies, comparisons, seeds = truth.shape
    patterns = np.array(list(product([-1, 0, 1], repeat=seeds)), float)
    counts = generator.multinomial(images, _chances(truth.reshape(-1, seeds)))
    mean, square = (counts @ (patterns.mean(1) ** power) / images for power in (1, 2))
    own, own_square = (counts @ patterns**power / images for power in (1, 2))
    variance = own.var(1, ddof=1) if seeds > 1 else np.full(len(own), np.nan)
    shape = studies, comparisons
    found = Mean(mean.reshape(shape), square.reshape(shape), images, seeds, variance.reshape(shape))
    of_seeds = Mean(own.reshape(truth.shape), own_square.reshape(truth.shape), images, 1, np.nan)
    return Drawn(found, of_seeds, truth.mean(2))


def _chances(truth: np.ndarray) -> np.ndarray:
    """Chance of every pattern of differences over seeds, [comparisons, 3^S], where the seeds' true ones are [., S]."""
    shift = truth / (2 * CHANGING)
    none = np.zeros_like(truth)
    types = [(CHANGING, OFTEN - shift, none), (CHANGING, none, OFTEN + shift)]
    types.append((1 - 2 * CHANGING, none + SELDOM, none + SELDOM))
    total = np.zeros(())
    for share, lost, gained in types:
        chances = np.ones((len(truth), 1))
        for seed in range(truth.shape[1]):
            one = np.stack([lost, 1 - lost - gained, gained], -1)[:, seed]
            chances = (chances[:, :, None] * one[:, None, :]).reshape(len(truth), -1)
        total = total + share * chances
    return total / total.sum(1, keepdims=True)


def table(grid: dict[tuple[int, int, int, int], int] | None = None) -> pd.DataFrame:
    """The rates of every setting, one row per setting and kind of verdict; each setting has a random stream of its own.

    Args:
        grid: (seeds, images, tau, comparisons) -> studies; by default all of SEEDS, IMAGES, TAUS and STUDIES.
    """
    grid = grid or {setting: STUDIES[setting[-1]] for setting in product(SEEDS, IMAGES, TAUS, STUDIES)}
    rows = []
    for setting, studies in grid.items():
        rows += rates(*setting, studies, np.random.default_rng(setting))
    return pd.DataFrame(rows)


def bounds(table: pd.DataFrame) -> tuple[tuple[pd.DataFrame, pd.Series], tuple[pd.DataFrame, pd.Series]]:
    """The rates of a table and what they must keep to: (rates, highest allowed) and (coverages, lowest allowed).

    The allowed are ALPHA and 1 - ALPHA - 0.01, and three standard errors of so many studies beyond.
    """
    error = 3 * np.sqrt(ALPHA * (1 - ALPHA) / table["studies"])
    return (table[FALSE], ALPHA + error), (table[COVERED], 1 - ALPHA - 0.01 - error)


def rates(
    seeds: int, images: int, tau: int, comparisons: int, studies: int, generator: np.random.Generator
) -> list[dict[str, Any]]:
    """What happens in simulated studies: a dictionary for each kind of verdict.

    `false_difference`: share of studies with a verdict of a difference where there is none. `false_equivalence`: with a
    verdict of equivalence where every true difference is MARGIN (of these models: that of one seed, the others have
    none). `covered`: share of intervals that hold the truth. `max_delta_covered`: of the intervals of the difference
    of largest size among all comparisons. `selected_covered`: of those of the last comparison that lost at most
    TOLERANCE, as a selection of the smallest model does it. `detectable` is the median of the smallest difference that
    a study could have shown of its comparison in the first step of Holm's correction. tau and it are in points.
    """
    size = studies, comparisons, seeds
    spread = generator.normal(0, tau / 100, size).clip(-CHANGING / 2, CHANGING / 2)
    nothing = draw(spread, images, generator)
    balanced = draw(spread - spread.mean(2, keepdims=True), images, generator)
    at_margin = draw(np.broadcast_to(MARGIN * (np.arange(seeds) == 0), size), images, generator)
    trainings_at_margin = draw(MARGIN + spread, images, generator)
    setting = {"seeds": seeds, "images": images, "tau": tau, "comparisons": comparisons}
    rows = []
    for about in (About.MODELS, About.TRAININGS)[: 1 + (seeds > 1)]:
        if about == About.MODELS:
            null, equivalence = balanced, p_equivalence(at_margin.of_seeds, MARGIN, About.MODELS).max(2)
        else:
            null, equivalence = nothing, p_equivalence(trainings_at_margin.found, MARGIN, About.TRAININGS)
        # Where no hypothesis is true, Holm's correction rejects one exactly where the smallest P value is below this.
        first = ALPHA / comparisons
        truth = nothing.models if about == About.MODELS else np.zeros_like(nothing.models)
        rows.append(
            {
                **setting,
                **{"about": about, "studies": studies},
                "false_difference": (np.abs(null.found.mean) > half_width(null.found, first, about)).any(1).mean(),
                "false_equivalence": (equivalence < first).any(1).mean(),
                "covered": (np.abs(nothing.found.mean - truth) <= half_width(nothing.found, ALPHA, about)).mean(),
                **_chosen_covered(nothing.found, truth, half_width(nothing.found, first, about)),
                "detectable": 100 * np.median(half_width(null.found, first, about)),
            }
        )
    return rows


def _chosen_covered(found: Mean, truth: np.ndarray, half: np.ndarray) -> dict[str, float]:
    """Coverage of the intervals of comparisons that were chosen by their result."""
    mean = np.asarray(found.mean)
    covered = np.abs(mean - truth) <= half
    largest = np.abs(mean).argmax(1)
    within = mean >= -TOLERANCE
    last = mean.shape[1] - 1 - within[:, ::-1].argmax(1)
    rows = np.arange(len(covered))
    chosen = covered[rows, last][within.any(1)]
    return {"max_delta_covered": covered[rows, largest].mean(), "selected_covered": chosen.mean()}
