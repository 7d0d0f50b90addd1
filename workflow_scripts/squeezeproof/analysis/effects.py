"""What the further training did and what compression did, which add up to the whole difference to the base."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.names import CONTROL
from squeezeproof.analysis.pairs import BASE, Pair
from squeezeproof.analysis.verdicts import CELL, ORDER, by_seed, cells, kinds
from squeezeproof.statistics.crossed import About, Mean, interval
from squeezeproof.tables.catalog.comparisons import EFFECTS

KEY = [column for column in CELL if column != "against"]


def effects(pairs: list[Pair], alpha: float) -> pd.DataFrame:
    """One row per compressed model, attack and kind of verdict, seeds together.

    `total` is compressed minus base accuracy, `by_training` control minus base, `by_compression` compressed minus
    control, all on the same images, so that the first is the sum of the others; each has an interval of its own at the
    level 1 - alpha. Without a control, or with one that is broken or failed the audit, there is no row: nothing tells
    the parts apart, and of a model that trained no longer than its base all of the difference is compression's.

    Args:
        pairs: of `read_pairs`.
    """
    found = {}
    for key, members in cells(pairs).items():
        row = dict(zip(CELL, key, strict=True))
        found.setdefault(tuple(row[name] for name in KEY), {})[row["against"]] = members
    rows = []
    for key, members in found.items():
        found_parts = parts(members)
        for about in kinds(len(found_parts["total"])) if found_parts else ():
            means = {part: Mean.of(differences) for part, differences in found_parts.items()}
            rows.append({**dict(zip(KEY, key, strict=True)), "about": about, **_columns(means, alpha, about)})
    return EFFECTS.frame(rows).sort_values([*(key for key in ORDER if key in KEY), "about"], ignore_index=True)


def parts(members: Mapping[str, list[Pair]]) -> dict[str, np.ndarray]:
    """Name -> differences [S, N] over the images that all three models were scored on; none without a control that
    works, or where that of one seed failed the audit.

    Args:
        members: what a model is compared `against` -> its pairs.
    """
    base, control = members.get(BASE), members.get(CONTROL)
    if not base or not control or not all(pair.reference_works for pair in control):
        return {}
    control = _matching(control, base)
    if len(control) < len(base):
        return {}
    scored = np.logical_and.reduce([pair.scored for pair in [*base, *control]])
    if not scored.any():
        return {}
    total = by_seed(base, scored)
    compression = by_seed(control, scored)
    return {"total": total, "by_training": total - compression, "by_compression": compression}


def _matching(control: Sequence[Pair], base: Sequence[Pair]) -> list[Pair]:
    """The pairs with controls in the order of those with bases: of the same target and source."""
    known = {(pair.target["name"], pair.source["name"]): pair for pair in control}
    keys = [(pair.target["name"], pair.source["name"]) for pair in base]
    return [known[key] for key in keys if key in known]


def _columns(means: Mapping[str, Mean], alpha: float, about: About) -> dict[str, Any]:
    columns = {"seeds": means["total"].seeds, "n": means["total"].images}
    for part, mean in means.items():
        low, high = interval(mean, alpha, about)
        columns |= {part: mean.mean, f"{part}_low": low, f"{part}_high": high}
    return columns
