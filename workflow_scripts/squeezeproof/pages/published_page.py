"""A page that sets a study beside published numbers. Each number and sentence is computed from its tables."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.published import AGREES, DISAGREES, TELLING, TOO_WIDE, attack_in_words
from squeezeproof.pages.sections import PageTables, robustness_sections
from squeezeproof.tables.table import records, signed

MODEL = ["training", "compression", "ratio"]
# Spread of clean accuracy over seeds, in points, above which the page looks for the reason.
WIDE = 5


def published_page(folder: Path, title: str, introduction: str, names: Mapping[str, str], notes: Any) -> None:
    """Write README.md beside published.csv, published.svg and compression.csv of one study.

    Args:
        folder: pathlib.Path of the three, which gets the page; figures (*.png) and what `robustness_sections` reads are
            shown where they are beside them.
        title, introduction: of the page.
        names: the file's compression names, each with the study's.
        notes: what the reader must know of the recipe, one sentence or more each.
    """
    tables = PageTables(folder)
    table, sizes = tables["published"], tables["compression"]
    ran = table[table["mean"].notna()]
    introduction = f"{introduction} {_interval(ran)}"
    lines = [f"# {title}", "", introduction, "", "![Published accuracies and ours, with intervals](published.svg)", ""]
    for figure in sorted(folder.glob("*.png")):
        lines += [f"![{figure.stem}]({figure.name})", ""]
    lines += _table(table)
    lines += ["", "## What differs", "", *(f"- {sentence}" for sentence in _agreement(table, ran))]
    lines += [f"- {sentence}" for sentence in _unstable(ran, sizes, names)]
    if (ran["compression"] == "none").any():
        lines += ["", "## Compressed against base", "", *_directions(ran)]
    lines += robustness_sections(tables)
    lines += ["", "## What to know of the recipe", "", *(f"- {note}" for note in notes)]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _interval(ran: pd.DataFrame) -> str:
    if ran["runs"].max() == 1:
        return (
            "Ours: one seed with the 95 % interval of Wilson over the test images, which says nothing of other seeds."
        )
    return (
        "Ours: mean over seeds with its 95 % interval: Student's t over seeds and Wilson over the test images together."
    )


def _table(table: pd.DataFrame) -> Iterator[str]:
    yield "| training | model | attack | eps | published | ours | 95 % interval | difference | published value |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in records(table):
        eps = "" if pd.isna(row.eps) else f"{row.eps:.3g}"
        ours = "not run | | | "
        if pd.notna(row.mean):
            ours = f"{row.mean:.1f} | {row.low:.1f} to {row.high:.1f} | {signed(row.difference)} | {row.agreement}"
        cell = f"{row.training} | {_model(row)} | {attack_in_words(row.attack)} | {eps}"
        yield f"| {cell} | {row.published:.1f} | {ours} |"


def _agreement(table: pd.DataFrame, ran: pd.DataFrame) -> Iterator[str]:
    count = ran["agreement"].value_counts()
    found = {name: int(count.get(name, 0)) for name in (AGREES, DISAGREES, TOO_WIDE)}
    yield (
        f"Of {len(ran)} published values {found[AGREES]} agree with ours (inside our interval, which is at most "
        f"{TELLING} points wide to either side), {found[DISAGREES]} disagree (outside), and for {found[TOO_WIDE]} our "
        f"interval is too wide to tell. The median distance is {ran['difference'].abs().median():.1f} points. "
        f"{len(table) - len(ran)} rows were not run."
    )
    clean, attacked = ran[ran["attack"] == "none"], ran[ran["attack"] != "none"]
    for rows, what in ((clean, "Clean accuracy"), (attacked, "Accuracy under attack")):
        if len(rows):
            (worst,) = rows.loc[[rows["difference"].abs().idxmax()]].itertuples()
            lower = int((rows["difference"] < 0).sum())
            where = f"{worst.training} training, {_model(worst)}"
            where += "" if worst.attack == "none" else f", {attack_in_words(worst.attack)}{_at(worst.eps)}"
            yield (
                f"{what}: ours is lower in {lower} of {len(rows)} cells, the median difference is "
                f"{signed(rows['difference'].median())} points, the largest {signed(worst.difference)} ({where})."
            )


def _unstable(ran: pd.DataFrame, sizes: pd.DataFrame, names: Mapping[str, str]) -> Iterator[str]:
    """Models whose clean accuracy depends on the seed, with the filters that pruning left them, where that is known."""
    clean = ran[ran["attack"] == "none"]
    # An integer type stands in the place of a ratio.
    ratios = pd.to_numeric(clean["ratio"], errors="coerce")
    for row, ratio in zip(clean.itertuples(), ratios, strict=True):
        if not row.max - row.min > WIDE:
            continue
        own = sizes[
            sizes["training"].eq(row.training)
            & sizes["compression"].eq(names.get(row.compression, row.compression))
            & sizes["ratio"].sub(ratio).abs().lt(1e-9)
        ]
        kept = ", ".join(f"{size.filters} (seed {size.seed})" for size in own.itertuples())
        yield (
            f"{row.training} training, {_model(row)}: clean accuracy from {row.min:.1f} to {row.max:.1f} over seeds."
            + f" Filters left in its convolutions: {kept}." * bool(kept)
        )


def _directions(ran: pd.DataFrame) -> Iterator[str]:
    """One row per compressed model and attack: the step from the base model here and as published."""
    yield "| training | model | attack | eps | ours | published | |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    agree, opposite, shown = 0, 0, 0
    groups: Any = ran.groupby(["training", "attack", "eps"], sort=False, dropna=False)
    for (training, _, eps), rows in groups:
        bases = rows[rows["compression"] == "none"]
        budget = "" if pd.isna(eps) else f"{eps:.3g}"
        for row in rows[rows["compression"] != "none"].itertuples() if len(bases) else ():
            base = bases.iloc[0]
            ours, theirs = row.mean - base["mean"], row.published - base["published"]
            noise = math.hypot((row.high - row.low) / 2, (base["high"] - base["low"]) / 2)
            verdict = "no difference shown by our seeds"
            if abs(ours) > noise:
                shown += 1
                agree += ours * theirs > 0
                opposite += ours * theirs < 0
                verdict = (
                    "same direction" if ours * theirs > 0 else "opposite direction" if theirs else "none published"
                )
            yield (
                f"| {training} | {_model(row)} | {attack_in_words(row.attack)} | {budget} | {signed(ours)} | "
                f"{signed(theirs)} | {verdict} |"
            )
    yield ""
    yield (
        f"In points of accuracy. Our seeds show a difference in {shown} of these cells: in {agree} the published one "
        f"has the same direction, in {opposite} the opposite one."
    )


def _model(row: Any) -> str:
    if row.compression == "none":
        return "base"
    level = row.ratio if row.ratio.startswith("int") else f"{100 * float(row.ratio):g} %"
    return f"{row.compression.replace('_', ' ')} {level}"


def _at(eps: Any) -> str:
    return "" if pd.isna(eps) else f" at {eps:.3g}"
