"""What compression changes of the accuracy on clean images, paired image by image; no verdict is passed on it."""

import numpy as np

from squeezeproof.analysis.names import MODEL
from squeezeproof.analysis.verdicts import interval
from squeezeproof.audit.findings import NOTHING_FOUND
from squeezeproof.store.predictions import CLEAN, read_predictions
from squeezeproof.tables.catalog import CLEAN_DIFFERENCES


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
        means = {
            "difference": differences.mean(),
            **dict(zip(["low", "high", "seeds", "n"], [*bounds, *differences.shape], strict=True)),
        }
        rows.append(dict(zip(["dataset", *MODEL], axes, strict=True)) | means)
    return CLEAN_DIFFERENCES.frame(rows).sort_values(["dataset", *MODEL], ignore_index=True)
