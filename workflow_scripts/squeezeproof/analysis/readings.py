"""Readings of a recipe that a paper leaves open, ranked by their distance to its printed accuracies."""

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd

from squeezeproof.analysis.published import compare

# The printed name of a model that was not compressed.
BASE = "none"


def rank(
    means: pd.DataFrame,
    trials: Any,
    published: pd.DataFrame,
    settings: dict[str, Any],
    choices: Mapping[str, Mapping[str, Mapping[str, str]]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every reading beside the printed accuracies: (one row per reading, nearest first; its cells).

    Args:
        means, trials, published, settings: as `analysis.published.compare` takes them.
        choices: axis of the published names (`architecture`, `training` or a printed compression) -> the study's name
            for it -> column -> what that name chooses, in words. Every combination is a reading.

    The first table has the columns that `choices` names, `all` and one column per printed model: the mean absolute
    difference, in points, between its printed accuracies and ours, whatever their number of each. The second has the
    columns of the table `published` and `reading`, the row of the first table.
    """
    rows, cells = [], []
    for names in itertools.product(*choices.values()):
        told: dict[str, str] = {}
        mapped = {**settings, "compressions": dict(settings["compressions"])}
        for axis, name in zip(choices, names, strict=True):
            told |= choices[axis][name]
            if axis in ("architecture", "training"):
                (printed,) = published[axis].unique()
                mapped[f"{axis}s"] = {printed: name}
            else:
                mapped["compressions"][axis] = name
        beside = compare(means, trials, published, mapped)
        distance = beside["difference"].abs()
        models = distance.groupby(beside["compression"], sort=False).mean()
        rows.append(told | {"all": distance.mean()} | models.rename({BASE: "base"}).to_dict())
        cells.append(beside)
    ranked = pd.DataFrame(rows).sort_values("all", kind="stable")
    order = {old: new for new, old in enumerate(ranked.index)}
    beside = pd.concat([table.assign(reading=order[number]) for number, table in enumerate(cells)])
    return ranked.reset_index(drop=True), beside.sort_values("reading", kind="stable").reset_index(drop=True)
