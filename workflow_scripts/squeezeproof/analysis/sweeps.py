"""The table of sweeps: white-box accuracy against rising eps."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import pandas as pd

from squeezeproof.analysis.accuracy import read_cells
from squeezeproof.analysis.names import MODEL
from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.store.predictions import CLEAN, KIND
from squeezeproof.store.tensors import read_metadata
from squeezeproof.tables.catalog.accuracy import SWEEPS
from squeezeproof.types import Described


def sweeps_table(
    paths: Iterable[str | Path], descriptions: Iterable[Described], audit: Audit = NOTHING_FOUND
) -> pd.DataFrame:
    """One row per model and eps of every sweep, in the order of eps; the clean images stand at eps 0.

    `stopped` marks the eps at which the sweep of a model ended because its accuracy was below `chance`, 1 / classes.
    Points that failed the audit are left out.

    Args:
        paths: files of `store.sweeps`.
        descriptions: of every model they name (`Study.describe`).
        audit: the Audit of the study.
    """
    files = sorted(((read_metadata(path, KIND), path) for path in map(str, paths)), key=lambda file: file[0]["sweep"])
    tables = []
    for sweep, group in groupby(files, key=lambda file: file[0]["sweep"]):
        group = list(group)
        cells = read_cells([path for _, path in group], descriptions, audit)
        costs = [
            {"dataset": run["dataset"], "target": run["target"], "attack": attack, **run["costs"].get(attack, {})}
            for run, _ in group
            for attack in (CLEAN, *run["attacks"])
        ]
        table = cells.merge(pd.DataFrame(costs), on=["dataset", "target", "attack"])
        metadata = group[0][0]
        table["chance"] = 1 / len(metadata["classes"])
        below = (table["correct"] * len(metadata["classes"]) < table["n"]) & (table["attack"] != CLEAN)
        tables.append(table.assign(sweep=sweep, stopped=below & metadata["stops"]))
    if not tables:
        return SWEEPS.frame([])
    table = pd.concat(tables, ignore_index=True)
    names = {f"target_{axis}": axis for axis in [*MODEL, "seed"]} | {"target": "model"}
    table = table.drop(columns=[name for name in names.values() if name in table]).rename(columns=names)
    return SWEEPS.of(table).sort_values(["dataset", "sweep", "model", "eps"], ignore_index=True)
