"""The history of a training as CSV, and what a checkpoint tells of it."""

import csv
from pathlib import Path
from typing import Any

from squeezeproof.checked import TrainingSettings
from squeezeproof.store.csvs import writing_csv
from squeezeproof.training.loop import HISTORY


def write_history(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with the keys of HISTORY, optionally `stage` and more; a header alone where nothing was trained."""
    more = list(dict.fromkeys(key for row in rows for key in row if key not in ("stage", *HISTORY)))
    with writing_csv(path) as file:
        writer = csv.DictWriter(file, ["stage", *HISTORY, *more])
        writer.writeheader()
        writer.writerows({"stage": 1, **row} for row in rows)


def summary(settings: TrainingSettings | None, history: list[dict[str, Any]]) -> dict[str, Any]:
    """What a checkpoint tells of its training: its settings, and what came of them.

    `epochs` were trained, over all stages, after `restarts` on divergence; `eps` is the mean radius of the last
    epoch's adversarial examples in pixel units, None without any. Where a solver bounded the weights, `projection` has
    what its last row tells, and the images that the accuracies around the final projection are of.
    """
    last = history[-1] if history else {}
    bounded = {key: value for key, value in last.items() if key not in ("stage", *HISTORY)}
    if bounded:
        bounded["images"] = "training" if last["validation_accuracy"] is None else "validation"
    restarts = {row.get("stage"): row["restarts"] for row in history}
    return {
        "settings": settings,
        "epochs": len(history),
        "restarts": sum(restarts.values()),
        "eps": last.get("eps"),
        **({"projection": bounded} if bounded else {}),
    }
