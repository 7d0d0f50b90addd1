"""The history of a training as CSV."""

import csv

from squeezeproof.store.atomic import replacing
from squeezeproof.training.loop import HISTORY


def write_history(path, rows):
    """Write rows with the keys of HISTORY and optionally `stage`; a header alone where nothing was trained."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, ["stage", *HISTORY])
        writer.writeheader()
        writer.writerows({"stage": 1, **row} for row in rows)
