"""What compression changes of the accuracy on clean images, paired image by image; no verdict is passed on it."""

import numpy as np
import pandas as pd

from squeezeproof.analysis.names import MODEL
from squeezeproof.analysis.verdicts import interval
from squeezeproof.audit.findings import NOTHING_FOUND
from squeezeproof.store.predictions import CLEAN, read_predictions

COLUMNS = ["dataset", *MODEL, "difference", "low", "high", "seeds", "n"]


def clean_differences(paths, descriptions, statistics, audit=NOTHING_FOUND):
    """One row per compressed model, seeds together: compressed minus base accuracy on the clean test images.

    `low` and `high` are the interval of the verdicts: Tango's for one seed, else the bootstrap over seeds and images.

    Args:
        paths: predictions files.
        descriptions: of every model they name (`Study.describe`).
        statistics: the study's entry of that name: alpha, bootstrap, seed.
        audit: the Audit of the study; models whose clean predictions failed are left out.
    """
    models = {(description["dataset"], description["name"]): description for description in descriptions}
    right = {}
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        dataset, target, source = (metadata[key] for key in ("dataset", "target", "source"))
        if (dataset, target) not in right and not audit.failed(dataset, source, target, CLEAN):
            right[dataset, target] = predictions[CLEAN] == labels
    seeds = {}
    for key, outcome in right.items():
        model = models[key]
        base = right.get((model["dataset"], model["base"]))
        if model["compression"] != "none" and base is not None:
            axes = tuple(model[axis] for axis in ["dataset", *MODEL])
            seeds.setdefault(axes, []).append(outcome.astype(np.int8) - base.astype(np.int8))
    rows = []
    for axes, found in seeds.items():
        differences = np.stack(found).astype(float)
        bounds = interval(differences, statistics, statistics["alpha"])
        rows.append([*axes, differences.mean(), *bounds, *differences.shape])
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[: 1 + len(MODEL)], ignore_index=True)
