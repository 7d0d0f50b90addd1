"""Ours beside published."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.analysis.published import attack_in_words
from squeezeproof.figures.style import COLORS
from squeezeproof.study.figures import Figure
from squeezeproof.tables.files import read_table

FIGURE = Figure(
    file="published",
    each=lambda study: [{}] if study.published else [],
    needs=lambda study, paths, names: {"published": paths.table("published")},
    caption=(
        "Published accuracies beside ours, in per cent. The interval is Student's t over seeds with "
        "Wilson's over the test images; rows without a number of ours were not run."
    ),
    subcategory="Ours beside published",
    labels={"figure": "ours beside published"},
)
PANELS_IN_A_ROW = 6
# What tells one model of the published numbers from another.
MODEL = ["dataset", "architecture", "training", "compression", "ratio"]


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    return dumbbell(read_table(files.published))


def dumbbell(table: pd.DataFrame) -> plt.Figure:
    """Published accuracy and ours with its interval, a line per cell, a panel per model; cells not run are left out."""
    table = table[table["mean"].notna()]
    models = list(dict.fromkeys(table[MODEL].astype(str).itertuples(index=False, name=None)))
    names = list(dict.fromkeys(_cell_name(row) for row in table.itertuples()))
    columns = min(len(models), PANELS_IN_A_ROW)
    several = len(table[["dataset", "architecture"]].drop_duplicates()) > 1
    rows = -(-len(models) // columns)
    size = (2.7 * columns + 1.2, rows * (1.1 + 0.22 * len(names)) + 0.5)
    figure, grid = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained")
    drawn: list[Any] = []
    for axes, model in zip(grid.flat, models, strict=False):
        for row in table[table[MODEL].astype(str).eq(list(model)).all(axis=1)].itertuples():
            height = len(names) - 1 - names.index(_cell_name(row))
            axes.plot([row.published, row.mean], [height, height], color="#bbbbbb", lw=2, zorder=1)
            ours = axes.errorbar(
                row.mean, height, xerr=[[row.mean - row.low], [row.high - row.mean]],
                fmt="o", ms=5, color=COLORS[0], capsize=3, zorder=3,
            )  # fmt: skip
            theirs = axes.scatter(row.published, height, marker="D", s=26, color=COLORS[1], zorder=2)
            drawn = [ours, theirs]
        axes.set_title(_panel_title(model, several=several), loc="left")
        axes.set_xlim(-3, 103)
        axes.set_xlabel("accuracy in %")
    for axes in grid.flat[len(models) :]:
        axes.remove()
    grid[0, 0].set_yticks(range(len(names)), names[::-1])
    runs = int(table["runs"].max())
    label = f"ours, mean of {runs} seeds with 95 % interval" if runs > 1 else "ours, with 95 % interval"
    figure.legend(drawn, [label, "published"], loc="outside lower center", ncols=2)
    return figure


def _cell_name(row: Any) -> str:
    eps = "" if row.attack == "none" or pd.isna(row.eps) else f" {row.eps:.3g}"
    return f"{attack_in_words(row.attack)}{eps}"


def _panel_title(model: tuple[str, ...], several: bool) -> str:
    dataset, architecture, training, compression, ratio = model
    level = ratio if ratio.startswith("int") else f"{100 * float(ratio):g} % removed"
    removed = "base" if compression == "none" else f"{compression.replace('_', ' ')}, {level}"
    where = f"{dataset}, {architecture}\n" if several else ""
    return f"{where}{training}\n{removed}"
