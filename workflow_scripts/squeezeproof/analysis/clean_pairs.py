"""What compressed models lose of the accuracy on clean images, paired image by image; no verdict is passed on it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.names import MODEL, by_name
from squeezeproof.analysis.pairs import references
from squeezeproof.analysis.repeated import repeated
from squeezeproof.analysis.verdicts import kinds
from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.statistics.crossed import Mean, interval
from squeezeproof.store.predictions import CLEAN, read_predictions
from squeezeproof.tables.catalog.comparisons import CLEAN_DIFFERENCES
from squeezeproof.types import Described


def clean_differences(
    paths: Iterable[str | Path],
    descriptions: Iterable[Described],
    statistics: dict[str, Any],
    audit: Audit = NOTHING_FOUND,
) -> pd.DataFrame:
    """One row per compressed model, reference and kind of verdict, seeds together: compressed minus reference accuracy
    on clean images.

    `low` and `high` are the interval of that kind of verdict, `std` and `mean_square` as in the table of verdicts.

    Args:
        paths: predictions files.
        descriptions: of every model they name (`Study.describe`).
        statistics: the study's entry of that name: alpha.
        audit: the Audit of the study; models whose clean predictions failed are left out.
    """
    models = by_name(descriptions)
    right, left_out = {}, repeated(paths, descriptions)
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        dataset, target, source = (metadata[key] for key in ("dataset", "target", "source"))
        if (dataset, target) not in {*right, *left_out} and not audit.failed(dataset, source, target, CLEAN):
            right[dataset, target] = predictions[CLEAN] == labels
    seeds = {}
    for key, outcome in right.items():
        model = models[key]
        for against, name in references(model):
            reference = right.get((model["dataset"], name))
            if reference is not None:
                axes = model["dataset"], *(model[axis] for axis in MODEL), against
                seeds.setdefault(axes, []).append(outcome.astype(np.int8) - reference.astype(np.int8))
    rows = []
    for axes, differences in seeds.items():
        found = Mean.of(np.stack(differences))
        for about in kinds(int(found.seeds)):
            low, high = interval(found, statistics["alpha"], about)
            rows.append(
                {
                    **dict(zip(["dataset", *MODEL, "against"], axes, strict=True)),
                    **{"about": about, "difference": found.mean, "low": low, "high": high, "seeds": found.seeds},
                    **{"n": found.images, "std": np.sqrt(found.variance), "mean_square": found.square},
                }
            )
    return CLEAN_DIFFERENCES.frame(rows).sort_values(["dataset", *MODEL, "against", "about"], ignore_index=True)
