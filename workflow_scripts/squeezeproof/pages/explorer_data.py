"""What the explorer page knows of a study: its tables, joined by cell and packed as columns; no model, no torch.

A cell is a row of the table `over_seeds` under an attack: one source, one target, their relation of seeds, one attack
at one budget. Its runs are rows of `robust_accuracy`, one per pair of seeds.
"""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from squeezeproof.analysis.accuracy import SOURCE, TARGET, seed_relation
from squeezeproof.analysis.names import MODEL, eps_display, model_label, shared_parts
from squeezeproof.analysis.pairs import BASE
from squeezeproof.analysis.unsupported import NONE, in_words
from squeezeproof.analysis.verdicts import headline
from squeezeproof.audit.findings import EVERY, FAILURE, WARNING
from squeezeproof.pages.grouped import grouped
from squeezeproof.statistics.means import independent, mean_interval
from squeezeproof.store.predictions import CLEAN
from squeezeproof.tables.words import Comparison

TABLES = [
    "over_seeds", "robust_accuracy", "clean_accuracy", "verdicts", "effects", "max_delta", "flips", "audit",
    "compression",
]  # fmt: skip
KEY = ["dataset", "source", "target", "seed_relation", "attack"]
SIZES = ["parameters", "nonzeros", "macs", "bytes", "packed_bytes", "filters"]
# Findings beyond this many characters come without their messages, which tables/audit.csv has.
MESSAGES = 150_000
NUMBER = re.compile(r"[+−-]?\d+\.\d+")


def explorer_data(tables: Mapping[str, pd.DataFrame], study: str, question: str) -> dict[str, Any]:
    """Everything but the images, ready for JSON: lists of columns (`packed`) that name models and attacks by position.

    Args:
        tables: name -> table, of those named in TABLES, and `unsupported` where something is.
        study, question: name and question of the study.
    """
    models, runs = model_table(tables), run_table(tables)
    cells = cell_table(tables, models, runs)
    attacks = tables["robust_accuracy"][["attack", "entry", "method", "norm", "eps"]].drop_duplicates("attack")
    attacks = attacks.assign(budget=["" if pd.isna(eps) else eps_display(eps) for eps in attacks["eps"]])
    attacks = attacks.sort_values(["entry", "eps", "attack"], ignore_index=True)
    verdicts, effects = verdict_table(tables, models, cells), effect_table(tables, models, cells)
    runs["cell"] = _positions(runs, cells, KEY)
    for side in ("source", "target"):
        found = models[["dataset", "model"]].rename(columns={"model": side})
        cells[f"{side}_model"] = _positions(cells, found, ["dataset", side])
    cells["attack"] = _positions(cells, attacks, ["attack"])
    audit, missing = tables["audit"], tables.get("unsupported", NONE)
    return {
        "study": study,
        "question": question,
        "models": packed(models),
        "attacks": packed(attacks),
        "cells": packed(cells.drop(columns=["dataset", "source", "target"])),
        "runs": packed(runs.drop(columns=[*KEY, "source_name", "target_name"])),
        "verdicts": packed(verdicts),
        "effects": packed(effects),
        "curves": packed(_against_base(tables["max_delta"]).drop(columns=["entry", "method", "norm", "eps", *SOURCE])),
        "findings": packed(_findings(tables)),
        "checks": {int(row.check): row.name for row in audit[["check", "name"]].drop_duplicates().itertuples(False)},
        "unsupported": [
            [dataset, one.text, one.details]
            for dataset, rows in missing.groupby("dataset", sort=False)
            for one in grouped(in_words(rows))
        ],
        "audited": {verdict: int(count) for verdict, count in audit["verdict"].value_counts().items()},
    }


def first_runs(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The run of every cell that its images show, that of the first seeds: dataset, source, target (names), attack, and
    `model`, the source without its seed.

    In the order of the cells of `explorer_data`.
    """
    models, runs = model_table(tables), run_table(tables)
    first = cell_table(tables, models, runs)[KEY].merge(runs.drop_duplicates(KEY), on=KEY, how="left")
    names = {"source": "model", "source_name": "source", "target_name": "target"}
    return first[["dataset", *names, "attack"]].rename(columns=names)


def packed(table: pd.DataFrame) -> dict[str, Any]:
    """Column name -> list of values; texts and repetitive numbers as `{"values": distinct, "rows": positions}`.

    Missing values become None.
    """
    return {str(name): _packed(column) for name, column in table.items()}


def _packed(column: pd.Series) -> Any:
    values = [None if pd.isna(value) else value for value in column.tolist()]
    values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    distinct = list(dict.fromkeys(values))
    if not any(isinstance(value, str) for value in distinct) and len(distinct) > len(values) / 4:
        return values
    position = {value: index for index, value in enumerate(distinct)}
    return {"values": distinct, "rows": [position[value] for value in values]}


def model_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per model without its seed: label, axes, base, sizes (of the first seed), clean accuracy over seeds."""
    sizes = tables["compression"].sort_values("seed", kind="stable").drop_duplicates(["dataset", "variant"])
    order = ["dataset", *MODEL]
    sizes = sizes.sort_values(order, key=lambda column: column.replace({"none": ""}), ignore_index=True)
    named = sizes.rename(columns=dict(zip(MODEL, TARGET, strict=True)))
    labels = [_labels(group) for _, group in named.groupby("dataset", sort=False)]
    clean = tables["clean_accuracy"].merge(tables["compression"][["dataset", "model", "variant"]])
    clean = intervals(clean, ["dataset", "variant"]).rename(columns=lambda name: f"clean_{name}").reset_index()
    trained = ["dataset", "architecture", "training"]
    bases = sizes[sizes["compression"] == "none"].set_index(trained)["variant"].rename("base")
    models = sizes.assign(label=pd.concat(labels)).join(bases, on=trained).merge(clean, how="left")
    shown = ["dataset", "variant", *MODEL, "activation_bits", *SIZES, "label", "base", "clean_mean", "clean_low"]
    return models[[*shown, "clean_high", "clean_n"]].rename(columns={"variant": "model"})


def _labels(models: pd.DataFrame) -> pd.Series:
    shared = shared_parts(models, "target")
    return pd.Series([model_label(row, "target", shared) for _, row in models.iterrows()], models.index)


def run_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of `robust_accuracy` with models and seeds apart, sorted by seeds."""
    runs = tables["robust_accuracy"].drop(columns=["entry", "method", "norm", "eps", "threat"])
    for side in ("source", "target"):
        names = tables["compression"][["dataset", "model", "variant", "seed"]]
        names = names.rename(columns={"model": side, "variant": f"{side}_variant", "seed": f"{side}_seed"})
        runs = runs.merge(names, on=["dataset", side])
    sides = {side: f"{side}_name" for side in ("source", "target")}
    runs = runs.rename(columns={**sides, **{f"{side}_variant": side for side in sides}})
    runs = runs.assign(seed_relation=seed_relation(runs["source_seed"], runs["target_seed"]))
    return runs.sort_values(["source_seed", "target_seed"], kind="stable", ignore_index=True)


def cell_table(tables: Mapping[str, pd.DataFrame], models: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The cells of `over_seeds`, clean images left out, with their interval, images scored and audit warnings."""
    cells = tables["over_seeds"]
    cells = cells[cells["attack"] != CLEAN]
    for side, axes in (("source", SOURCE), ("target", TARGET)):
        names = models[["dataset", "model", *MODEL]].rename(
            columns={**dict(zip(MODEL, axes, strict=True)), "model": side}
        )
        cells = cells.merge(names, on=["dataset", *axes], how="left")
    cells = cells[[*KEY, "threat", "runs", "mean", "std", "min", "max"]]
    cells = cells.merge(intervals(runs, KEY)[["low", "high", "n"]].reset_index(), on=KEY, how="left")
    warnings = runs.groupby(KEY)["warnings"].agg(lambda texts: " ".join(sorted(set(" ".join(texts).split()), key=int)))
    return cells.merge(warnings.reset_index(), on=KEY, how="left")


def intervals(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean accuracy, its 95 % interval (of the only run its own, else `mean_interval`) and the images scored."""
    found = {}
    for key, group in runs.groupby(keys):
        values, images = group["accuracy"], group["n"].min()
        if len(group) > 1:
            sides = [group[side].nunique() for side in ("source_seed", "target_seed") if side in group]
            seeds = independent(*sides) if sides else len(values)
            bounds = mean_interval(values.mean(), values.std(), len(values), images, seeds)
        else:
            bounds = group["low"].item(), group["high"].item()
        mean, low, high = (float(f"{value:.6g}") for value in (values.mean(), *bounds))
        found[key] = {"mean": mean, "low": low, "high": high, "n": images}
    table = pd.DataFrame.from_dict(found, orient="index", columns=["mean", "low", "high", "n"])
    table.index = pd.MultiIndex.from_tuples(table.index, names=keys)
    return table


def effect_table(tables: Mapping[str, pd.DataFrame], models: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """By cell what further training and what compression did, of the kind of verdict that reaches furthest, to 0.1
    points.
    """
    effects = headline(tables["effects"]).merge(
        models[["dataset", "model", *MODEL]], on=["dataset", *MODEL], how="left"
    )
    effects = effects.rename(columns={"model": "target"})
    effects["source"] = effects["source"].where(effects["comparison"] != Comparison.WHITE_BOX, effects["target"])
    effects["cell"] = _positions(effects, cells, KEY)
    parts = [f"{part}{end}" for part in ("by_training", "by_compression") for end in ("", "_low", "_high")]
    return effects[["cell", "comparison", "about", *parts]].round(3)


def verdict_table(tables: Mapping[str, pd.DataFrame], models: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The verdicts by cell, their sentences as templates with the numbers apart, and the flips summed over seeds."""
    verdicts = tables["verdicts"].merge(models[["dataset", "model", *MODEL]], on=["dataset", *MODEL], how="left")
    verdicts = verdicts.rename(columns={"model": "target", "source": "named"})
    verdicts["source"] = verdicts["named"].where(verdicts["comparison"] != Comparison.WHITE_BOX, verdicts["target"])
    names = tables["compression"][["dataset", "model", "variant", "seed"]]
    flips = tables["flips"].rename(columns={"source": "source_name", "target": "target_name"})
    for side in ("source", "target"):
        sided = {"model": f"{side}_name", "variant": side, "seed": f"{side}_seed"}
        flips = flips.merge(names.rename(columns=sided), on=["dataset", f"{side}_name"])
    flips = flips.assign(seed_relation=seed_relation(flips["source_seed"], flips["target_seed"]))
    pair = [*KEY, "comparison", "against"]
    verdicts = verdicts.merge(flips.groupby(pair)[["broken", "mended"]].sum().reset_index(), on=pair, how="left")
    filled = [
        template(*values) for values in zip(verdicts["sentence"], verdicts["attack"], verdicts["named"], strict=True)
    ]
    verdicts[["template", "numbers"]] = pd.DataFrame(filled, verdicts.index, ["template", "numbers"], dtype=str)
    verdicts["cell"] = _positions(verdicts, cells, KEY)
    keep = [
        "cell",
        "comparison",
        "against",
        "about",
        "verdict",
        "difference",
        "low",
        "high",
        "p_difference_holm",
        "broken",
        "mended",
    ]
    return verdicts[[*keep, "template", "numbers"]].rename(columns={"p_difference_holm": "p"})


def _against_base(deltas: pd.DataFrame) -> pd.DataFrame:
    deltas = headline(deltas)
    return deltas[deltas["against"] == BASE]


def template(sentence: str, attack: str, source: str) -> tuple[str, str]:
    """A verdict's sentence with `{attack}`, `{source}` and `{}` in place of its names and decimals; the decimals."""
    text = sentence.replace(f"under {attack},", "under {attack},", 1)
    text = text.replace(f"crafted on {source}", "crafted on {source}", 1)
    return NUMBER.sub("{}", text), " ".join(NUMBER.findall(text))


def _findings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Failures and warnings with the models they are of, without their messages where these would fill the page."""
    audit = tables["audit"]
    found = audit[audit["verdict"].isin([FAILURE, WARNING])].drop(columns="name")
    variants = tables["compression"].set_index(["dataset", "model"])["variant"].to_dict()
    for side in ("source", "target"):
        keys = zip(found["dataset"], found[side], strict=True)
        found[side] = [EVERY if name == EVERY else variants[dataset, name] for dataset, name in keys]
    return found.assign(message="") if found["message"].str.len().sum() > MESSAGES else found


def _positions(table: pd.DataFrame, among: pd.DataFrame, keys: list[str]) -> Any:
    """Position in `among` of every row of a table, by the values of the keys; None where there is none."""
    known = {key: position for position, key in enumerate(among[keys].itertuples(index=False, name=None))}
    return pd.array([known.get(key) for key in table[keys].itertuples(index=False, name=None)], dtype="Int64")
