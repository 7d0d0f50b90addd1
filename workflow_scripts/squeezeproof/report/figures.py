"""One function per figure: a table in, a matplotlib figure out."""

import matplotlib.pyplot as plt
import numpy as np

from squeezeproof.errors import InputError
from squeezeproof.report.style import COLORS, MARKERS, save  # noqa: F401  (save is part of this module's interface)
from squeezeproof.report.tables import MODEL
from squeezeproof.store.predictions import CLEAN


def model_label(row, side, shared):
    """A model's name without the parts that all models of the figure share, such as `cnn3 weight 90 %`."""
    architecture, training, compression, ratio, bits, finetuning = (row[f"{side}_{axis}"] for axis in MODEL)
    level = f"{bits}-bit" if bits < 32 else f"{100 * ratio:g} %"
    parts = [architecture, training]
    parts.append("base" if compression == "none" else f"{compression} {level}")
    if compression != "none":
        parts.append("not fine-tuned" if finetuning == "none" else f"{finetuning} fine-tuning")
    kept = [part for part in parts if part not in shared]
    return " ".join(kept) or parts[2]


def shared_parts(table, side):
    """Name parts that do not tell the models of a table apart."""
    shared = set()
    for axis in ("architecture", "training"):
        values = table[f"{side}_{axis}"].unique()
        if len(values) == 1:
            shared.add(values[0])
    tuned = table.loc[table[f"{side}_compression"] != "none", f"{side}_finetuning"].unique()
    if len(tuned) == 1:
        shared |= {f"{tuned[0]} fine-tuning", "not fine-tuned"}
    return shared


def heatmap(table, dataset, attack):
    """Accuracy of every target (column) on the examples that one attack crafted on every source (row).

    A first row shows the clean accuracy; white-box cells are framed; a cell is the mean over seeds.
    """
    table = table[(table["dataset"] == dataset) & table["attack"].isin([attack, CLEAN])]
    table = table.assign(
        source=_labels(table, "source"), target=_labels(table, "target"), surrogate=table["seeds"] == "other"
    )
    attacked = table[table["attack"] == attack].sort_values("surrogate", kind="stable")
    if attacked.empty:
        raise InputError(f"no cell of {attack} on {dataset} passed the audit; tables/audit.csv says why and what to do")
    attacked = attacked.assign(source=attacked["source"] + np.where(attacked["surrogate"], " (other seed)", ""))
    sources, targets = list(dict.fromkeys(attacked["source"])), list(dict.fromkeys(attacked["target"]))
    clean = table[table["attack"] == CLEAN].groupby("target")["mean"].mean()
    values = attacked.pivot_table(index="source", columns="target", values="mean", sort=False)
    values = values.reindex(index=sources, columns=targets)
    matrix = np.vstack([clean.reindex(targets).to_numpy(), values.to_numpy()])

    figure, axes = plt.subplots(figsize=(1.9 + 0.62 * len(targets), 1.5 + 0.42 * (len(sources) + 1)))
    image = axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    white_box = {(row.source, row.target) for row in attacked.itertuples() if row.threat == "white-box"}
    for row, name in enumerate(["clean images", *sources]):
        for column, target in enumerate(targets):
            value = matrix[row, column]
            if np.isfinite(value):
                color = "black" if value > 0.55 else "white"
                axes.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color=color, fontsize=8)
            if (name, target) in white_box:
                frame = plt.Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, fill=False, edgecolor="#D55E00", lw=2)
                axes.add_patch(frame)
    axes.set_xticks(range(len(targets)), targets, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(sources) + 1), ["clean images", *sources])
    axes.axhline(0.5, color="white", lw=3)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("target: the model that is scored")
    axes.set_ylabel("source: crafted on")
    axes.set_title(f"{dataset}, {attack}: accuracy in % ({_seeds(table)}; framed: white-box)", loc="left")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, format=lambda value, _: f"{100 * value:.0f} %")
    bar.outline.set_visible(False)
    return figure


def accuracy_against_ratio(table, dataset, architecture):
    """Accuracy against the fraction removed: one panel per training, compression and fine-tuning, one curve per attack.

    Solid: examples crafted on the model itself (white-box). Dashed: crafted on the base model of the same seed
    (transfer). Bars span one standard deviation over seeds to each side.
    """
    table = table[(table["dataset"] == dataset) & (table["target_architecture"] == architecture)]
    compressed = table[table["target_compression"] != "none"]
    if compressed.empty:
        raise InputError(f"no compressed {architecture} on {dataset} passed the audit; tables/audit.csv says why")
    panels = list(
        dict.fromkeys(
            zip(*(compressed[f"target_{axis}"] for axis in ("training", "compression", "finetuning")), strict=True)
        )
    )
    styles = attack_styles(table)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(3.1 * columns + 1.6, 2.6 * rows + 0.3), sharey=True, squeeze=False, layout="constrained"
    )
    shown = set()
    for axes, (training, compression, finetuning) in zip(grid.flat, panels, strict=False):
        panel = table[(table["target_training"] == training) & table["target_compression"].isin([compression, "none"])]
        panel = panel[(panel["target_finetuning"] == finetuning) | (panel["target_compression"] == "none")]
        for attack, style in styles.items():
            shown |= _curves(axes, panel[panel["attack"] == attack], attack, style)
        tuned = "no fine-tuning" if finetuning == "none" else f"{finetuning} fine-tuning"
        axes.set_title(f"{training}, {compression}, {tuned}", loc="left")
        axes.set_xlabel("fraction of bits removed" if panel["target_bits"].min() < 32 else "fraction removed")
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy")
    handles = [plt.Line2D([], [], ms=4, label=name, **style) for name, style in styles.items()]
    handles += [plt.Line2D([], [], color="#555555", ls=THREATS[t], label=t) for t in THREATS if t in shown]
    figure.legend(handles=handles, loc="outside right upper")
    title = f"{dataset}, {architecture}: accuracy against compression ({_seeds(table)})"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


THREATS = {"white-box": "-", "from the base model": "--"}


def attack_styles(table):
    """Color by the attack's entry and marker by its budget for every attack of a table; black for the clean images."""
    attacks = table[table["attack"] != CLEAN].drop_duplicates("attack").fillna({"eps": 0})
    attacks = attacks.assign(entry=attacks["attack"].str.rsplit("-eps", n=1).str[0])
    entries = list(dict.fromkeys(attacks["entry"]))
    styles = {CLEAN: {"color": "#222222", "marker": "o"}}
    for row in attacks.sort_values(["entry", "eps"]).itertuples():
        rank = sorted(attacks.loc[attacks["entry"] == row.entry, "eps"]).index(row.eps)
        color = COLORS[entries.index(row.entry) % len(COLORS)]
        styles[row.attack] = {"color": color, "marker": MARKERS[(rank + 1) % len(MARKERS)]}
    return styles


def _curves(axes, rows, attack, style):
    """Draw the white-box and the transfer-from-base curve of one attack (one for clean images); return those drawn."""
    from_base = rows[
        (rows["source_compression"] == "none")
        & (rows["source_architecture"] == rows["target_architecture"])
        & (rows["source_training"] == rows["target_training"])
        & (rows["seeds"] == "same")
    ]
    chosen = {"white-box": rows[rows["threat"] == "white-box"], "from the base model": from_base}
    drawn = set()
    for threat, points in {"": rows}.items() if attack == CLEAN else chosen.items():
        points = points.drop_duplicates("target_ratio").sort_values("target_ratio")
        # A curve of the base alone says nothing about compression.
        if points["target_ratio"].max() > 0:
            drawn.add(threat)
            axes.errorbar(
                points["target_ratio"], points["mean"], yerr=points["std"].fillna(0), ls=THREATS.get(threat, "-"),
                lw=1.4, ms=4, capsize=2, elinewidth=0.9, **style,
            )  # fmt: skip
    return drawn


def _labels(table, side):
    shared = shared_parts(table, side) if len(table) else set()
    return [model_label(row, side, shared) for _, row in table.iterrows()]


def _seeds(table):
    seeds = int(table.loc[table["attack"] == CLEAN, "runs"].max())
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"
