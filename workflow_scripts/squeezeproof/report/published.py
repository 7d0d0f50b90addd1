"""The study's numbers beside published ones."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from squeezeproof.errors import InputError
from squeezeproof.evaluation.intervals import wilson
from squeezeproof.report.style import COLORS
from squeezeproof.store.predictions import CLEAN

MODEL_COLUMNS = ["dataset", "architecture", "training", "compression", "ratio"]
COLUMNS = ["table", *MODEL_COLUMNS, "attack", "epsilon", "metric", "value"]


def compare(means, trials, published, settings):
    """One row per published accuracy with ours beside it, in per cent.

    Args:
        means: the table `over_seeds`; white-box rows are compared, as the papers attack every model itself.
        trials: test images of one seed.
        published: the published numbers, columns as in studies/published/*.csv.
        settings: the study's `published` entry: which tables, and the study's names for the file's names.

    `low` and `high` bound the 95 % interval of our mean: Student's t over seeds, Wilson over the test images for one
    seed; `inside` tells whether the published value lies in it. `min` and `max` are over seeds. Rows that the study did
    not run have no number of ours.
    """
    if missing := [column for column in COLUMNS if column not in published.columns]:
        raise InputError(f"{settings['table']}: lacks the columns {', '.join(missing)}")
    rows = published[published["metric"] == "accuracy_pct"]
    if "*" not in settings["tables"]:
        rows = rows[rows["table"].astype(str).isin(settings["tables"])]
    if rows.empty:
        raise InputError(f"published.tables: {settings['tables']} selects no accuracy of {settings['table']}")
    own = means[(means["threat"] == "white-box") | (means["attack"] == CLEAN)]
    result = rows[COLUMNS].rename(columns={"value": "published", "epsilon": "eps"}).drop(columns="metric")
    # A budget such as 8/255 of another table makes the whole column text.
    result["eps"] = result["eps"].map(_number)
    ours = pd.DataFrame([_ours(own, trials, row, settings) for row in result.itertuples()], index=result.index)
    result = pd.concat([result, ours], axis=1)
    result["difference"] = result["mean"] - result["published"]
    result["inside"] = np.where(
        result["mean"].notna(), (result["low"] <= result["published"]) & (result["published"] <= result["high"]), None
    )
    return result.reset_index(drop=True)


def _number(text):
    numerator, _, denominator = str(text).partition("/")
    return float(numerator) / float(denominator or 1)


def _ours(means, trials, row, settings):
    """Mean, spread and interval of the study's cell that a published row stands for, or nothing."""
    compression = settings["compressions"].get(row.compression, row.compression)
    attack = CLEAN if row.attack == "none" else settings["attacks"].get(row.attack, row.attack)
    found = means[
        (means["dataset"] == row.dataset)
        & (means["target_architecture"] == row.architecture)
        & (means["target_training"] == row.training)
        & (means["target_compression"] == compression)
        & np.isclose(means["target_ratio"], float(row.ratio))
        & (means["attack"].str.rsplit("-eps", n=1).str[0] == attack)
    ]
    if attack != CLEAN:
        found = found[np.isclose(found["eps"], row.eps)] if pd.notna(row.eps) else found[:0]
    if found.empty:
        return {name: 0 if name == "runs" else np.nan for name in ("mean", "std", "runs", "low", "high", "min", "max")}
    cell = found.iloc[0]
    mean, std, runs = cell["mean"], cell["std"], int(cell["runs"])
    if runs > 1:
        half = stdtrit(runs - 1, 0.975) * std / np.sqrt(runs)
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    else:
        low, high = (float(bound) for bound in wilson(mean * trials, trials))
    shares = {"mean": mean, "std": std, "low": low, "high": high, "min": cell["min"], "max": cell["max"]}
    return {"runs": runs, **{name: 100 * share for name, share in shares.items()}}


def dumbbell(table):
    """Published accuracy and ours with its interval, a line per cell, a panel per model; cells not run are left out."""
    table = table[table["mean"].notna()]
    models = list(dict.fromkeys(zip(table["training"], table["compression"], table["ratio"], strict=True)))
    figure, grid = plt.subplots(
        1, len(models), figsize=(2.7 * len(models) + 1.2, 2.9), sharey=True, squeeze=False, layout="constrained"
    )
    names = list(dict.fromkeys(_cell_name(row) for row in table.itertuples()))
    for axes, (training, compression, ratio) in zip(grid.flat, models, strict=True):
        chosen = table["training"].eq(training) & table["compression"].eq(compression) & table["ratio"].eq(ratio)
        for row in table[chosen].itertuples():
            height = len(names) - 1 - names.index(_cell_name(row))
            axes.plot([row.published, row.mean], [height, height], color="#bbbbbb", lw=2, zorder=1)
            ours = axes.errorbar(
                row.mean, height, xerr=[[row.mean - row.low], [row.high - row.mean]],
                fmt="o", ms=5, color=COLORS[0], capsize=3, zorder=3,
            )  # fmt: skip
            theirs = axes.scatter(row.published, height, marker="D", s=26, color=COLORS[1], zorder=2)
        removed = "base" if compression == "none" else f"{compression.replace('_', ' ')}, {100 * ratio:g} % removed"
        axes.set_title(f"{training} training\n{removed}", loc="left")
        axes.set_xlim(-3, 103)
        axes.set_xlabel("accuracy in %")
    grid[0, 0].set_yticks(range(len(names)), names[::-1])
    runs = int(table["runs"].max())
    label = f"ours, mean of {runs} seeds with 95 % interval" if runs > 1 else "ours, with 95 % interval"
    figure.legend([ours, theirs], [label, "published"], loc="outside lower center", ncols=2)
    return figure


def _cell_name(row):
    return "clean images" if row.attack == "none" else f"{row.attack} {row.eps:g}"
