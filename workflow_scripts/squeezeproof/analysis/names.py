"""Display names of what a study names: the attack `pgd` at eps 0.0313725 is `PGD, eps 8/255`."""

from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

import pandas as pd

from squeezeproof.entries import registry
from squeezeproof.entries.compression import CONTROL
from squeezeproof.store.predictions import CLEAN
from squeezeproof.types import Axis, Described

FLOAT_BITS = 32
# Of a model, as the tables name them after `source_` and `target_`.
MODEL: list[Axis] = ["architecture", "training", "compression", "ratio", "bits", "finetuning"]
# The training of a model that averages others.
ENSEMBLE = "ensemble"


def axes_of(model: Described) -> dict[str, Any]:
    """The axes of a described model, and its seed, as columns."""
    return {**{axis: model[axis] for axis in MODEL}, "seed": model["seed"]}


def by_name(descriptions: Iterable[Described]) -> dict[tuple[str, str], Described]:
    """(data set, name) -> description of a model."""
    return {(description["dataset"], description["name"]): description for description in descriptions}


def display_name(name: str) -> str:
    """A data set, architecture, method or entry as the papers write it."""
    return _display_names().get(name, name)


@cache
def _display_names() -> dict[str, str]:
    """As the entries write themselves; a name that a study made up stays as it is."""
    names = {CLEAN: "clean images"}
    for entry in registry.every():
        spelled = {label: entry.display for label in (entry.label(), entry.label().replace("_", "-")) if entry.display}
        names |= spelled | entry.spellings
    return names


def entry_display(entry: str, method: str) -> str:
    """An entry of `attacks` as the papers write it: what a study added to its method's name stays as it is."""
    if entry not in _display_names() and entry.startswith(method):
        return display_name(method) + entry.removeprefix(method)
    return display_name(entry)


def eps_display(eps: float) -> str:
    """A budget as it is usual: `0.1`, and `8/255` where it is no short decimal but a whole number of grey levels."""
    levels = round(255 * eps)
    # Tables hold six digits.
    if eps != float(f"{eps:.3g}") and abs(255 * eps - levels) < 1e-5 * levels:
        return f"{levels}/255"
    return f"{eps:g}"


def attack_display(entry: str, method: str, eps: float | None) -> str:
    """An attack instance, such as `PGD, eps 8/255`; without a budget (eps None or NaN) its entry alone."""
    name = entry_display(entry, method)
    return name if eps is None or eps != eps or entry == CLEAN else f"{name}, eps {eps_display(eps)}"


def attack_displays(table: pd.DataFrame) -> dict[str, str]:
    """Attack instance -> its display name, of a table with the columns of attacks; its own name where two share one."""
    attacks = table.drop_duplicates("attack")
    columns = zip(*(attacks[name] for name in ("attack", "entry", "method", "eps")), strict=True)
    found = {attack: attack_display(*of_attack) for attack, *of_attack in columns}
    shared = {name for name, count in Counter(found.values()).items() if count > 1}
    return {attack: attack if name in shared else name for attack, name in found.items()}


def averaged(seeds: int) -> str:
    """What a number is that several seeds share."""
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def level(ratio: float, bits: float) -> str:
    """How much a compression removed, such as `90 %`, or left, such as `8-bit`; of a model from a file, that it is."""
    if ratio == 0 and bits == FLOAT_BITS:
        return "(external)"
    return f"{bits:g}-bit" if bits < FLOAT_BITS else f"{100 * ratio:g} %"


def finetuning_in_words(finetuning: str) -> str:
    return "not fine-tuned" if finetuning == "none" else f"{finetuning} fine-tuning"


def model_in_words(
    architecture: str, training: str, compression: str, ratio: float, bits: float, finetuning: str
) -> str:
    """A model without its seed, such as `CNN-8, standard training, filter 60 %, standard fine-tuning`."""
    if training == ENSEMBLE:
        return f"{display_name(architecture)}, {ENSEMBLE}"
    model = f"{display_name(architecture)}, {training} training"
    if compression == "none":
        return f"{model}, base"
    if compression == CONTROL:
        return f"{model}, {CONTROL}, {finetuning_in_words(finetuning)}"
    return f"{model}, {compression} {level(ratio, bits)}, {finetuning_in_words(finetuning)}"


def short_names(table: pd.DataFrame) -> dict[Any, str]:
    """Index -> name of a compressed model, such as `CNN-8, filter 60 %`, without what those of a table share."""
    parts = {
        "architecture": table["architecture"].map(display_name),
        "training": table["training"] + " training",
        "compression": [_removed(*values) for values in zip(*(table[axis] for axis in MODEL[2:5]), strict=True)],
        "finetuning": table["finetuning"].map(finetuning_in_words),
    }
    kept = {"architecture", "compression"} | {axis for axis in parts if table[axis].nunique() > 1}
    chosen = [values for axis, values in parts.items() if axis in kept]
    return dict(zip(table.index, map(", ".join, zip(*chosen, strict=True)), strict=True))


def removals(table: pd.DataFrame, prefix: str = "") -> list[str]:
    """What was done to the model of each row, such as `filter 60 %`, with its fine-tuning where others of the table
    have all else in common.

    Args:
        table: with the axes of models as columns, whose names begin with `prefix`.
    """
    *axes, finetuning = (f"{prefix}{axis}" for axis in MODEL)
    several = table.groupby(axes)[finetuning].transform("nunique").gt(1)
    values = (table[axis] for axis in (*axes[2:], finetuning))
    return [
        f"{_removed(*removed)}, {finetuning_in_words(tuned)}" if told else _removed(*removed)
        for told, (*removed, tuned) in zip(several, zip(*values, strict=True), strict=True)
    ]


def _removed(compression: str, ratio: float, bits: float) -> str:
    unlevelled = {"none": "base", CONTROL: CONTROL}
    return unlevelled.get(compression) or f"{compression} {level(ratio, bits)}"


def model_label(row: Any, side: str, shared: Collection[str]) -> str:
    """A model's name without the parts that all models of the figure share, such as `cnn3 weight 90 %`."""
    architecture, training, compression, ratio, bits, finetuning = (row[f"{side}_{axis}"] for axis in MODEL)
    parts = [architecture, training]
    if training != ENSEMBLE:
        parts.append(_removed(compression, ratio, bits))
    if compression != "none":
        parts.append(finetuning_in_words(finetuning))
    kept = [part for part in parts if part not in shared]
    return " ".join(kept) or parts[-1]


def shared_parts(table: pd.DataFrame, side: str) -> set[str]:
    """Name parts that do not tell the models of a table apart."""
    shared = set()
    for axis in ("architecture", "training"):
        values = table[f"{side}_{axis}"].unique()
        if len(values) == 1:
            shared.add(values[0])
    tuned = table.loc[table[f"{side}_compression"] != "none", f"{side}_finetuning"].unique()
    if len(tuned) == 1:
        shared |= {f"{tuned[0]} fine-tuning", "not fine-tuned"}
    return shared
