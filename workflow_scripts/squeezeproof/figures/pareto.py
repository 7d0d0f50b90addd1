"""Robust accuracy against what a model costs."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from squeezeproof.analysis.names import MODEL, attack_displays, display_name, level
from squeezeproof.analysis.selection import accuracies, strongest_attack
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.style import COLORS, MARKERS
from squeezeproof.study.efficiency import deployed_datasets
from squeezeproof.study.figures import Figure
from squeezeproof.tables.files import read_table

FIGURE = Figure(
    file="{dataset}/pareto",
    # Deployed models are shown where any model attacks itself.
    each=lambda study: [
        {"dataset": dataset}
        for dataset in deployed_datasets(study)
        if any(pair[0] == dataset and pair[1] == pair[2] for pair in study.pairs)
    ],
    needs=lambda study, paths, names: {
        "efficiency": paths.table("efficiency"),
        "over_seeds": paths.table("over_seeds"),
    },
    caption=(
        "Robust accuracy, {dataset}, against packed bytes and against latency; each model faces images crafted on "
        "itself, quantized models in simulation. The line joins the models that no other beats in both; means over "
        "seeds."
    ),
    subcategory="Efficiency",
    labels={"data set": "{dataset}", "figure": "robust accuracy against size and latency"},
    params=lambda study, names: {"attack": study.config["select"]["attack"]},
)
WIDE = 5


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    return pareto(read_table(files.over_seeds), read_table(files.efficiency), names.dataset, params["attack"])


def pareto(means: pd.DataFrame, efficiency: pd.DataFrame, dataset: str, attack: str | None = None) -> plt.Figure:
    """Robust accuracy of every deployed variant under its own white-box attack, against packed bytes and latency.

    Args:
        means: the table `over_seeds`.
        efficiency: the table of that name; costs are means over seeds.
        attack: name of an instance, None for the strongest of the study.

    Colour is architecture and training, the marker the compression; the line joins the points that no other point
    beats in both coordinates. Latencies are of ONNX Runtime where it was timed, of eager PyTorch elsewhere.
    """
    attack = attack or strongest_attack(means, dataset)
    points = points_of(means, efficiency, dataset, attack)
    if attack is None or points.empty:
        raise NothingToShow(f"no deployed model of {dataset} has a white-box accuracy under {attack}; see evaluations")
    panels = {"packed_bytes": "packed bytes"}
    if points["latency"].notna().any():
        panels["latency"] = f"milliseconds per image, {points['latency_of'].iloc[0]}"
    figure, grid = plt.subplots(1, len(panels), figsize=(4.6 * len(panels) + 0.4, 3.8), squeeze=False, sharey=True,
                                layout="constrained")  # fmt: skip
    for axes, (column, label) in zip(grid.flat, panels.items(), strict=True):
        _scatter(axes, points[points[column].notna()], column)
        _cost_axis(axes, points[column])
        axes.set_xlabel(label)
    grid[0, 0].set_ylabel(f"accuracy under {attack_displays(means)[attack]},\nwhite-box")
    grid[0, 0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    _within_accuracies(grid[0, 0])
    figure.legend(handles=_legend(points), loc="outside lower center", ncols=3)
    title = f"{display_name(dataset)}: robust accuracy against cost"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def points_of(means: pd.DataFrame, efficiency: pd.DataFrame, dataset: str, attack: str | None) -> pd.DataFrame:
    """One row per variant that was scored and deployed: `mean` accuracy, `packed_bytes`, `latency`, its `color` key."""
    costs = efficiency[efficiency["dataset"] == dataset]
    runtime = costs["onnxruntime_ms"].fillna(costs["int8_ms"])
    on_runtime = runtime.notna().any()
    costs = costs.assign(latency=runtime if on_runtime else costs["eager_ms"])
    costs = costs.groupby(MODEL)[["packed_bytes", "latency"]].mean().reset_index()
    found = accuracies(means, attack)
    points = found[found["dataset"] == dataset].merge(costs, on=MODEL)
    points["latency_of"] = "ONNX Runtime" if on_runtime else "eager PyTorch"
    points["color"] = [f"{display_name(row.architecture)}, {row.training} training" for row in points.itertuples()]
    return points


def front(costs: ArrayLike, gains: ArrayLike) -> np.ndarray:
    """Which points no other point beats: none is at most as dear and at least as good, and better in one. bool [N]."""
    costs, gains = np.asarray(costs, float), np.asarray(gains, float)
    no_dearer = costs[None] <= costs[:, None]
    no_worse = gains[None] >= gains[:, None]
    better = (costs[None] < costs[:, None]) | (gains[None] > gains[:, None])
    return np.logical_not((no_dearer & no_worse & better).any(1))


def _scatter(axes: plt.Axes, points: pd.DataFrame, column: str) -> None:
    colors, markers = _keys(points, "color", COLORS), _keys(points, "compression", MARKERS)
    best = points[front(points[column], points["mean"])].drop_duplicates([column, "mean"]).sort_values(column)
    axes.step(best[column], best["mean"], where="post", color="#888888", lw=1.2, zorder=1)
    for place, (_, row) in enumerate(points.sort_values(column).iterrows()):
        cost, mean, compression = row[column], row["mean"], row["compression"]
        axes.scatter(cost, mean, color=colors[row["color"]], marker=markers[compression], s=34, zorder=2)
        name = "base" if compression == "none" else f"{compression} {level(row['ratio'], row['bits'])}"
        axes.annotate(name, (cost, mean), xytext=(4, (-10, 5)[place % 2]), textcoords="offset points", fontsize=6.5)
    axes.margins(x=0.15, y=0.12)


def _within_accuracies(axes: plt.Axes) -> None:
    """Show no more of the y axis below 0 and above 1 than a margin."""
    low, high = axes.get_ylim()
    margin = 0.05 * (high - low)
    axes.set_ylim(max(low, -margin), min(high, 1 + margin))


def _cost_axis(axes: plt.Axes, costs: pd.Series) -> None:
    """A logarithmic axis where costs span a factor of WIDE or more, with plain numbers."""
    if costs.max() >= WIDE * costs.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def _keys(points: pd.DataFrame, column: str, choices: Sequence[str]) -> dict[str, str]:
    """A choice for every value, the same in all panels."""
    values = sorted(points[column].unique())
    return {value: choices[index % len(choices)] for index, value in enumerate(values)}


def _legend(points: pd.DataFrame) -> list[plt.Line2D]:
    colors, markers = _keys(points, "color", COLORS), _keys(points, "compression", MARKERS)
    handles = [plt.Line2D([], [], ls="", marker="o", color=color, label=name) for name, color in colors.items()]
    for name, marker in markers.items():
        label = "base" if name == "none" else name
        handles.append(plt.Line2D([], [], ls="", marker=marker, color="#555555", label=label))
    return [*handles, plt.Line2D([], [], color="#888888", lw=1.2, label="beaten by none in both")]
