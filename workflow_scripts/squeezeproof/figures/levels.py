"""Panels of curves over what a compression removed, or the bits it left: what two figures share."""

from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.names import FLOAT_BITS, attack_displays, finetuning_in_words
from squeezeproof.figures.style import COLORS, INK, MARKERS
from squeezeproof.store.predictions import CLEAN

# Curves of one pair of axes, so that no color and marker is used twice there.
CURVES = 7
# Panels beside each other: more make the text too small where a page shows the figure at its own width.
COLUMNS = 3
PANEL = ["training", "compression", "finetuning"]
WHITE_BOX, FROM_BASE, MINUS_CONTROL = "white-box", "from the base model", "minus its control"
LINES = {WHITE_BOX: "-", FROM_BASE: "--", MINUS_CONTROL: ":"}


def attack_groups(table: pd.DataFrame) -> list[dict[str, dict[str, Any]]]:
    """The attacks of a table in groups of at most CURVES, budgets of one entry together: a list of name -> style.

    Attacks without a budget have groups of their own, as their numbers are of another size.

    In every group the color is the attack's entry and the marker its budget; clean images are black in each.
    """
    attacks = table[table["attack"] != CLEAN].drop_duplicates("attack")
    attacks = attacks.assign(unbounded=attacks["eps"].isna())
    groups = []
    for _, kind in attacks.sort_values(["unbounded", "entry", "eps"]).groupby("unbounded"):
        group = []
        for _, budgets in kind.groupby("entry"):
            names = list(budgets["attack"])
            for part in (names[start : start + CURVES] for start in range(0, len(names), CURVES)):
                if group and sum(map(len, group)) + len(part) > CURVES:
                    groups.append(group)
                    group = []
                group.append(part)
        groups.append(group)
    return [_styles(group) for group in groups or [[]]]


def _styles(group: list[list[str]]) -> dict[str, dict[str, Any]]:
    styles = {CLEAN: {"color": INK, "marker": MARKERS[0]}}
    for color, names in zip(COLORS, group, strict=False):
        for rank, name in enumerate(names, start=1):
            styles[name] = {"color": color, "marker": MARKERS[rank % len(MARKERS)]}
    return styles


def panels(table: pd.DataFrame, compressed: pd.DataFrame, label: str) -> plt.Figure:
    """A figure of one panel per PANEL and group of attacks; a row of panels has its own legend."""
    shown = list(dict.fromkeys(zip(*(compressed[axis] for axis in PANEL), strict=True)))
    groups, names = attack_groups(compressed), attack_displays(table)
    # A row per training and fine-tuning where the compressions are few enough.
    columns = min(compressed["compression"].nunique(), COLUMNS, len(shown))
    deep = -(-len(shown) // columns)
    size = (2.9 * columns + 1.9, 2.5 * deep * len(groups) + 0.4)
    figure, grid = plt.subplots(
        deep * len(groups), columns, figsize=size, sharey="row", squeeze=False, layout="constrained"
    )
    for number, styles in enumerate(groups):
        rows = grid[number * deep : (number + 1) * deep]
        drawn = set()
        for axes, panel in zip(rows.flat, shown, strict=False):
            drawn |= _panel(axes, table, panel, styles)
        for axes in rows.flat[len(shown) :]:
            axes.remove()
        for axes in rows[:, 0]:
            axes.set_ylabel(label)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}")
        used = {name: style for name, style in styles.items() if name in {attack for attack, _ in drawn}}
        handles = [plt.Line2D([], [], ms=4, label=names[name], **style) for name, style in used.items()]
        kinds = {curve for attack, curve in drawn if attack != CLEAN}
        handles += [plt.Line2D([], [], color="#555555", ls=LINES[kind], label=kind) for kind in LINES if kind in kinds]
        last = rows[0, columns - 1]
        last.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, fontsize=8)
    return figure


def _panel(
    axes: plt.Axes, table: pd.DataFrame, panel: tuple[str, ...], styles: dict[str, dict[str, Any]]
) -> set[tuple[str, str]]:
    """Draw one panel; returns the (attack, curve) drawn."""
    training, compression, finetuning = panel
    base = table["compression"].eq("none") & table["training"].eq(training)
    rows = table[base | np.logical_and.reduce([table[axis] == name for axis, name in zip(PANEL, panel, strict=True)])]
    by_bits = rows["bits"].min() < FLOAT_BITS
    ticks = sorted(rows["bits"].unique(), reverse=True)
    drawn = set()
    for curve, (attack, style) in product(LINES, styles.items()):
        points = rows[(rows["attack"] == attack) & (rows["curve"] == curve)].drop_duplicates(["ratio", "bits"])
        points = _with_base(points, rows, attack)
        # A curve of the base alone says nothing about compression.
        if not _of_base(points).all():
            drawn.add((attack, curve))
            points = points.assign(place=points["bits"].map(ticks.index) if by_bits else points["ratio"])
            points = points.sort_values("place")
            errors = np.abs([points["value"] - points["low"], points["high"] - points["value"]])
            axes.errorbar(
                points["place"],
                points["value"],
                yerr=errors,
                ls=LINES[curve],
                lw=1.3,
                ms=4,
                capsize=2,
                elinewidth=0.8,
                **style,
            )
    axes.set_title(f"{training} training, {compression}\n{finetuning_in_words(finetuning)}", loc="left")
    if by_bits:
        axes.set_xticks(range(len(ticks)), [f"{bits:g}" for bits in ticks])
        axes.set_xlabel("bits of a weight")
    else:
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
        axes.set_xlabel("% removed")
    return drawn


def _with_base(points: pd.DataFrame, rows: pd.DataFrame, attack: str) -> pd.DataFrame:
    """The base model's white-box point opens the curve of images crafted on it too."""
    if points.empty or _of_base(points).any():
        return points
    base = rows[(rows["attack"] == attack) & _of_base(rows)]
    return pd.concat([base[:1], points])


def has_level(table: pd.DataFrame) -> pd.Series:
    """Which rows are of a compression at a ratio or bit width; a model from a file has neither."""
    return ~_of_base(table)


def _of_base(points: pd.DataFrame) -> pd.Series:
    """Which points are of a model of which nothing was removed, and that keeps its bits."""
    return points["ratio"].eq(0) & points["bits"].eq(FLOAT_BITS)
