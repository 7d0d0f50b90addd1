"""Accuracy, and what compression changes of it, against how much was removed: the panels that both figures share."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.names import FLOAT_BITS, attack_in_words, entry_of, finetuning_in_words, written
from squeezeproof.errors import InputError
from squeezeproof.figures.style import COLORS, INK, MARKERS
from squeezeproof.store.predictions import CLEAN

# Curves of one pair of axes, so that no color and marker is used twice there.
CURVES = 7
COLUMNS, WRAPPED = 4, 3
PANEL = ["training", "compression", "finetuning"]
THREATS = {"white-box": "-", "from the base model": "--"}


def accuracy_against_ratio(table, dataset, architecture):
    """Accuracy against the fraction removed, or the bits left: one panel per training, compression and fine-tuning,
    one curve per attack ([thorsteinsson2024], Figures 1, 3 and 4).

    Solid: examples crafted on the model itself (white-box). Dashed: crafted on the base model of the same seed
    (transfer). Bars span one standard deviation over seeds to each side.

    Args:
        table: `over_seeds`.
    """
    table = table[(table["dataset"] == dataset) & (table["target_architecture"] == architecture)]
    table = table.rename(columns={f"target_{axis}": axis for axis in [*PANEL, "ratio", "bits"]})
    compressed = table[table["compression"] != "none"]
    if compressed.empty:
        raise InputError(f"no compressed {architecture} on {dataset} passed the audit; tables/audit.csv says why")
    table = table.assign(low=table["mean"] - table["std"].fillna(0), high=table["mean"] + table["std"].fillna(0))
    table = table.assign(value=table["mean"], curve=_threats(table))
    figure = _panels(table[table["curve"] != ""], compressed, THREATS, "accuracy in %")
    for axes in figure.axes:
        axes.set_ylim(-0.03, 1.03)
    runs = int(table.loc[table["attack"] == CLEAN, "runs"].max())
    seeds = "one seed" if runs == 1 else f"mean and standard deviation of {runs} seeds"
    _title(figure, f"{written(dataset)}, {written(architecture)}: accuracy against compression ({seeds})")
    return figure


def accuracy_differences(verdicts, clean, dataset, architecture):
    """Compressed minus base accuracy against the fraction removed, on clean images and under every attack (Wang et al.
    2018, Figures 1 and 2); bars are the intervals of the verdicts.

    Each model is attacked itself where the study does that; where it does not, both face the images crafted on the
    base model.

    Args:
        verdicts, clean: the tables `verdicts` and `clean_differences`.
    """
    chosen = verdicts["comparison"].eq("white-box") | (
        verdicts["source"].eq(verdicts["architecture"] + "." + verdicts["training"] + ".none.none")
        & verdicts["source_seed"].eq("same")
    )
    table = verdicts[chosen & verdicts["dataset"].eq(dataset) & verdicts["architecture"].eq(architecture)]
    own = clean[clean["dataset"].eq(dataset) & clean["architecture"].eq(architecture)]
    if table.empty and own.empty:
        raise InputError(f"no compressed {architecture} on {dataset} passed the audit; tables/audit.csv says why")
    curve = np.where(table["comparison"] == "white-box", "white-box", "from the base model")
    frames = [own.assign(attack=CLEAN, method=CLEAN, eps=0.0, curve="white-box"), table.assign(curve=curve)]
    keep = ["attack", "method", "eps", "curve", *PANEL, "ratio", "bits", "difference", "low", "high", "seeds", "n"]
    table = pd.concat([frame[keep] for frame in frames])
    table = table.assign(value=table["difference"])
    origin = table.drop_duplicates([*PANEL, "attack", "curve"])
    origin = origin.assign(ratio=0.0, bits=FLOAT_BITS, value=0.0, low=0.0, high=0.0)
    figure = _panels(pd.concat([origin, table]), table, THREATS, "difference in points")
    for axes in figure.axes:
        axes.axhline(0, color="#888888", lw=0.8, zorder=1)
    seeds = int(table["seeds"].max())
    sample = f"{seeds} seed{'s' * (seeds > 1)}, {int(table['n'].max())} images"
    _title(figure, f"{written(dataset)}, {written(architecture)}: compressed minus base accuracy (intervals; {sample})")
    return figure


def attack_groups(table):
    """The attacks of a table in groups of at most CURVES, budgets of one entry together: a list of name -> style.

    Attacks without a budget have groups of their own, as their numbers are of another size.

    In every group the color is the attack's entry and the marker its budget; clean images are black in each.
    """
    attacks = table[table["attack"] != CLEAN].drop_duplicates("attack")
    attacks = attacks.assign(entry=attacks["attack"].map(entry_of), unbounded=attacks["eps"].isna())
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


def _styles(group):
    styles = {CLEAN: {"color": INK, "marker": MARKERS[0]}}
    for color, names in zip(COLORS, group, strict=False):
        for rank, name in enumerate(names, start=1):
            styles[name] = {"color": color, "marker": MARKERS[rank % len(MARKERS)]}
    return styles


def _threats(table):
    """The curve that each row of `over_seeds` belongs to: that of clean images, white-box, from the base, or none."""
    from_base = (
        (table["source_compression"] == "none")
        & (table["source_architecture"] == table["target_architecture"])
        & (table["source_training"] == table["training"])
        & (table["seeds"] == "same")
    )
    white_box = table["threat"].isin(["white-box", CLEAN])
    return np.where(white_box, "white-box", np.where(from_base, "from the base model", ""))


def _panels(table, compressed, lines, label):
    """A figure of one panel per PANEL and group of attacks; a row of panels has its own legend."""
    panels = list(dict.fromkeys(zip(*(compressed[axis] for axis in PANEL), strict=True)))
    groups = attack_groups(compressed)
    # A row per training and fine-tuning where the compressions are few enough.
    compressions = compressed["compression"].nunique()
    columns = min(compressions if compressions <= COLUMNS else WRAPPED, len(panels))
    deep = -(-len(panels) // columns)
    size = (2.9 * columns + 1.9, 2.5 * deep * len(groups) + 0.4)
    figure, grid = plt.subplots(
        deep * len(groups), columns, figsize=size, sharey="row", squeeze=False, layout="constrained"
    )
    for number, styles in enumerate(groups):
        rows = grid[number * deep : (number + 1) * deep]
        drawn = set()
        for axes, panel in zip(rows.flat, panels, strict=False):
            drawn |= _panel(axes, table, panel, styles, lines)
        for axes in rows.flat[len(panels) :]:
            axes.remove()
        for axes in rows[:, 0]:
            axes.set_ylabel(label)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
        used = {name: style for name, style in styles.items() if name in {attack for attack, _ in drawn}}
        handles = [plt.Line2D([], [], ms=4, label=attack_in_words(name), **style) for name, style in used.items()]
        kinds = {curve for attack, curve in drawn if attack != CLEAN}
        handles += [plt.Line2D([], [], color="#555555", ls=lines[kind], label=kind) for kind in lines if kind in kinds]
        last = rows[0, columns - 1]
        last.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, fontsize=8)
    return figure


def _panel(axes, table, panel, styles, lines):
    """Draw one panel; returns the (attack, curve) drawn."""
    training, compression, finetuning = panel
    base = table["compression"].eq("none") & table["training"].eq(training)
    rows = table[base | np.logical_and.reduce([table[axis] == name for axis, name in zip(PANEL, panel, strict=True)])]
    by_bits = rows["bits"].min() < FLOAT_BITS
    ticks = sorted(rows["bits"].unique(), reverse=True)
    drawn = set()
    for curve, (attack, style) in product(lines, styles.items()):
        points = rows[(rows["attack"] == attack) & (rows["curve"] == curve)].drop_duplicates(["ratio", "bits"])
        points = _with_base(points, rows, attack).sort_values("ratio")
        # A curve of the base alone says nothing about compression.
        if points["ratio"].max() > 0:
            drawn.add((attack, curve))
            place = points["bits"].map(ticks.index) if by_bits else points["ratio"]
            errors = np.abs([points["value"] - points["low"], points["high"] - points["value"]])
            axes.errorbar(
                place, points["value"], yerr=errors, ls=lines[curve], lw=1.3, ms=4, capsize=2, elinewidth=0.8, **style
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


def _with_base(points, rows, attack):
    """The base model's white-box point opens the curve of images crafted on it too."""
    if points.empty or points["ratio"].min() == 0:
        return points
    base = rows[(rows["attack"] == attack) & (rows["ratio"] == 0)]
    return pd.concat([base[:1], points])


def _title(figure, text):
    figure.suptitle(text, x=0.01, ha="left", fontsize=10)
