"""A page on models that were compressed elsewhere: may they replace their base, and what an attacker finds by gradients
of the base and by queries of the model itself. Each number and sentence is computed from the study's tables.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import attack_displays
from squeezeproof.entries import registry
from squeezeproof.pages.sections import audit_section, read_audit_in_short
from squeezeproof.statistics.crossed import About
from squeezeproof.tables.files import read_table
from squeezeproof.tables.table import records

TABLES = ["answers", "robust_accuracy", "crafting", "clean_accuracy", "compression"]
BASE = "base"
# What an attack follows -> what a reader calls it, in the order of the page; controls by noise have no row.
ASKED = {"gradients": "gradients", "logits": "scores", "labels": "labels"}
TRANSFERRED = "none of it: made for the base"


def elsewhere_page(folder: Path, title: str, introduction: str, notes: Any) -> None:
    """Write README.md beside the tables of one study with one base and one seed.

    Args:
        folder: pathlib.Path with the csv files of TABLES; figures beside them (*.png) are shown. It gets the page.
        title, introduction: of the page.
        notes: what the reader must know, one sentence or more each.
    """
    tables = {name: read_table(folder / f"{name}.csv") for name in TABLES}
    names = {row.model: BASE if row.compression == "none" else row.compression for row in _models(tables)}
    rows = list(_attacks(tables["robust_accuracy"], tables["crafting"], names))
    lines = [f"# {title}", "", introduction, "", "## The answers", "", *_answers(tables)]
    for figure in sorted(folder.glob("*.png")):
        lines += ["", f"![{figure.stem}]({figure.name})"]
    lines += ["", "## Robust accuracy against queries", "", *_queries(rows, list(names.values()))]
    lines += ["", *_added(rows, list(names.values()))]
    lines += ["", "## What the audit says", "", *audit_section(read_audit_in_short(folder))]
    lines += ["", "## What to know", "", *(f"- {note}" for note in notes)]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _models(tables: dict[str, pd.DataFrame]) -> Iterator[Any]:
    """The rows of the table of models, the base first."""
    return records(tables["compression"].sort_values("compression", key=lambda names: names != "none", kind="stable"))


def _answers(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    """A row per model: its size, its accuracies and its answer."""
    answers = tables["answers"]
    answers = answers[answers["about"].eq(About.MODELS)].set_index("compression")
    clean = tables["clean_accuracy"].set_index("model")["accuracy"]
    displays = attack_displays(tables["robust_accuracy"])
    worst = "under the worst attack on itself that leaves its base something, %"
    yield f"| model | kB | clean, % | {worst} | its base under that attack, % | answer |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in _models(tables):
        head = f"{row.packed_bytes / 1000:.0f} | {100 * clean[row.model]:.1f}"
        if row.compression == "none":
            yield f"| {BASE} | {head} | | | |"
            continue
        own = answers.loc[row.compression]
        yield (
            f"| {row.compression} | {head} | {100 * own['robust_accuracy']:.1f}: {displays[own['attack']]} | "
            f"{100 * own['base_robust_accuracy']:.1f} | **{own['answer']}** |"
        )
    yield ""
    for name, own in answers.iterrows():
        yield f"- {name}: {own['reasons']}."


def _attacks(robust: pd.DataFrame, crafting: pd.DataFrame, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A row per attack on each model itself, and one per attack on the base that was tried on the others: what it
    `asked`, its `name` and `budget`, the `queries` of an image, and per model its `accuracy`.
    """
    displays = attack_displays(robust)
    taken = crafting.set_index(["source", "attack"])["forwards_per_example"]
    base = next(model for model, name in names.items() if name == BASE)
    kinds = registry.attacks()
    for attack in dict.fromkeys(robust["attack"]):
        cells = robust[robust["attack"] == attack]
        row = next(records(cells))
        kind, budget = kinds[row.method], (row.norm, row.eps)
        own = cells[cells["source"] == cells["target"]]
        told = {"name": displays[attack], "budget": budget, "attack": attack}
        accuracy = {names[one.target]: one.accuracy for one in records(own)}
        queries = {names[one.target]: taken.get((one.target, attack)) for one in records(own)}
        yield {**told, "asked": ASKED.get(kind.follows(), ""), "accuracy": accuracy, "queries": queries}
        others = cells[(cells["source"] == base) & (cells["target"] != base)]
        if len(others):
            accuracy = {names[one.target]: one.accuracy for one in records(others)}
            yield {**told, "asked": TRANSFERRED, "accuracy": accuracy, "queries": {}}


def _queries(rows: list[dict[str, Any]], models: list[str]) -> Iterator[str]:
    order = [*ASKED.values(), TRANSFERRED]
    shown = [row for row in rows if row["asked"]]
    shown.sort(key=lambda row: (order.index(row["asked"]), *_natural(row["name"])))
    yield f"| attack | asks the model for | {' | '.join(models)} |"
    yield "| --- | --- |" + " --- |" * len(models)
    for row in shown:
        cells = [_cell(row, model) for model in models]
        yield f"| {row['name']} | {row['asked']} | {' | '.join(cells)} |"
    yield ""
    yield "Accuracy in %, each model attacked itself but in the last rows; in brackets the mean queries of an image."


def _natural(name: str) -> tuple[str, int, str]:
    """What orders names of attacks so that 300 comes before 1000."""
    return re.sub(r"\d", "", name), len(name), name


def _cell(row: dict[str, Any], model: str) -> str:
    if model not in row["accuracy"]:
        return ""
    by_queries = row["asked"] in (ASKED["logits"], ASKED["labels"])
    asked = f" ({row['queries'][model]:.0f})" if by_queries else ""
    return f"{100 * row['accuracy'][model]:.1f}{asked}"


def _added(rows: list[dict[str, Any]], models: list[str]) -> Iterator[str]:
    """For every model that gives no gradients, what they add to what queries find."""
    for model in models:
        own = [row for row in rows if model in row["accuracy"] and row["asked"] != TRANSFERRED]
        if any(row["asked"] == ASKED["gradients"] for row in own):
            continue
        asked = _worst((row for row in own if row["asked"]), model)
        there = [row for row in rows if row["budget"] == asked["budget"]]
        moved = _worst((row for row in there if row["asked"] == TRANSFERRED), model)
        inside = _worst((row for row in there if row["asked"] == ASKED["gradients"]), BASE)
        gap = 100 * (asked["accuracy"][model] - moved["accuracy"][model])
        adds = f"adds {gap:.1f} points" if gap > 0 else "adds nothing"
        yield (
            f"- {model} gives no gradients. The queries that find most ({asked['name']}) leave it "
            f"{100 * asked['accuracy'][model]:.1f} %. Images made for its base ({moved['name']}) leave it "
            f"{100 * moved['accuracy'][model]:.1f} %: white-box access to what the file was made of {adds}. The base "
            f"itself keeps {100 * inside['accuracy'][BASE]:.1f} % ({inside['name']})."
        )


def _worst(rows: Any, model: str) -> dict[str, Any]:
    return min((row for row in rows if model in row["accuracy"]), key=lambda row: row["accuracy"][model])
