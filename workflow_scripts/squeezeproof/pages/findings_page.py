"""A page of what a study found. Each number and sentence is computed from its tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import attack_displays, finetuning_in_words, level, removals
from squeezeproof.pages.sections import PageTables, attack_of, audit_section, read_audit_in_short, robustness_sections
from squeezeproof.store.predictions import CLEAN
from squeezeproof.tables.table import points, records, signed
from squeezeproof.tables.words import Threat

MODEL = ["target_architecture", "target_training", "removed"]
CHOICE = ["target_architecture", "target_training", "target_compression"]
BASE_SOURCE, OTHER_SOURCE = "from the base model", "from another seed"


def findings_page(folder: Path, title: str, introduction: str, notes: Any) -> None:
    """Write README.md beside the tables of one study.

    Args:
        folder: pathlib.Path with over_seeds.csv, audit_in_short.csv, selected.csv; where int8 models were built,
            deployed.csv; figures (*.png) and what `robustness_sections` reads are shown where they are beside them. It
            gets the page.
        title, introduction: of the page.
        notes: what the reader must know, one sentence or more each.
    """
    tables = PageTables(folder)
    means = tables["over_seeds"]
    lines = [f"# {title}", "", introduction, "", "## Accuracy", "", *_accuracy(means)]
    for figure in sorted(folder.glob("*.png")):
        lines += ["", f"![{figure.stem}]({figure.name})"]
    lines += robustness_sections(tables)
    lines += ["", "## What may be removed", "", *_selected(tables["selected"], means)]
    if "deployed" in tables:
        lines += ["", "## What is deployed", "", *_deployed(tables["deployed"])]
    lines += ["", "## What the audit says", "", *audit_section(read_audit_in_short(folder))]
    lines += ["", "## What to know", "", *(f"- {note}" for note in notes)]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _accuracy(means: pd.DataFrame) -> Iterator[str]:
    """A row per model, a column per attack: mean over seeds and standard deviation, in per cent."""
    rows = means.assign(column=[_column(row) for row in means.itertuples()], removed=removals(means, "target_"))
    rows = rows[rows["column"].notna()]
    columns = list(dict.fromkeys(rows.sort_values("column", key=lambda names: names.map(_order))["column"]))
    yield f"| model | {' | '.join(columns)} |"
    yield "| --- |" + " --- |" * len(columns)
    for (_, training, removed), cells in rows.groupby(MODEL, sort=False):
        found = cells.drop_duplicates("column").set_index("column")
        values = [_cell(found.loc[column]) if column in found.index else "" for column in columns]
        yield f"| {training}, {removed} | {' | '.join(values)} |"
    yield ""
    runs = int(rows.loc[rows["column"] == "clean", "runs"].max())
    averaged = "one seed" if runs == 1 else f"mean over {runs} seeds ± standard deviation"
    sources = {
        BASE_SOURCE: "crafted on the uncompressed model of the same seed and scored on the compressed one",
        OTHER_SOURCE: "crafted on the uncompressed model of every other seed",
    }
    told = [f"; {name}: {what}" for name, what in sources.items() if any(name in column for column in columns)]
    yield f"In %, {averaged}. White-box unless a column says otherwise{''.join(told)}."


def _column(row: Any) -> str | None:
    """The column of a row of `over_seeds`, None where the page leaves it out."""
    if row.attack == CLEAN:
        return "clean"
    if row.threat == Threat.WHITE_BOX:
        return attack_of(row)
    if row.source_compression != "none" or row.source_training != row.target_training:
        return None
    return f"{attack_of(row)}, {BASE_SOURCE if row.seed_relation == 'same' else OTHER_SOURCE}"


def _order(column: str) -> tuple[Any, ...]:
    return (column != "clean", BASE_SOURCE in column, OTHER_SOURCE in column, column)


def _cell(row: Any) -> str:
    spread = "" if pd.isna(row["std"]) else f" ± {100 * row['std']:.1f}"
    return f"{100 * row['mean']:.1f}{spread}"


def _selected(selected: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """The smallest models that keep their accuracy, with their fine-tuning where there were several to choose from."""
    attacks, several = attack_displays(means), means.groupby(CHOICE)["target_finetuning"].nunique().gt(1)
    yield "| training | compression | keeps | the smallest | accuracy, base | accuracy | bytes left |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in records(selected):
        kept = "clean accuracy" if row.attack == CLEAN else attacks[row.attack]
        head = f"| {row.training} | {row.compression} | {kept} "
        if row.selected != "smallest within tolerance":
            yield f"{head}| {row.selected} | | | |"
            continue
        choice = row.architecture, row.training, row.compression
        tuned = f", {finetuning_in_words(row.finetuning)}" if several[choice] else ""
        yield (
            f"{head}| {level(row.ratio, row.bits)}{tuned} | {100 * row.base_accuracy:.1f} | {100 * row.accuracy:.1f} | "
            f"{100 * row.share_of_bytes:.0f} % |"
        )
    yield ""
    tolerance = 100 * selected["tolerance"].iloc[0]
    yield (
        f"The smallest model of each compression whose mean accuracy is within {tolerance:g} "
        f"point{'' if tolerance == 1 else 's'} of its base's; chosen by its result, so to be confirmed on other seeds."
    )


def _deployed(table: pd.DataFrame) -> Iterator[str]:
    """The int8 models beside their fake-quantized models, clean and attacked, and how far apart they are."""
    yield "| model | attack | simulated | int8 | points | 95 % interval | one label |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    shown = table.assign(removed=removals(table))
    for row in shown[(shown["attack"] == CLEAN) | (shown["source"] == shown["model"])].itertuples():
        yield (
            f"| {row.training}, {row.removed} | {attack_of(row)} | "
            f"{100 * row.fake_quantized_accuracy:.1f} | {100 * row.int8_accuracy:.1f} | "
            f"{points(row.difference)} | {points(row.low)} to {points(row.high)} | "
            f"{100 * row.agreement:.1f} % |"
        )
    yield ""
    lowest, highest = 100 * table["difference"].min(), 100 * table["difference"].max()
    yield (
        f"Integer kernels on what was crafted on their fake-quantized models, in %. Over all {len(table)} cells, "
        f"images made for other models included, the int8 model is {signed(lowest)} to {signed(highest)} points from "
        f"its fake-quantized model, and the two give one label to at least "
        f"{100 * table['agreement'].min():.1f} % of a cell's images."
    )
