"""What every compressed model lost, clean and under the attack of its answer, and what to do with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.answers import CARE, KEEP, STOP, UNKNOWN
from squeezeproof.analysis.names import attack_displays, display_name, short_names
from squeezeproof.analysis.verdicts import ITSELF
from squeezeproof.errors import InputError
from squeezeproof.figures.style import COLORS, INK
from squeezeproof.statistics.crossed import About
from squeezeproof.study.figures import Figure, for_compressed
from squeezeproof.tables.files import read_table

FIGURE = Figure(
    file="{dataset}/answers",
    each=lambda study: [{"dataset": dataset} for dataset in sorted({one["dataset"] for one in for_compressed(study)})],
    needs=lambda study, paths, names: {"answers": paths.table("answers"), "robust": paths.table("robust_accuracy")},
    caption=(
        "What to do with every compressed model, {dataset}, and why: compressed minus base accuracy on clean images "
        "and under the attack that leaves the model least, of those that leave its base something to lose. The "
        "intervals are those that the answers rest on, corrected for the number of comparisons. Grey: within the "
        "margin."
    ),
    subcategory="Answers",
    labels={"data set": "{dataset}", "shown": "keep or not"},
    params=lambda study, names: {"margin": study.config["statistics"]["margin"]},
)
COLOR = {KEEP: COLORS[2], CARE: COLORS[4], STOP: COLORS[1], UNKNOWN: "#777777"}


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    return answers_figure(read_table(files.answers), read_table(files.robust), names.dataset, params["margin"])


def answers_figure(answers: pd.DataFrame, robust: pd.DataFrame, dataset: str, margin: float) -> plt.Figure:
    """A row per compressed model: its answer, and the differences to its base with their intervals in points.

    Args:
        answers, robust: the tables `answers`, of which those about these models are taken, and `robust_accuracy`.
        margin: the study's, a share.
    """
    table = answers[answers["dataset"].eq(dataset) & answers["about"].eq(About.MODELS)]
    if table.empty:
        raise InputError(f"no compressed model of {dataset} was evaluated; see evaluations")
    attacks = attack_displays(robust)
    rows = range(len(table))
    figure, axes = plt.subplots(figsize=(7.6, 1.4 + 0.46 * len(table)), layout="constrained")
    axes.axvspan(-100 * margin, 100 * margin, color="#ececec", zorder=0)
    axes.axvline(0, color="#888888", lw=0.8, zorder=1)
    _points(axes, table, "clean_difference", -0.13, "o", [INK] * len(table))
    _points(axes, table, "robust_difference", 0.13, "s", [COLOR[answer] for answer in table["answer"]])
    names = short_names(table)
    axes.set_yticks(rows, [names[index] for index in table.index])
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    for row, found in zip(rows, table.itertuples(), strict=True):
        worst = _worst(found, attacks)
        axes.annotate(found.answer, (1.02, row - 0.13), xycoords=("axes fraction", "data"), va="center", weight="bold",
                      color=COLOR[found.answer])  # fmt: skip
        axes.annotate(worst, (1.02, row + 0.2), xycoords=("axes fraction", "data"), va="center", fontsize=7)
    axes.set_xlabel(
        "compressed minus base accuracy in points (grey: within the margin;\n"
        "intervals: corrected for the number of comparisons, as the answers)"
    )
    handles = [plt.Line2D([], [], ls="", marker="o", color=INK, label="clean images")]
    handles.append(plt.Line2D([], [], ls="", marker="s", color="#777777", label="under attack"))
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8)
    figure.suptitle(f"{display_name(dataset)}: keep the compressed model?", x=0.01, ha="left", fontsize=10)
    return figure


def _points(axes: plt.Axes, table: pd.DataFrame, name: str, shift: float, marker: str, colors: Sequence[str]) -> None:
    values, low, high = (100 * table[column].to_numpy(float) for column in (name, f"{name}_low", f"{name}_high"))
    for place, (value, below, above, color) in enumerate(zip(values, low, high, colors, strict=True)):
        if np.isfinite(value):
            errors = [[value - below], [above - value]]
            axes.errorbar(value, place + shift, xerr=errors, marker=marker, ms=5, color=color, capsize=2, lw=1.3)


def _worst(row: Any, attacks: Mapping[str, str]) -> str:
    """The attack of an answer and what it leaves, such as `PGD, eps 0.1 leaves 24.7 %`."""
    if not row.attack or row.robust_accuracy != row.robust_accuracy:
        return "not attacked"
    moved = "" if row.crafted_on == ITSELF else " of another model"
    return f"{attacks[row.attack]}{moved} leaves {100 * row.robust_accuracy:.1f} %"
