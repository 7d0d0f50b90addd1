"""The table of targeted attacks: how often the images get the class that they were to reach; no torch."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import BUDGET
from squeezeproof.analysis.names import by_name
from squeezeproof.analysis.repeated import repeated
from squeezeproof.audit.findings import NOTHING_FOUND, Audit
from squeezeproof.statistics.intervals import wilson
from squeezeproof.store.predictions import CLEAN, read_targeted
from squeezeproof.tables.catalog.accuracy import TARGETED_ATTACKS
from squeezeproof.tables.words import Threat
from squeezeproof.types import Described


def targeted_table(
    paths: Iterable[str | Path], descriptions: Iterable[Described], audit: Audit = NOTHING_FOUND
) -> pd.DataFrame:
    """One row per (target, source, targeted attack), by the arguments of `analysis.accuracy.read_cells`."""
    models = by_name(descriptions)
    rows, left_out = [], repeated(paths, descriptions)
    for path in sorted(map(str, paths)):
        labels, clean, attacks, metadata = read_targeted(path)
        dataset, target, source = (metadata[key] for key in ("dataset", "target", "source"))
        if audit.failed(dataset, source, target, CLEAN) or {(dataset, source), (dataset, target)} & left_out:
            continue
        for name, found in attacks.items():
            if audit.failed(dataset, source, target, name):
                continue
            scored = found.scored & (found.targets != labels)
            rows.append(
                {
                    **{"dataset": dataset, "source": source, "target": target},
                    "threat": Threat.WHITE_BOX if target == source else Threat.TRANSFER,
                    "attack": name,
                    **{key: found.settings[key] for key in (*BUDGET, "targeted")},
                    "n": int(scored.sum()),
                    "reached": int(found.reached.sum()),
                    "clean_rate": float((clean == found.targets)[scored].mean()),
                    "warnings": audit.warnings(dataset, source, target, name),
                }
            )
    table = pd.DataFrame(rows)
    if table.empty:
        return TARGETED_ATTACKS.frame(rows)
    table["low"], table["high"] = wilson(table["reached"], table["n"])
    rates = dict(zip(_cells(table), table["reached"] / table["n"], strict=True))
    table["base_rate"] = [rates.get(_of_base(cell, models), np.nan) for cell in _cells(table)]
    return TARGETED_ATTACKS.frame(table).sort_values(["dataset", "source", "target", "attack"], ignore_index=True)


def _cells(table: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    return list(zip(*(table[key] for key in ("dataset", "source", "target", "attack")), strict=True))


def _of_base(cell: tuple[str, str, str, str], models: dict[tuple[str, str], Described]) -> tuple[str, ...] | None:
    """The cell of the base that a compressed model's is set beside; None for a base."""
    dataset, source, target, attack = cell
    base = models[dataset, target]["base"]
    return None if base == target else (dataset, base if source == target else source, base, attack)
