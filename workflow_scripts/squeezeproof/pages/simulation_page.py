"""The page on what verdicts promise and how a simulation bears it out. Each number is computed from its table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.statistics.crossed import About
from squeezeproof.statistics.simulation import ALPHA, CHANGING, COVERED, FALSE, MARGIN, OFTEN

IN_WORDS = {
    "false_difference": "a false difference",
    "false_equivalence": "a false equivalence",
    "covered": "its interval",
    "max_delta_covered": "that of the largest of the differences",
    "selected_covered": "that of the selected model",
}
# Of the table of what can be shown.
SHOWN_IMAGES, SHOWN_TAUS, SHOWN_FAMILY, FEW_AND_MANY = 1000, (1, 2), 12, (3, 5)

PROMISE = """# What a verdict promises

A study compares every compressed model with its base, and with its control, a base that trained as long, image by
image. It passes two kinds of verdict. They are named wherever they appear, and never mixed.

- **These models.** Would these very models differ on other images? The images are the sample. This is the question of
  whoever ships one of them. It says nothing of another training of the same recipe.
- **Trainings.** Would other trainings of the recipe differ, on other images? The seed is the unit, and the images are a
  sample too. This is the question of whoever judges a compression method. It needs two seeds or more; with one seed no
  verdict of this kind is passed.

Both rest on one mean difference, compressed minus reference accuracy, and on its interval:

- these models: mean ± z √v, with the variance v over images of the mean over seeds. z² images that differ, half of them
  in either direction, are added first, so that few differing images do not make the interval too short. Of so few
  images N that all may differ in one direction by chance, at an alpha below 2^(1 − N), the interval holds 0.
- trainings: mean ± √(t² s²/S + z² v), with the variance s² of the means of the S seeds and Student's t at S − 1 degrees
  of freedom. It covers at least its level, whatever share of the variance seeds and images have. On images of
  surrogates, models of the other seeds, a seed trains a target and a surrogate: in the place of its mean stands S times
  the whole mean less S − 1 times that without the seed in either role, the jackknife's.

`less robust`, `more robust`, `transfers worse` and `found less` need the P value of no difference below alpha after
Holm's correction. `equivalent` needs two one-sided tests to place the difference inside the margin after the same
correction: the mean over trainings, or every one of these models. Everything else is `no difference shown`, which is no
evidence of equality.

**The family** of the correction is: one data set, one attack method at all its eps, one comparison (each attacked
itself, or on the same images), one reference (bases or controls), one kind of verdict; all compressed models. In each
family the chance of any false difference is at most alpha, and so is that of any false equivalence. A family that has
pairs without a difference beside pairs that differ by the margin may be wrong in either way, and a study with several
attack methods has several families: as a whole both may be wrong more often.

The largest difference over ratios (`max_delta.csv`) and that of the selected model (`selected.csv`) were chosen by
their result. Their intervals allow for that: they have the level alpha divided by the number of candidates.

**By transfer nothing is proved in favour of the model that the images were not made for.** Where the compressed model
resists images that were made for its base or a surrogate better than the base does, they transfer worse. That is not
robustness.

**A search that no gradients of the model led proves nothing in its favour**, nor does an attack of which the audit
warns that it is weak, nor is a model robust because the other one is broken. Where the attack then breaks fewer images
of the compressed model than of its base, it found less. Where it breaks as many, the two are equivalent under this
search, and the sentence says that this proves nothing in favour.
"""


def simulation_page(folder: Path) -> None:
    """Write README.md beside simulation.csv (`statistics.simulation.table`).

    Args:
        folder: pathlib.Path.
    """
    table = pd.read_csv(folder / "simulation.csv")
    lines = [PROMISE, "## Simulated", "", *_simulated(table), "", *_worst(table), "", "## What can be shown", ""]
    lines += _shown(table)
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _simulated(table: pd.DataFrame) -> Iterator[str]:
    changed = 200 * CHANGING * OFTEN
    settings = table.drop_duplicates(["seeds", "images", "tau", "comparisons"])
    yield (
        f"{settings['studies'].sum():,} studies in {len(settings)} settings, without any true difference between "
        f"compressed models and bases, or, for equivalence, with one of exactly the margin, {100 * MARGIN:g} points: "
        f"{_listed(table['seeds'])} seeds; {_listed(table['images'])} images; true differences of single trainings "
        f"with a standard deviation of {_listed(table['tau'])} points; families of {_listed(table['comparisons'])} "
        f"comparisons that have nothing in common, which leaves the correction nothing to spare. About {changed:.0f} % "
        f"of the images differ between the two models. `make simulate` writes this page and "
        f"[the table](simulation.csv)."
    )


def _worst(table: pd.DataFrame) -> Iterator[str]:
    yield (
        f"| kind of verdict | {' | '.join(f'studies with {IN_WORDS[name]}, at most' for name in FALSE)} | "
        f"{' | '.join(f'truth in {IN_WORDS[name]}, at least' for name in COVERED)} |"
    )
    yield "| --- |" + " ---: |" * len(IN_WORDS)
    for about in (About.MODELS, About.TRAININGS):
        rows = table[table["about"] == about]
        worst = [*(rows[name].max() for name in FALSE), *(rows[name].min() for name in COVERED)]
        cells = zip(worst, rows[[*FALSE, *COVERED]].mean(), strict=True)
        yield f"| {about} | {' | '.join(f'{100 * value:.1f} % ({100 * mean:.1f})' for value, mean in cells)} |"
    yield ""
    fewest = table["studies"].min()
    yield (
        f"The worst of all settings and, in brackets, their mean; promised are {100 * ALPHA:g} and "
        f"{100 * (1 - ALPHA):g} %. {fewest:,} studies of a setting, the fewest, leave a standard error of "
        f"{100 * (ALPHA * (1 - ALPHA) / fewest) ** 0.5:.1f} points."
    )


def _shown(table: pd.DataFrame) -> Iterator[str]:
    yield (
        f"The smallest difference, in points, that a study of {SHOWN_IMAGES:,} images can show of a comparison (median "
        f"of the simulated studies). Below it the verdict is `no difference shown`, whatever the truth."
    )
    yield ""
    rows = table[table["images"].eq(SHOWN_IMAGES) & table["tau"].isin(SHOWN_TAUS)]
    families = sorted(map(int, rows["comparisons"].unique()))
    columns = [(tau, count) for tau in SHOWN_TAUS for count in families]
    heads = [f"{count} comparison{'s' * (count > 1)}, trainings vary by {tau}" for tau, count in columns]
    yield f"| verdict on | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * len(columns)
    for (about, seeds), found in rows.groupby(["about", "seeds"], sort=True):
        values = found.set_index(["tau", "comparisons"])["detectable"]
        cells = [f"{values[column]:.1f}" if values[column] < 100 else "nothing" for column in columns]
        yield f"| {about}, {seeds} seed{'s' * bool(seeds > 1)} | {' | '.join(cells)} |"
    yield ""
    few, many = (_smallest(rows, seeds) for seeds in FEW_AND_MANY)
    yield (
        f"With {FEW_AND_MANY[0]} seeds and {SHOWN_FAMILY} comparisons of trainings that vary by {SHOWN_TAUS[-1]} "
        f"points, a difference below {few:.0f} points cannot be shown of trainings; with {FEW_AND_MANY[1]} seeds, one "
        f"below {many:.0f}."
    )


def _smallest(rows: pd.DataFrame, seeds: int) -> float:
    chosen = rows["seeds"].eq(seeds) & rows["about"].eq(About.TRAININGS) & rows["tau"].eq(SHOWN_TAUS[-1])
    return rows[chosen & rows["comparisons"].eq(SHOWN_FAMILY)]["detectable"].item()


def _listed(column: Any) -> str:
    *most, last = [f"{value:,g}" for value in sorted(column.unique())]
    return f"{', '.join(most)} or {last}"
