"""What networks of a study do not support, from the markers that stand in the place of files; no torch."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import MODEL, by_name, display_name, model_in_words
from squeezeproof.markers import told_by
from squeezeproof.tables.catalog.checks import UNSUPPORTED
from squeezeproof.tables.table import records
from squeezeproof.types import Described

# Rule -> the wildcard that names the model, and the one that names what was not supported, if any.
PARTS = {
    "compress": ("variant", None),
    "build_ensemble": ("ensemble", None),
    "craft": ("source", "attack"),
    "craft_shard": ("source", "attack"),
    # Of gradients that vanish on every image the shards together tell.
    "join_shards": ("source", "attack"),
    "fit_attack": ("source", "attack"),
    "sweep": ("source", "sweep"),
    "export": ("model", "ending"),
    "export_int8": ("model", None),
    "craft_int8": ("source", "attack"),
    "probe": ("source", None),
}
COMPRESSION = "compression"
NAMED = {
    "compress": COMPRESSION,
    "build_ensemble": "ensemble",
    "export_int8": "int8.onnx",
    "probe": "the audit's probe",
}


# Of a study whose networks support all of it.
NONE = UNSUPPORTED.frame([])


def unsupported_table(paths: Iterable[str | Path], descriptions: Iterable[Described]) -> pd.DataFrame:
    """One row per model without its seed and part of the study that it does not support, where the reason was found.

    Args:
        paths: of files that may be markers.
        descriptions: of every model they name (`Study.describe`).
    """
    models = by_name(descriptions)
    # Jobs that read a marker write what it tells.
    found = {repr(told): told for told in map(told_by, map(str, paths)) if told is not None}
    rows = [_row(told, models) for told in found.values()]
    keys = ["dataset", *MODEL, "part", "reason"]
    counts: Any = pd.DataFrame(rows, columns=[*keys, "model"]).groupby(keys, as_index=False)
    table: Any = counts["model"].nunique()
    return UNSUPPORTED.frame(table.rename(columns={"model": "models"}))


def in_words(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(model, what it does not support and why) of every row of the table."""
    return [
        (
            f"{display_name(row.dataset)}, {model_in_words(*(getattr(row, axis) for axis in MODEL))}",
            f"not supported: {'' if row.part == COMPRESSION else f'{row.part}: '}{row.reason}",
        )
        for row in records(table)
    ]


def _row(told: dict[str, Any], models: Mapping[tuple[str, str], Described]) -> dict[str, Any]:
    names, rule = told["names"], told["rule"]
    of_model, of_part = PARTS[rule]
    model = models[names["dataset"], names[of_model]]
    part = names[of_part] if of_part else NAMED[rule]
    axes = {"dataset": model["dataset"], **{axis: model[axis] for axis in MODEL}}
    return {**axes, "part": part, "reason": told["reason"], "model": model["name"]}
