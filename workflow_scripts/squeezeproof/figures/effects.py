"""The loss of every compressed model under the attack of its answer: what training did and what compression did."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.analysis.names import MODEL, attack_displays, display_name, short_names
from squeezeproof.figures.style import COLORS, INK
from squeezeproof.statistics.crossed import About
from squeezeproof.study.figures import Figure, for_compressed
from squeezeproof.tables.files import read_table
from squeezeproof.tables.table import records

FIGURE = Figure(
    file="{dataset}/effects",
    # Without controls there is nothing to tell apart.
    each=lambda study: [
        {"dataset": dataset}
        for dataset in sorted({one["dataset"] for one in for_compressed(study)})
        if any(model.is_control for model in study.models.values() if model.dataset == dataset)
    ],
    needs=lambda study, paths, names: {
        "answers": paths.table("answers"),
        "robust": paths.table("robust_accuracy"),
        "effects": paths.table("effects"),
    },
    caption=(
        "What further training did and what compression did to the accuracy under the attack that leaves each model "
        "least, of those that leave its base something to lose, {dataset}: total = training + compression, on the same "
        "images. The intervals are those of *effects*, each by itself; those of *answers* are corrected for the number "
        "of comparisons, and wider."
    ),
    subcategory="Answers",
    labels={"data set": "{dataset}", "shown": "training or compression"},
)
PARTS = {
    "total": ("total: compressed minus base", "D", INK),
    "by_training": ("training: control minus base", "o", COLORS[0]),
    "by_compression": ("compression: compressed minus control", "s", COLORS[1]),
}


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    tables = (read_table(path) for path in (files.answers, files.effects, files.robust))
    return effects_figure(*tables, names.dataset)


def effects_figure(answers: pd.DataFrame, effects: pd.DataFrame, robust: pd.DataFrame, dataset: str) -> plt.Figure:
    """A row per compressed model with a control: the total difference to its base and its two parts, in points.

    Args:
        answers, effects, robust: the tables of these names, `robust_accuracy` the last; of the first two the rows about
            these models are taken.
    """
    answers = answers[answers["dataset"].eq(dataset) & answers["about"].eq(About.MODELS)]
    keys = ["dataset", *MODEL, "attack", "source"]
    own = effects[effects["about"].eq(About.MODELS)].drop_duplicates(keys)
    shown = answers[answers["by_training"].notna()].rename(columns={"crafted_on": "source"})
    # The types of an empty table are those of no column.
    table = shown[keys].merge(own.astype(shown[keys].dtypes) if own.empty else own, on=keys)
    figure, axes = plt.subplots(figsize=(7.6, 1.4 + 0.5 * max(1, len(table))), layout="constrained")
    if table.empty:
        axes.text(0.5, 0.5, "no model was compared with its control here", ha="center", transform=axes.transAxes)
        return figure
    axes.axvline(0, color="#888888", lw=0.8, zorder=1)
    for shift, (part, (label, marker, color)) in zip((-0.22, 0, 0.22), PARTS.items(), strict=True):
        value, low, high = (100 * table[column] for column in (part, f"{part}_low", f"{part}_high"))
        places = [place + shift for place in range(len(table))]
        axes.errorbar(value, places, xerr=[value - low, high - value], ls="", marker=marker, ms=4.5, color=color,
                      capsize=2, lw=1.2, label=label)  # fmt: skip
    names, attacks = short_names(table), attack_displays(robust)
    axes.set_yticks(range(len(table)), [f"{names[row.Index]}\n{attacks[row.attack]}" for row in records(table)])
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("difference in accuracy in points (intervals: each by itself)")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(f"{display_name(dataset)}: training or compression?", x=0.01, ha="left", fontsize=10)
    return figure
