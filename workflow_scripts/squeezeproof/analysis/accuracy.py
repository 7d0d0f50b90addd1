"""The tables of accuracy, computed from stored predictions; no model and no torch in memory.

Accuracies are in [0, 1]. `low` and `high` bound the 95 % Wilson interval over the test examples of one seed; `std` is
the standard deviation over seeds (empty for one seed).
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from squeezeproof.analysis.names import MODEL, by_name
from squeezeproof.analysis.repeated import repeated
from squeezeproof.audit.findings import FAILURE, NOTHING_FOUND, Audit, Finding
from squeezeproof.audit.models import ROUNDING
from squeezeproof.errors import InputError
from squeezeproof.statistics.intervals import wilson
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions
from squeezeproof.tables.catalog.accuracy import CLEAN_ACCURACY, OVER_SEEDS, ROBUST_ACCURACY
from squeezeproof.tables.words import Threat
from squeezeproof.types import Described

TARGET = [f"target_{axis}" for axis in MODEL]
SOURCE = [f"source_{axis}" for axis in MODEL]
BUDGET = ["entry", "method", "norm", "eps"]
SAME_SEED = "same"
# In the place of an attack's settings for the clean images.
UNATTACKED = {"entry": CLEAN, "method": CLEAN, "norm": "", "eps": 0.0}


def read_cells(
    paths: Iterable[str | Path],
    descriptions: Iterable[Described],
    audit: Audit = NOTHING_FOUND,
    findings: Iterable[Finding] = (),
) -> pd.DataFrame:
    """One row per (target, source, attack) with the number of correct predictions, clean rows included.

    Args:
        paths: predictions files.
        descriptions: of every model they name (`Study.describe`); of models that are the same, bit for bit, the first
            stands for all.
        audit: the Audit of the study; cells that failed are left out, `warnings` has the checks that warn of others.
        findings: those of the audit, of which the error says the most frequent failure that leaves no cell.

    Raises InputError where no cell is left, and where two evaluations of one model disagree on more of the clean images
    than rounding on two machines may decide (`audit.models.ROUNDING`): the model would not be deterministic, or the
    files of two runs are mixed.
    """
    models = by_name(descriptions)
    rows, clean, left_out = [], {}, repeated(paths, descriptions)
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        dataset = metadata["dataset"]
        target, source = models[dataset, metadata["target"]], models[dataset, metadata["source"]]
        pair = (dataset, source["name"], target["name"])
        if audit.failed(*pair, CLEAN) or {(dataset, name) for name in pair[1:]} & left_out:
            continue
        key = (dataset, target["name"])
        others = int((clean.setdefault(key, predictions[CLEAN]) != predictions[CLEAN]).sum())
        if others > ROUNDING * len(labels):
            raise InputError(
                f"{path}: clean predictions of {target['name']} differ from those of its other evaluations"
            )
        for name, predicted in predictions.items():
            if audit.failed(*pair, name):
                continue
            settings = metadata["attacks"].get(name, UNATTACKED)
            rows.append(
                {
                    "dataset": dataset,
                    "target": target["name"],
                    "target_base": target["base"],
                    "target_seed": target["seed"],
                    **{f"target_{axis}": target[axis] for axis in MODEL},
                    "source": source["name"],
                    "source_seed": source["seed"],
                    **{f"source_{axis}": source[axis] for axis in MODEL},
                    "threat": Threat.WHITE_BOX if target["name"] == source["name"] else Threat.TRANSFER,
                    "attack": name,
                    **{key: settings[key] for key in BUDGET},
                    "n": int((predicted != NOT_SCORED).sum()),
                    "correct": int((predicted == labels).sum()),
                    "warnings": audit.warnings(*pair, name),
                }
            )
    if not rows:
        often = most_frequent_failure(findings)
        raise InputError(
            f"no cell is supported and passed the audit{often}; tables/unsupported.csv and tables/audit.csv say why"
        )
    cells = pd.DataFrame(rows)
    cells["accuracy"] = cells["correct"] / cells["n"]
    cells["low"], cells["high"] = wilson(cells["correct"], cells["n"])
    return cells.sort_values(["dataset", "source", "target", "attack"], kind="stable").reset_index(drop=True)


def most_frequent_failure(findings: Iterable[Finding]) -> str:
    """The check that failed on most models, with one of them and what was found there, behind a colon; "" for none."""
    failed = defaultdict(dict)
    for finding in findings:
        if finding.verdict == FAILURE:
            failed[finding.check].setdefault((finding.dataset, finding.model), finding)
    if not failed:
        return ""
    models = max(failed.values(), key=len)
    first = next(iter(models.values()))
    others = f" and {len(models) - 1} more" if len(models) > 1 else ""
    return f": check {first.check} ({first.name}) failed on {first.model}{others}: {' '.join(first.message.split())}"


def clean_accuracy(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per model: accuracy on the clean test images."""
    clean = cells[cells["attack"] == CLEAN].drop_duplicates(["dataset", "target"])
    columns = {f"target_{axis}": axis for axis in [*MODEL, "seed"]} | {"target": "model"}
    clean = clean.drop(columns=[name for name in columns.values() if name in clean])
    return CLEAN_ACCURACY.of(clean.rename(columns=columns)).sort_values(["dataset", "model"], ignore_index=True)


def robust_accuracy(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per (source, target, attack at one eps): accuracy of the target on the source's adversarial images."""
    return ROBUST_ACCURACY.of(cells[cells["attack"] != CLEAN]).reset_index(drop=True)


def seed_relation(source: pd.Series, target: pd.Series) -> pd.Series:
    """Of two columns of seeds: `same` where they agree, else `other`."""
    return (source == target).map({True: SAME_SEED, False: "other"})


def over_seeds(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy over seeds and its spread, for the clean images and every attack; seeds of one relation together.

    Clean images have one row per model, which is then also the source, and one run per
    seed.
    """
    clean = cells[cells["attack"] == CLEAN].drop_duplicates(["dataset", "target"])
    clean = clean.assign(threat=CLEAN, source_seed=clean["target_seed"])
    clean = clean.assign(**{source: clean[target] for source, target in zip(SOURCE, TARGET, strict=True)})
    cells = pd.concat([clean, cells[cells["attack"] != CLEAN]], ignore_index=True)
    cells = cells.assign(seed_relation=seed_relation(cells["source_seed"], cells["target_seed"]))
    keys = ["dataset", *SOURCE, *TARGET, "threat", "seed_relation", "attack", *BUDGET]
    grouped = cells.groupby(keys, sort=False, dropna=False)["accuracy"]
    means = grouped.agg(runs="count", mean="mean", std="std", min="min", max="max").reset_index()
    return _bases_first(OVER_SEEDS.frame(means), keys)


def _bases_first(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The table sorted by its keys, uncompressed models before compressed ones and clean images before attacks."""
    return table.sort_values(
        keys, kind="stable", key=lambda column: column.replace({"none": "", CLEAN: ""}), ignore_index=True
    )
