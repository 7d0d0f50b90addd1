"""A page that ranks readings of what a paper leaves open; each number and sentence is computed from tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.published import attack_in_words
from squeezeproof.analysis.readings import rank
from squeezeproof.entries.settings import as_dict
from squeezeproof.study.evaluations import Published
from squeezeproof.tables.files import csv_text, read_csv, read_table
from squeezeproof.tables.table import records, signed

# Readings that the page shows; readings.csv has all.
SHOWN = 12


def readings_page(folder: Path, title: str, introduction: str, page: Mapping[str, Any], published: Path) -> None:
    """Write README.md and readings.csv beside over_seeds.csv and clean_accuracy.csv of one study.

    Args:
        folder: pathlib.Path of the two, which gets the page.
        title, introduction: of the page.
        page: its entry of docs/pages.yaml: `published`, settings as a study's; `readings`, the choices as
            `analysis.readings.rank` takes them, of each axis the usual choice first; `seeds`, the page of the usual
            reading under several seeds; `notes`.
        published: pathlib.Path of the printed accuracies.
    """
    settings = as_dict(Published(table=published.name, **page["published"]))
    trials = read_table(folder / "clean_accuracy.csv")["n"].max()
    printed = read_csv(published)
    printed = printed[printed["table"].astype(str).isin(settings["tables"])]
    ranked, cells = rank(read_table(folder / "over_seeds.csv"), trials, printed, settings, page["readings"])
    choices = list(ranked.columns[: ranked.columns.get_loc("all")])
    told: dict[str, str] = {}
    for choice in page["readings"].values():
        told |= next(iter(choice.values()))
    usual = int(ranked.index[(ranked[choices] == pd.Series(told)).all(axis=1)][0])
    (folder / "readings.csv").write_text(csv_text(ranked))
    lines = [f"# {title}", "", introduction, "", *_summary(ranked, usual, choices), ""]
    lines += _noise(cells["runs"].max(), folder.parent / page["seeds"] / "published.csv")
    lines += ["", "## The readings", "", *_ranked(ranked, usual, choices)]
    lines += ["", "## What a choice explains", "", *_marginal(ranked, choices)]
    lines += ["", "## Cell by cell", "", *_cells(cells, usual)]
    lines += ["", "## What to know", "", *(f"- {note}" for note in page["notes"])]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _summary(ranked: pd.DataFrame, usual: int, choices: list[str]) -> Iterator[str]:
    best = ranked.iloc[0]
    made = ", ".join(f"{name} {best[name]}" for name in choices)
    yield (
        f"Of {len(ranked)} readings the nearest to the print is {made}: {best['all']:.1f} points from a printed "
        f"accuracy on average. The reading of our other studies is {ranked.loc[usual, 'all']:.1f} away, number "
        f"{usual + 1} of {len(ranked)}; the farthest is {ranked['all'].iloc[-1]:.1f} away."
    )


def _noise(runs: float, path: Path) -> Iterator[str]:
    """How much one seed differs from another, from the page of the usual reading."""
    spread = read_table(path)["std"].dropna()
    yield (
        f"Seeds of each: {runs:.0f}. Of one reading under several seeds an accuracy has a standard deviation of "
        f"{spread.median():.1f} points in the median and up to {spread.max():.1f} "
        f"([{path.parent.name}](../{path.parent.name}/README.md)): readings that differ by less are not told apart."
    )


def _ranked(ranked: pd.DataFrame, usual: int, choices: list[str]) -> Iterator[str]:
    distances = [name for name in ranked.columns if name not in choices]
    yield "| | " + " | ".join([*choices, *(name.replace("_", " ") for name in distances)]) + " |"
    yield "| --- " * (1 + len(ranked.columns)) + "|"
    for number in dict.fromkeys([*range(min(SHOWN, len(ranked))), usual]):
        row = ranked.iloc[number]
        cells = [*(row[name] for name in choices), *(f"{row[name]:.1f}" for name in distances)]
        yield f"| {number + 1} | " + " | ".join(cells) + " |"
    yield ""
    yield (
        "Mean distance between printed accuracies and ours in points, of all cells and of each printed model. "
        f"`readings.csv` has all {len(ranked)}; number {usual + 1} is the reading of our other studies."
    )


def _marginal(ranked: pd.DataFrame, choices: list[str]) -> Iterator[str]:
    yield "| choice | | mean distance | nearest |"
    yield "| --- | --- | --- | --- |"
    for choice in choices:
        for value, rows in ranked.groupby(choice)["all"]:
            yield f"| {choice} | {value} | {rows.mean():.1f} | {rows.min():.1f} |"
    yield ""
    yield "Over all readings that make the choice, in points."


def _cells(cells: pd.DataFrame, usual: int) -> Iterator[str]:
    yield "| model | attack | eps | published | our other studies | | nearest reading | |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    parts = [cells[cells["reading"] == reading].reset_index(drop=True) for reading in (usual, 0)]
    for ours, best in zip(records(parts[0]), records(parts[1]), strict=True):
        if pd.notna(ours.mean):
            model = "base" if ours.compression == "none" else f"{ours.compression.replace('_', ' ')} {ours.ratio}"
            budget = "" if pd.isna(ours.eps) else f"{ours.eps:.3g}"
            pairs = " | ".join(f"{row.mean:.1f} | {signed(row.difference)}" for row in (ours, best))
            yield f"| {model} | {attack_in_words(ours.attack)} | {budget} | {ours.published:.1f} | {pairs} |"
    yield ""
    yield "Accuracy in %, and its difference to the print in points."
