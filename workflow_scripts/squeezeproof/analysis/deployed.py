"""Deployed int8 models under attack, beside the fake-quantized models that were attacked in their place."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import BUDGET, UNATTACKED
from squeezeproof.analysis.names import axes_of
from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.errors import InputError
from squeezeproof.statistics.paired import tango
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions
from squeezeproof.tables.catalog.costs import DEPLOYED
from squeezeproof.types import Described


def deployed(
    integers: Iterable[str | Path],
    simulated: Iterable[str | Path],
    descriptions: Iterable[Described],
    alpha: float,
    audit: Audit = NOTHING_FOUND,
) -> pd.DataFrame:
    """One row per int8 model, source and attack, the clean images of each model once.

    `difference` is int8 minus fake-quantized accuracy on the same examples, `low` and `high` Tango's interval of it,
    `agreement` the share of examples to which both give one label.

    Args:
        integers, simulated: paths of predictions files, of the same targets and sources in the same order.
        descriptions: of every model they name (`Study.describe`).
        alpha: of the interval.
        audit: the Audit of the study; cells of fake-quantized models that failed are left out.

    Raises InputError where two files are not of one pair, or of other images or weights.
    """
    models = {(description["dataset"], description["name"]): description for description in descriptions}
    rows = []
    for path, origin in zip(integers, simulated, strict=True):
        labels, found, facts = read_predictions(path)
        _, expected, theirs = read_predictions(origin)
        same = ("dataset", "target", "source", "target_fingerprint", "clean_fingerprint")
        if any(facts[key] != theirs[key] for key in same) or found.keys() != expected.keys():
            raise InputError(f"{path}: is not of the same model, images and attacks as {origin}; make both again")
        key = facts["dataset"], facts["source"], facts["target"]
        model = models[key[0], key[2]]
        about = {"dataset": key[0], "model": key[2], **axes_of(model)}
        for attack, predicted in found.items():
            if audit.failed(*key, attack):
                continue
            settings = facts["attacks"].get(attack, UNATTACKED)
            rows.append(
                {
                    **about,
                    "source": "" if attack == CLEAN else key[1],
                    "attack": attack,
                    **{name: settings[name] for name in BUDGET},
                    **_compared(labels, predicted, expected[attack], alpha),
                    "warnings": audit.warnings(*key, attack),
                }
            )
    table = DEPLOYED.frame(rows).drop_duplicates(["dataset", "model", "source", "attack"])
    return table.sort_values(["dataset", "model", "source", "attack"], kind="stable", ignore_index=True)


def _compared(labels: np.ndarray, integer: np.ndarray, simulated: np.ndarray, alpha: float) -> dict[str, Any]:
    """What two models give to the same examples, of which those the attacker has seen do not count."""
    counted = simulated != NOT_SCORED
    labels, integer, simulated = (values[counted] for values in (labels, integer, simulated))
    right, fake_quantized = integer == labels, simulated == labels
    low, high = tango((right & ~fake_quantized).sum(), (fake_quantized & ~right).sum(), len(labels), alpha)
    return {
        "n": len(labels),
        "fake_quantized_accuracy": fake_quantized.mean(),
        "int8_accuracy": right.mean(),
        "low": float(low),
        "high": float(high),
        "agreement": float(np.mean(integer == simulated)),
    }
