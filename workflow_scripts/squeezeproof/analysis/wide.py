"""The tables as the papers print them: models or attacks as rows, ratios, attacks or stages as columns, in per cent.

`runs` are the seeds of a row, a cell is their mean, `images` are those of one seed. `warned` names the columns of a row
of whose cells the audit warns.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from squeezeproof.analysis.accuracy import seed_relation
from squeezeproof.analysis.names import CONTROL, MODEL, attack_displays, by_name, display_name, level
from squeezeproof.analysis.unsupported import COMPRESSION, NONE
from squeezeproof.store.predictions import CLEAN
from squeezeproof.tables.catalog.papers import WIDE_ATTACKS, WIDE_MODELS, WIDE_STAGES
from squeezeproof.tables.table import records
from squeezeproof.tables.words import Threat
from squeezeproof.types import Described

CELL = ["dataset", *(f"{side}_{axis}" for side in ("source", "target") for axis in MODEL), "seed_relation", "attack"]
ITSELF, ITS_BASE = "itself", "its base"
UNSUPPORTED = "not supported"
OTHER_SEED = ", another seed"


def read_cells(over_seeds: pd.DataFrame, robust: pd.DataFrame, compression: pd.DataFrame) -> pd.DataFrame:
    """The rows of `over_seeds` with `crafted_on` in words, `warned` and the row's place in the files.

    Args:
        over_seeds: that table.
        robust, compression: the tables `robust_accuracy` and `compression`; they tell of whose cells the audit warns.
    """
    cells = over_seeds.assign(crafted_on=[crafted_on(row) for row in over_seeds.itertuples()])
    warned = _warned(robust, compression)
    keys = zip(*(cells[key] for key in CELL), strict=True)
    return cells.assign(warned=[key in warned for key in keys])


def crafted_on(row: Any) -> str:
    """The source of a row of `over_seeds` as its target sees it."""
    if row.threat == CLEAN:
        return ""
    if row.threat == Threat.WHITE_BOX:
        return ITSELF
    seed = OTHER_SEED if row.seed_relation == "other" else ""
    same = row.source_architecture == row.target_architecture and row.source_training == row.target_training
    if row.source_compression == CONTROL:
        return f"{row.source_architecture}.{row.source_training}, {CONTROL}, {row.source_finetuning}{seed}"
    if row.source_compression == "none":
        return f"{ITS_BASE if same else f'{row.source_architecture}.{row.source_training}'}{seed}"
    removed = f"{row.source_compression} {level(row.source_ratio, row.source_bits)}, {row.source_finetuning}"
    return f"{row.source_architecture}.{row.source_training}, {removed}{seed}"


def _warned(robust: pd.DataFrame, compression: pd.DataFrame) -> set[tuple[Any, ...]]:
    """The values of CELL of the means that hold a cell the audit warns of."""
    marked = robust[robust["warnings"] != ""]
    axes = compression[["dataset", "model", *MODEL, "seed"]]
    for side in ("source", "target"):
        names = {"model": side, **{axis: f"{side}_{axis}" for axis in [*MODEL, "seed"]}}
        marked = marked.merge(axes.rename(columns=names), on=["dataset", side])
    marked = marked.assign(seed_relation=seed_relation(marked["source_seed"], marked["target_seed"]))
    return set(zip(*(marked[key] for key in CELL), strict=True))


def models_by_attack(cells: pd.DataFrame, unsupported: pd.DataFrame = NONE) -> pd.DataFrame:
    """A row per model and source, a column per attack (Wang et al. 2018, Tables 1 and 2), clean images first.

    `unsupported` is the table of that name: its models have rows that say so.
    """
    keys = ["dataset", *(f"target_{axis}" for axis in MODEL)]
    attacks = [attack for attack in dict.fromkeys(cells["attack"]) if attack != CLEAN]
    titles, rows = attack_displays(cells), []
    groups: Any = cells.groupby(keys, sort=False, dropna=False)
    for key, model in groups:
        clean = model[model["attack"] == CLEAN]
        for source, found in model[model["attack"] != CLEAN].groupby("crafted_on", sort=False):
            row = dict(zip(["dataset", *MODEL], key, strict=True)) | {"crafted on": source}
            both = pd.concat([clean, found])
            row |= {titles[cell.attack]: 100 * cell.mean for cell in both.itertuples()}
            warned = "; ".join(titles[cell.attack] for cell in both.itertuples() if cell.warned)
            rows.append(row | {"runs": int(found["runs"].max()), "warned": warned})
    for row in records(unsupported):
        reason = row.reason if row.part == COMPRESSION else f"{row.part}: {row.reason}"
        rows.append({axis: getattr(row, axis) for axis in ["dataset", *MODEL]} | {UNSUPPORTED: reason})
    columns = ["dataset", *MODEL, "crafted on", "runs", *map(titles.get, [CLEAN, *attacks]), "warned", UNSUPPORTED]
    return WIDE_MODELS.frame(pd.DataFrame(rows, columns=columns))


def attacks_by_level(
    cells: pd.DataFrame, compression: str, controls: Mapping[tuple[Any, ...], str], unsupported: pd.DataFrame = NONE
) -> pd.DataFrame:
    """A row per model and attack, a column per ratio or bit width of one compression ([vora2023], and theirs of
    benign accuracy in the rows of the clean images). `max delta` is the largest SIGNED difference compressed minus
    base; `control` is the base after the same further training, which the papers lack.

    Args:
        controls: of `controls_of`.
        unsupported: the table of that name.
    """
    compressed = cells[cells["target_compression"] == compression]
    compressed = compressed.sort_values("threat", key=lambda threat: threat != CLEAN, kind="stable")
    levels = (
        compressed[["target_ratio", "target_bits"]]
        .drop_duplicates()
        .sort_values(["target_ratio", "target_bits"], ascending=[True, False])
    )
    names = [level(*values) for values in levels.itertuples(index=False)]
    keys = ["dataset", "target_architecture", "target_training", "target_finetuning", "crafted_on", "attack"]
    bases, trained, titles = _bases(cells), _controls(cells), attack_displays(cells)
    rows = []
    for key, found in compressed.groupby(keys, sort=False):
        dataset, architecture, training, finetuning, source, attack = key
        base = bases.get((dataset, architecture, training, source, attack))
        accuracy = {level(row.target_ratio, row.target_bits): row.mean for row in found.itertuples()}
        row = {"dataset": dataset, "architecture": architecture, "training": training, "finetuning": finetuning}
        row |= {"crafted on": source, "attack": titles[attack], "runs": int(found["runs"].max())}
        row |= {name: 100 * value for name, value in accuracy.items()}
        warned = [level(row.target_ratio, row.target_bits) for row in found.itertuples() if row.warned]
        if base is not None:
            best = max(accuracy, key=lambda name: accuracy[name])
            row |= {"base": 100 * base.mean, "max delta": 100 * (accuracy[best] - base.mean)}
            warned += ["max delta"] * (base.warned or best in warned)
            warned = ["base"] * base.warned + warned
        label = controls.get((dataset, architecture, training, compression, finetuning))
        control = trained.get((dataset, architecture, training, label, source, attack))
        if control is not None:
            row |= {CONTROL: 100 * control.mean}
            warned += [CONTROL] * control.warned
        rows.append(row | {"warned": "; ".join(warned)})
    for row in unsupported[unsupported["compression"] == compression].itertuples():
        axes = {axis: getattr(row, axis) for axis in ("dataset", "architecture", "training", "finetuning")}
        attack = "" if row.part == COMPRESSION else row.part
        rows.append(axes | {"attack": attack, UNSUPPORTED: f"{level(row.ratio, row.bits)}: {row.reason}"})
    columns = ["dataset", "architecture", "training", "finetuning", "crafted on", "attack", "runs", "base", CONTROL]
    return WIDE_ATTACKS.frame(pd.DataFrame(rows, columns=[*columns, *names, "max delta", "warned", UNSUPPORTED]))


def controls_of(descriptions: Iterable[Described]) -> dict[tuple[Any, ...], str]:
    """(data set, architecture, training, compression, fine-tuning) -> fine-tuning of the control, from descriptions of
    models (`Study.describe`).
    """
    known = by_name(descriptions)
    axes = ("dataset", "architecture", "training", "compression", "finetuning")
    return {
        tuple(model[axis] for axis in axes): known[model["dataset"], model["control"]]["finetuning"]
        for model in descriptions
        if model["control"] not in ("", model["base"])
    }


def _controls(cells: pd.DataFrame) -> dict[tuple[Any, ...], Any]:
    """(data set, architecture, training, fine-tuning, crafted on, attack) -> row of the control there."""
    axes = ["dataset", "target_architecture", "target_training", "target_finetuning", "crafted_on", "attack"]
    return {
        tuple(getattr(row, axis) for axis in axes): row
        for row in cells[cells["target_compression"] == CONTROL].itertuples()
    }


def _bases(cells: pd.DataFrame) -> dict[tuple[Any, ...], Any]:
    """(data set, architecture, training, crafted on, attack) -> row of the base model there."""
    bases = {}
    for row in cells[cells["target_compression"] == "none"].itertuples():
        key = (row.dataset, row.target_architecture, row.target_training)
        bases[*key, row.crafted_on, row.attack] = row
        if row.crafted_on == ITSELF:
            # On its own images the base is scored beside the compressed models that face them too.
            bases[*key, ITS_BASE, row.attack] = row
    return bases


def stages_by_model(stages: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """A row per suite and model, a column per attack of the sequence: what is left standing after it (Marshall 2020,
    Table 4.2), seeds together.

    Args:
        stages, clean: the tables `stages` and `clean_accuracy`.
    """
    models = clean.set_index(["dataset", "model"])
    stages = stages.join(models[[*MODEL, "accuracy"]].rename(columns={"accuracy": "clean"}), on=["dataset", "source"])
    stages = stages.assign(stage=[_stage(row) for row in stages.itertuples()])
    order = stages.sort_values("order", kind="stable")["stage"]
    keys = ["dataset", "attack", *MODEL]
    titles = attack_displays(stages.drop(columns="method").rename(columns={"suite": "method"}))
    rows = []
    groups: Any = stages.groupby(keys, sort=False, dropna=False)
    for key, found in groups:
        means = 100 * found.groupby("stage", sort=False)["accuracy"].mean()
        row = dict(zip(keys, key, strict=True)) | {"kept": f"{100 * (1 - found['ratio'].iloc[0]):g} %"}
        row |= {"runs": found["source"].nunique(), "images": int(found["n"].iloc[0])}
        rows.append(row | {"clean": 100 * found.drop_duplicates("source")["clean"].mean(), **means})
    columns = ["dataset", "attack", *MODEL, "kept", "runs", "images", "clean", *dict.fromkeys(order)]
    table = pd.DataFrame(rows, columns=columns).rename(columns={"clean": "clean images"})
    return WIDE_STAGES.frame(table.assign(attack=table["attack"].map(titles)))


def _stage(row: Any) -> str:
    loss = (
        {"cross_entropy": "-CE", "rounded_cross_entropy": "-CE", "dlr": "-DLR"}.get(row.loss, "")
        if row.method == "apgd"
        else ""
    )
    # Suites that try several slopes have the same attack several times.
    slope = f", {row.gradient}" if row.gradient not in ("", "straight-through") else ""
    return f"{row.order}. {display_name(row.method)}{loss}{slope}"
