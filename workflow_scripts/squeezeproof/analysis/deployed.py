"""Deployed int8 models under attack, beside the fake-quantized models that were attacked in their place."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import BUDGET, UNATTACKED
from squeezeproof.analysis.names import axes_of, by_name
from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.errors import InputError
from squeezeproof.statistics.paired import tango
from squeezeproof.store.adversarial import KIND
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions
from squeezeproof.store.tensors import read_metadata
from squeezeproof.study.efficiency import int8_name
from squeezeproof.tables.catalog.costs import DEPLOYED
from squeezeproof.types import Described, PredictionsMetadata

# What the source of a row is.
ITSELF, TWIN, OF_BASE, ANOTHER = "itself", "its fake-quantized model", "its base", "another model"


def deployed(
    integers: Iterable[str | Path],
    simulated: Iterable[str | Path],
    descriptions: Iterable[Described],
    alpha: float,
    audit: Audit = NOTHING_FOUND,
    itself: Iterable[str | Path] = (),
    sets: Iterable[str | Path] = (),
) -> pd.DataFrame:
    """One row per int8 model, source and attack, the clean images of each model once.

    `difference` is int8 minus fake-quantized accuracy on the same examples, `low` and `high` Tango's interval of it,
    `agreement` the share of examples to which both give one label; all empty on what was crafted on the int8 model.

    Args:
        integers, simulated: paths of predictions files, of the same targets and sources in the same order.
        descriptions: of every model they name (`Study.describe`).
        alpha: of the interval.
        audit: the Audit of the study; cells of fake-quantized models that failed are left out.
        itself: paths of predictions files of int8 models on what was crafted on them.
        sets: paths of these sets.

    Raises InputError where two files are not of one pair, or of other images or weights.
    """
    models = by_name(descriptions)
    queries = {
        (found["dataset"], found["source"], found["attack"]): found["forwards_per_example"]
        for found in (read_metadata(path, KIND) for path in sets)
    }
    rows, stands = [], _Stands()
    twins = [*zip(integers, simulated, strict=True), *((path, None) for path in itself)]
    for path, origin in twins:
        labels, found, facts = read_predictions(path)
        expected = None if origin is None else _of_twin(path, origin, found, facts)
        key = facts["dataset"], facts["source"], facts["target"]
        model = models[key[0], key[2]]
        about = {"dataset": key[0], "model": key[2], **axes_of(model)}
        for attack, predicted in found.items():
            if audit.failed(*key, attack) or (attack == CLEAN and expected is None):
                continue
            settings = facts["attacks"].get(attack, UNATTACKED)
            compared = _compared(labels, predicted, predicted if expected is None else expected[attack], alpha)
            if expected is None:
                compared = {name: compared[name] for name in ("n", "int8_accuracy")}
            seen = (predicted if expected is None else expected[attack]) != NOT_SCORED
            budget = stands.add(key[0], key[2], settings, predicted == labels, seen)
            rows.append(
                {
                    **about,
                    "source": "" if attack == CLEAN else key[1],
                    "made_for": "" if attack == CLEAN else _made_for(key[1], model),
                    "attack": attack,
                    **{name: settings[name] for name in BUDGET},
                    "queries": queries.get((key[0], key[1], attack)),
                    **compared,
                    "budget": budget,
                    "warnings": audit.warnings(*key, attack),
                }
            )
    for row in rows:
        row["worst"] = stands.share(row.pop("budget"))
    table = DEPLOYED.frame(rows).drop_duplicates(["dataset", "model", "source", "attack"])
    return table.sort_values(["dataset", "model", "source", "attack"], kind="stable", ignore_index=True)


class _Stands:
    """Which images int8 models label rightly whatever was made of them within a budget."""

    def __init__(self) -> None:
        # (data set, model) -> budget -> [(right, seen)], bool [N] each; the budget of clean images is None.
        self.found = {}

    def add(self, dataset: str, model: str, settings: dict[str, Any], right: np.ndarray, seen: np.ndarray) -> Any:
        """Take note of the images of an attack that are right, and that count; returns their budget for `share`."""
        clean = settings is UNATTACKED
        budget = None if clean else (settings["norm"], settings["eps"])
        self.found.setdefault((dataset, model), {}).setdefault(budget, []).append((right, seen))
        return dataset, model, budget

    def share(self, place: Any) -> float | None:
        """The share of images that stand at a budget; None of clean images and where there is no budget."""
        dataset, model, budget = place
        if budget is None or budget[1] is None:
            return None
        attacked = self.found[dataset, model][budget]
        scored = np.logical_or.reduce([seen for _, seen in attacked])
        # The clean image lies in the ball, too.
        clean = self.found[dataset, model].get(None, [])
        return float(np.logical_and.reduce([right | ~seen for right, seen in [*clean, *attacked]])[scored].mean())


def _of_twin(
    path: str | Path, origin: str | Path, found: dict[str, np.ndarray], facts: PredictionsMetadata
) -> dict[str, np.ndarray]:
    """The predictions of the fake-quantized model; InputError where they are not of the same model, images, attacks."""
    _, expected, theirs = read_predictions(origin)
    same = ("dataset", "target", "source", "target_fingerprint", "clean_fingerprint")
    if any(facts[key] != theirs[key] for key in same) or found.keys() != expected.keys():
        raise InputError(f"{path}: is not of the same model, images and attacks as {origin}; make both again")
    return expected


def _made_for(source: str, model: Described) -> str:
    known = {int8_name(model["name"]): ITSELF, model["name"]: TWIN, model["base"]: OF_BASE}
    return known.get(source, ANOTHER)


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
