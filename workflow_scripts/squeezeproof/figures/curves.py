"""Curves of accuracy against eps with their intervals: what two figures share."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.analysis.names import MODEL, model_label, shared_parts
from squeezeproof.figures.style import COLORS, MARKERS
from squeezeproof.statistics.means import mean_interval

DASHES = ["-", "--", ":", "-."]


def by_model(table: pd.DataFrame, side: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """(label, rows) of every model of a table, seeds together."""
    shared = shared_parts(table, side)
    for _, rows in table.groupby([f"{side}_{axis}" for axis in MODEL], sort=False):
        yield model_label(rows.iloc[0], side, shared), rows


def curves_figure(
    title: str, curves: Sequence[tuple[str, pd.DataFrame, dict[str, Any]]], chance: float, norm: str
) -> plt.Figure:
    """A figure of (label, points, style) as lines with bands; points have eps, mean, std, runs, seeds, n and stopped.

    `seeds` are those of the runs that count as independent, `statistics.means.mean_interval`.
    """
    figure, axes = plt.subplots(figsize=(7, 3.4 + 0.1 * len(curves)), layout="constrained")
    for index, (label, points, style) in enumerate(curves):
        color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
        line: dict[str, Any] = {"lw": 1.4, "ls": DASHES[index // len(COLORS) % len(DASHES)]} | style
        low, high = mean_interval(*(points[key].to_numpy(float) for key in ("mean", "std", "runs", "n", "seeds")))
        axes.plot(points["eps"], points["mean"], color=color, marker=marker, ms=4, label=label, **line)
        axes.fill_between(points["eps"], low, high, color=color, alpha=0.15, lw=0)
        if "stopped" in points and points["stopped"].any():
            last = points.iloc[-1]
            axes.plot(last["eps"], last["mean"], color=color, marker="x", ms=9, mew=2, ls="none")
    axes.axhline(chance, color="#555555", lw=1, ls=(0, (1, 2)))
    axes.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="#555555")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(f"eps ({norm}, pixels in [0, 1])")
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    figure.legend(loc="outside lower center", ncols=2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure
