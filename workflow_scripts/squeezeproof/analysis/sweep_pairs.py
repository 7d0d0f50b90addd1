"""What compressed models lose at rising eps, and whether that grows, paired image by image; no verdict is passed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import UNATTACKED
from squeezeproof.analysis.names import MODEL, by_name
from squeezeproof.analysis.pairs import references
from squeezeproof.analysis.repeated import repeated
from squeezeproof.analysis.verdicts import kinds
from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.statistics.crossed import Mean, interval
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions
from squeezeproof.tables.catalog.comparisons import SWEEP_DIFFERENCES
from squeezeproof.types import Described

BUDGET = ["method", "norm", "eps"]
KEYS = ["dataset", "sweep", *MODEL, "against", *BUDGET]


def sweep_differences(
    paths: Iterable[str | Path],
    descriptions: Iterable[Described],
    statistics: dict[str, Any],
    audit: Audit = NOTHING_FOUND,
) -> pd.DataFrame:
    """One row per sweep, compressed model, reference, eps and kind of verdict: compressed minus reference accuracy.

    Each model is attacked itself. `beyond_clean` is that minus the same on the clean images, which stand at eps 0.

    A seed counts where neither of its two sweeps ended before that eps.

    Args:
        paths: files of `store.sweeps`.
        descriptions: of every model they name (`Study.describe`).
        statistics: the study's entry of that name: alpha.
        audit: the Audit of the study; points that failed are left out.
    """
    models = by_name(descriptions)
    runs, left_out = {}, repeated(paths, descriptions)
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        dataset, name = metadata["dataset"], metadata["target"]
        if (dataset, name) not in left_out:
            runs[dataset, metadata["sweep"], name] = _points(labels, predictions, metadata, audit)
    seeds = defaultdict(list)
    for (dataset, sweep, name), points in runs.items():
        model = models[dataset, name]
        for against, reference in references(model):
            theirs = runs.get((dataset, sweep, reference), {})
            for budget in points.keys() & theirs.keys():
                difference, clean = (
                    points[at].astype(np.int8) - theirs[at].astype(np.int8) for at in (budget, _budget(UNATTACKED))
                )
                axes = dataset, sweep, *(model[axis] for axis in MODEL), against, *budget
                seeds[axes].append((difference, difference - clean))
    rows = [
        dict(zip(KEYS, axes, strict=True)) | found
        for axes, both in seeds.items()
        for found in _rows(both, statistics["alpha"], clean=axes[-len(BUDGET) :] == _budget(UNATTACKED))
    ]
    return SWEEP_DIFFERENCES.frame(rows).sort_values([*KEYS, "about"], ignore_index=True)


def _budget(settings: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(settings[key] for key in BUDGET)


def _points(
    labels: np.ndarray, predictions: dict[str, np.ndarray], metadata: Mapping[str, Any], audit: Audit
) -> dict[tuple[Any, ...], np.ndarray]:
    """Budget -> which of the scored images the model gets right there; of all points the same images."""
    dataset, name = metadata["dataset"], metadata["target"]
    scored = np.all([predicted != NOT_SCORED for predicted in predictions.values()], axis=0)
    settings = {CLEAN: UNATTACKED, **metadata["attacks"]}
    if audit.failed(dataset, name, name, CLEAN):
        return {}
    return {
        _budget(settings[attack]): (predicted == labels)[scored]
        for attack, predicted in predictions.items()
        if not audit.failed(dataset, name, name, attack)
    }


def _rows(both: list[tuple[np.ndarray, np.ndarray]], alpha: float, clean: bool) -> Iterable[dict[str, Any]]:
    # A difference of differences lies in [-2, 2]; `Mean` is of what lies in [-1, 1].
    found, half = (Mean.of(np.stack(column)) for column in ([one for one, _ in both], [two / 2 for _, two in both]))
    for about in kinds(int(found.seeds)):
        low, high = interval(found, alpha, about)
        beyond = [np.nan] * 3 if clean else [2 * bound for bound in (half.mean, *interval(half, alpha, about))]
        yield {
            **{"about": about, "difference": found.mean, "low": low, "high": high},
            **dict(zip(("beyond_clean", "beyond_clean_low", "beyond_clean_high"), beyond, strict=True)),
            **{"seeds": found.seeds, "n": found.images},
        }
