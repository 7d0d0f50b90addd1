"""How the models were trained: losses against epochs (Marshall 2020), and what ADMM's solver saw."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.names import display_name, finetuning_in_words, level
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.style import COLORS, INK
from squeezeproof.markers import supported_with
from squeezeproof.study.figures import Figure, for_datasets, with_weights
from squeezeproof.tables.files import read_csv

FIGURE = Figure(
    file="{dataset}/training",
    each=for_datasets,
    needs=lambda study, paths, names: {
        "histories": [paths.history(names.dataset, model) for model in with_weights(study, names.dataset)]
    },
    caption=(
        "Loss against epochs on {dataset}, of the base models and of every fine-tuning: solid on clean images, "
        "dashed on adversarial ones; the mean over seeds with their range. Beside ADMM its residual, the distance "
        "between the weights and their projection over the norm of the weights, and the share of zeros in the "
        "projection."
    ),
    subcategory="Models",
    labels={"data set": "{dataset}", "shown": "training"},
    params=lambda study, names: {
        "models": [study.describe(names.dataset, model) for model in with_weights(study, names.dataset)]
    },
)
COLUMNS = 3
LOSSES = {"clean_loss": ("-", "clean loss"), "adversarial_loss": ("--", "adversarial loss")}
SOLVER = {"primal_residual": ("-", "residual |w − z| / |w|"), "sparsity": ("--", "share of zeros in z")}


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    paths, models = supported_with(files.histories, params["models"])
    histories = [(model, read_csv(path)) for model, path in zip(models, paths, strict=True)]
    return training_curves(histories, names.dataset)


def training_curves(histories: Sequence[tuple[dict[str, Any], pd.DataFrame]], dataset: str) -> plt.Figure:
    """Loss against epochs: a panel per training, or compression and fine-tuning, a curve per level (solid on clean
    images, dashed on adversarial ones), mean over seeds with their range; beside those of ADMM a panel of its residual
    and sparsity.

    Args:
        histories: (description, history) of every model, the history as a frame of *.history.csv.
    """
    panels = [panel for group in _groups(histories).items() for panel in _panels(*group)]
    if not panels:
        raise NothingToShow(f"{display_name(dataset)}: Nothing was trained; all models came with their weights.")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 2.6 * rows + 0.4), squeeze=False, layout="constrained"
    )
    for axes, (title, curves, lines) in zip(grid.flat, panels, strict=False):
        _panel(axes, curves, lines)
        axes.set_title(title, loc="left")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss" if lines is LOSSES else "share")
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    seeds = len({description["seed"] for description, _ in histories})
    sample = "one seed" if seeds == 1 else f"mean and range of {seeds} seeds"
    figure.suptitle(f"{display_name(dataset)}: training ({sample})", x=0.01, ha="left", fontsize=10)
    return figure


def _groups(histories: Sequence[tuple[dict[str, Any], pd.DataFrame]]) -> dict[str, dict[str, list[pd.DataFrame]]]:
    """Title -> level -> histories of all seeds; models that were not trained are left out."""
    groups = {}
    for description, history in histories:
        if history.empty:
            continue
        title = f"{display_name(description['architecture'])}, {description['training']} training"
        name = "base"
        if description["compression"] != "none":
            tuned = finetuning_in_words(description["finetuning"])
            title += f"\n{description['compression']}, {tuned}"
            name = level(description["ratio"], description["bits"])
        groups.setdefault(title, {}).setdefault(name, []).append(history)
    return groups


def _panels(
    title: str, levels: dict[str, list[pd.DataFrame]]
) -> Iterator[tuple[str, dict[str, list[pd.DataFrame]], dict[str, tuple[str, str]]]]:
    """The panels of one group: its losses in parts of at most as many levels as there are colors, then its solver."""
    shown = list(levels.items())
    parts = [dict(shown[start : start + len(COLORS)]) for start in range(0, len(shown), len(COLORS))]
    for number, part in enumerate(parts, start=1):
        suffix = f", part {number}" if len(parts) > 1 else ""
        yield title + suffix, part, LOSSES
        if "primal_residual" in next(iter(part.values()))[0]:
            yield f"{title}{suffix}: solver", part, SOLVER


def _panel(axes: plt.Axes, levels: dict[str, list[pd.DataFrame]], lines: dict[str, tuple[str, str]]) -> None:
    kinds = set()
    colors = [INK] if list(levels) == ["base"] else COLORS
    for runs, color in zip(levels.values(), colors, strict=False):
        for column, (style, _) in lines.items():
            curves = [run[column].to_numpy(float) for run in runs if column in run and run[column].notna().any()]
            if not curves:
                continue
            kinds.add(column)
            # A seed whose training was extended goes on alone.
            longest = max(map(len, curves))
            curves = np.array([np.pad(curve, (0, longest - len(curve)), constant_values=np.nan) for curve in curves])
            epochs = np.arange(1, curves.shape[1] + 1)
            marker = "o" if len(epochs) == 1 else None
            axes.plot(epochs, np.nanmean(curves, 0), color=color, ls=style, lw=1.4, marker=marker, ms=4)
            if len(curves) > 1:
                axes.fill_between(epochs, np.nanmin(curves, 0), np.nanmax(curves, 0), color=color, alpha=0.15, lw=0)
    handles = [
        plt.Line2D([], [], color="#555555", ls=style, label=label)
        for kind, (style, label) in lines.items()
        if kind in kinds
    ]
    if colors is COLORS:
        handles += [plt.Line2D([], [], color=color, label=name) for name, color in zip(levels, COLORS, strict=False)]
    axes.legend(handles=handles, fontsize=7, handlelength=1.6, borderaxespad=0.2)
    highest = max((np.max(line.get_ydata()) for line in axes.get_lines()), default=1)
    axes.set_ylim(0, 1.1 * (np.nan_to_num(highest) or 1))
