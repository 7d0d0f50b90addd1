"""The largest differences over the levels of a compression, and what of them further training and compression did."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.effects import parts
from squeezeproof.analysis.names import CONTROL
from squeezeproof.analysis.pairs import BASE, Pair
from squeezeproof.analysis.verdicts import CELL, ORDER, by_seed, cells, kinds, scored_by_all
from squeezeproof.statistics.crossed import About, Mean, interval
from squeezeproof.tables.catalog.comparisons import MAX_DELTA

CURVE = [key for key in CELL if key not in ("ratio", "bits")]
SPLIT = ("by_training", "by_compression")


def max_delta(pairs: list[Pair], statistics: dict[str, Any]) -> pd.DataFrame:
    """One row per curve over ratios and kind of verdict: the poster's max delta and its honest counterpart.

    `max_delta` is the largest SIGNED difference compressed minus base [vora2023], which hides every loss where
    one ratio gains. `largest_delta` is the difference of largest size, its sign kept; its interval is Bonferroni's over
    the `levels`, so it covers however the ratio was chosen. `by_training` and `by_compression` are what it consists of
    (`effects`), with intervals of the same kind; of rows against a control, and without controls, there are none.
    `warned` names those of the two whose models or attacks the audit warns of.
    """
    found = cells(pairs)
    curves = {}
    for key, members in found.items():
        row = dict(zip(CELL, key, strict=True))
        curves.setdefault(tuple(row[name] for name in CURVE), []).append(((row["ratio"], -row["bits"]), key, members))
    rows = []
    for key, levels in curves.items():
        levels = sorted(levels, key=lambda level: level[0])
        deltas = [Mean.of(by_seed(members, scored_by_all(members))) for _, _, members in levels]
        means = np.array([delta.mean for delta in deltas])
        signed, largest = int(means.argmax()), int(np.abs(means).argmax())
        split = _split(found, levels[largest][1])
        for about in kinds(int(deltas[largest].seeds)):
            alpha = statistics["alpha"] / len(levels)
            low, high = interval(deltas[largest], alpha, about)
            rows.append(
                {
                    **dict(zip(CURVE, key, strict=True)),
                    **{"about": about, "levels": len(levels), "base_accuracy": _reference_accuracy(levels[0][2])},
                    **_at("max_delta", means[signed], levels[signed][0]),
                    **_at("largest_delta", means[largest], levels[largest][0]),
                    **{"low": low, "high": high, **_split_columns(split, alpha, about)},
                    **{"seeds": deltas[largest].seeds, "n": deltas[largest].images},
                    "warned": _warned({"max_delta": levels[signed][2], "largest_delta": levels[largest][2]}),
                }
            )
    return MAX_DELTA.frame(rows).sort_values([*(key for key in ORDER if key in CURVE), "about"], ignore_index=True)


def _at(name: str, delta: float, level: tuple[float, float]) -> dict[str, float]:
    """A delta and the level where it is, (ratio, -bits)."""
    return {name: delta, f"{name}_ratio": level[0], f"{name}_bits": -level[1]}


def _warned(members: Mapping[str, Sequence[Pair]]) -> str:
    """The names, between semicolons, of those with a pair that the audit warns of."""
    return "; ".join(name for name, pairs in members.items() if any(pair.warned for pair in pairs))


def _split(found: Mapping[tuple[Any, ...], list[Pair]], key: tuple[Any, ...]) -> dict[str, Mean]:
    """Name -> Mean of the parts of the cell with that key; none where it is against a control, or has none."""
    place = CELL.index("against")
    if key[place] != BASE:
        return {}
    against = {name: found.get((*key[:place], name, *key[place + 1 :]), []) for name in (BASE, CONTROL)}
    differences = parts(against)
    return {name: Mean.of(differences[name]) for name in SPLIT} if differences else {}


def _split_columns(split: Mapping[str, Mean], alpha: float, about: About) -> dict[str, float]:
    columns: dict[str, float] = {}
    for name in SPLIT:
        mean = split[name].mean if split else np.nan
        low, high = interval(split[name], alpha, about) if split else (np.nan, np.nan)
        columns |= {name: float(mean), f"{name}_low": float(low), f"{name}_high": float(high)}
    return columns


def _reference_accuracy(pairs: Sequence[Pair]) -> float:
    scored = scored_by_all(list(pairs))
    return float(np.mean([pair.reference_right[scored].mean() for pair in pairs]))
