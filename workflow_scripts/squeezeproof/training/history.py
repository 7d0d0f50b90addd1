"""The history of a training as CSV, and what a checkpoint tells of it."""

import csv

from squeezeproof.store.atomic import replacing
from squeezeproof.training.loop import HISTORY


def write_history(path, rows):
    """Write rows with the keys of HISTORY and optionally `stage`; a header alone where nothing was trained."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, ["stage", *HISTORY])
        writer.writeheader()
        writer.writerows({"stage": 1, **row} for row in rows)


def summary(settings, history):
    """What a checkpoint tells of its training: its settings, and what came of them.

    `epochs` were trained, over all stages, after `restarts` on divergence; `eps` is the mean radius of the last
    epoch's adversarial examples in pixel units, None without any.
    """
    restarts = {row.get("stage"): row["restarts"] for row in history}
    return {
        "settings": settings,
        "epochs": len(history),
        "restarts": sum(restarts.values()),
        "eps": history[-1]["eps"] if history else None,
    }
