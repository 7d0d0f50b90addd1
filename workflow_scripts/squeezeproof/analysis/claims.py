"""What finished studies say of a claim that a paper makes: how many comparisons show it, and how many contradict it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from squeezeproof.entries.compression import CONTROL
from squeezeproof.errors import InputError
from squeezeproof.statistics.crossed import About
from squeezeproof.tables.words import Verdict

# Accuracy of the compressed model beside its reference's, as one comparison shows it.
LOWER, SAME, HIGHER = "lower", "same", "higher"
OF_VERDICTS = {
    Verdict.LESS: LOWER,
    Verdict.EQUIVALENT: SAME,
    Verdict.MORE: HIGHER,
    Verdict.TRANSFERS_WORSE: HIGHER,
    # A search that gradients of the model did not lead shows nothing in its favour, nor against a claim of losses.
    Verdict.FOUND_LESS: None,
    Verdict.NOT_SHOWN: None,
}
# Claim -> (what shows it, what contradicts it).
EXPECTATIONS = {
    "lower": ({LOWER}, {SAME, HIGHER}),
    "not lower": ({SAME, HIGHER}, {LOWER}),
    "higher": ({HIGHER}, {SAME, LOWER}),
    "not higher": ({LOWER, SAME}, {HIGHER}),
}
# The difference of accuracies within which two models are the same, where an interval lies in them; and that of a ratio
# from 1.
MARGIN = 0.02
# Measures whose interval is `low` to `high`, and what each is where nothing changed; of others that is 0.
UNCHANGED = {"difference": 0, "speedup": 1}


@dataclass(frozen=True)
class Count:
    """Comparisons of one kind (`about` trainings or these models, `against` base or control) that bear on a claim."""

    about: str
    against: str
    shown: int
    contradicted: int
    undecided: int

    @property
    def answer(self) -> str:
        """The claim's standing in words, never stronger than what was counted."""
        if self.shown and self.contradicted:
            return "holds in part"
        if self.contradicted:
            return "contradicted" if not self.undecided else "contradicted in some, undecided in others"
        if self.shown:
            return "holds" if not self.undecided else "shown in some, undecided in others"
        return "cannot be told"


def count(
    table: pd.DataFrame, expects: str, where: Mapping[str, Sequence[Any]], measure: str = "difference"
) -> list[Count]:
    """Counts of the rows of a table of comparisons that bear on a claim, controls left out.

    Args:
        table: `verdicts`, whose differences are held to the study's error rate over their family; or
            `clean_differences`, `sweep_differences` or `speedups`, whose intervals stand each by itself. Rows that do
            not say what they are about are about these models.
        expects: a key of EXPECTATIONS, of the compressed model's accuracy beside its reference's.
        where: column -> the values that rows are kept of.
        measure: of a table without verdicts the column whose interval is looked at.

    Raises InputError for what no row is kept of.
    """
    kept = table[table["compression"] != CONTROL]
    for column, values in where.items():
        if column not in kept or not len(kept := kept[kept[column].isin(values)]):
            raise InputError(f"where.{column}: no row has one of {', '.join(map(str, values))}")
    if "about" not in kept:
        kept = kept.assign(about=About.MODELS)
    shows, contradicts = EXPECTATIONS[expects]
    found = []
    for (about, against), rows in kept.groupby(["about", "against"]):
        if "verdict" in rows:
            states = rows["verdict"].map(OF_VERDICTS)
        else:
            before = "" if measure in UNCHANGED else f"{measure}_"
            bounds = rows[[f"{before}low", f"{before}high"]] - UNCHANGED.get(measure, 0)
            states = bounds.apply(lambda row: _of_interval(*row), axis=1)
        shown, contradicted = int(states.isin(shows).sum()), int(states.isin(contradicts).sum())
        found.append(Count(str(about), str(against), shown, contradicted, len(rows) - shown - contradicted))
    return found


def _of_interval(low: float, high: float) -> str | None:
    if low > 0:
        return HIGHER
    if high < 0:
        return LOWER
    return SAME if max(-low, high) < MARGIN else None
