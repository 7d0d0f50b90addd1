"""How compression and adversarial training change the weights (Marshall 2020: log y, normalised x)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from squeezeproof.analysis.names import FLOAT_BITS, display_name, finetuning_in_words, level
from squeezeproof.figures.style import COLORS, INK
from squeezeproof.markers import supported_with
from squeezeproof.store.tensors import read_arrays
from squeezeproof.study.figures import Figure, for_datasets, with_weights
from squeezeproof.types import Described

FIGURE = Figure(
    file="{dataset}/weights",
    each=for_datasets,
    needs=lambda study, paths, names: {
        "models": [paths.model(names.dataset, model) for model in with_weights(study, names.dataset)]
    },
    caption=(
        "Weights of convolutions and linear layers on {dataset}, in units of each model's largest magnitude, on a "
        "logarithmic axis: the base models of every training together, then every compression beside its base. "
        "Zeros are left out; the legend tells their share. Quantized models are left out, as their files hold the "
        "weights before rounding."
    ),
    subcategory="Models",
    labels={"data set": "{dataset}", "shown": "weights"},
    params=lambda study, names: {
        "models": [study.describe(names.dataset, model) for model in with_weights(study, names.dataset)]
    },
    mem_mb=2000,
)
BINS = np.linspace(-1, 1, 81)
COLUMNS = 3


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    paths, models = supported_with(files.models, params["models"])
    return weight_histograms(read_histograms(list(zip(models, paths, strict=True))), names.dataset)


def read_weights(path: str | Path) -> np.ndarray:
    """All weights of convolutions and linear layers of a checkpoint, one float32 vector."""
    arrays = read_arrays(path)
    names = [name for name in arrays if name.startswith("network.") and name.endswith(".weight")]
    return np.concatenate([arrays[name].ravel() for name in names if arrays[name].ndim > 1])


def read_histograms(
    models: Sequence[tuple[Described, str | Path]],
) -> list[tuple[Described, tuple[np.ndarray, float]]]:
    """(description, histogram) of the models that the figure shows: those of the first seed with weights in float32.

    The checkpoint of a quantized model holds its weights before rounding.

    Args:
        models: (description, path of the checkpoint) of every model.
    """
    seed = min(description["seed"] for description, _ in models)
    shown = [model for model in models if model[0]["seed"] == seed and model[0]["bits"] >= FLOAT_BITS]
    return [(description, histogram(read_weights(path))) for description, path in shown]


def histogram(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Share of all weights in every bin of BINS, in units of the largest magnitude, zeros left out; and their share."""
    largest = np.abs(weights).max()
    counts, _ = np.histogram(weights[weights != 0] / (largest or 1), BINS)
    return counts / len(weights), float(np.mean(weights == 0))


def weight_histograms(models: list[tuple[Described, tuple[np.ndarray, float]]], dataset: str) -> plt.Figure:
    """Weights of a data set's models: a first panel per architecture with its base models, then a panel
    per training, compression and fine-tuning with the base model and every level.

    Args:
        models: of `read_histograms`.
    """
    panels = _panels(models)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.5 * rows + 0.4), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for (label, (shares, zeros)), color in zip(curves, [INK, *COLORS], strict=False):
            name = f"{label} ({100 * zeros:.0f} % zeros)" if zeros else label
            axes.stairs(shares, BINS, color=color, lw=1.2, label=name)
        axes.set_yscale("log")
        axes.set_title(title, loc="left")
        axes.set_ylim(top=1)
        axes.legend(fontsize=7, loc="upper left", handlelength=1.2, borderaxespad=0.2)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("share of all weights")
    for axes in list(grid.flat)[max(0, len(panels) - columns) : len(panels)]:
        axes.set_xlabel("weight / largest magnitude")
        axes.tick_params(labelbottom=True)
    figure.suptitle(
        f"{display_name(dataset)}: weights that are not zero, seed {models[0][0]['seed']}",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    return figure


def _panels(
    models: list[tuple[Described, tuple[np.ndarray, float]]],
) -> dict[str, list[tuple[str, tuple[np.ndarray, float]]]]:
    """Title -> [(label, histogram)], at most as many as there are colors, more levels in further panels."""
    panels = {}
    bases = {description["name"]: (description, found) for description, found in models if _is_base(description)}
    for description, found in bases.values():
        title = f"{display_name(description['architecture'])}, base models"
        panels.setdefault(title, []).append((f"{description['training']} training", found))
    for description, found in models:
        if _is_base(description):
            continue
        compression, tuned = description["compression"], finetuning_in_words(description["finetuning"])
        title = (
            f"{display_name(description['architecture'])}, {description['training']} training\n{compression}, {tuned}"
        )
        label = level(description["ratio"], description["bits"])
        panels.setdefault(title, [("base", bases[description["base"]][1])]).append((label, found))
    shown = 1 + len(COLORS)
    return {
        title + (f", part {1 + start // shown}" if len(curves) > shown else ""): curves[start : start + shown]
        for title, curves in panels.items()
        for start in range(0, len(curves), shown)
    }


def _is_base(description: Described) -> bool:
    return description["compression"] == "none"
