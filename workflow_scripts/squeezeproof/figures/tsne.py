"""Layer features of clean and adversarial images in two dimensions."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.figures.style import COLORS
from squeezeproof.store.tensors import read_metadata
from squeezeproof.study.figures import Figure
from squeezeproof.tables.files import read_csv

FIGURE = Figure(
    file="{dataset}/tsne.{features}.{model}",
    each=lambda study: [
        {"dataset": dataset, "features": name, "model": model} for dataset, model, name in study.features
    ],
    needs=lambda study, paths, names: {
        "coordinates": paths.tsne(names.dataset, names.model, names.features),
        "features": paths.features(names.dataset, names.model, names.features),
    },
    caption=(
        "Clean and adversarial images of one class in the inputs and in layers of {model}, {dataset}, in two "
        "dimensions by t-SNE, which keeps neighbourhoods and not distances. Hollow points are misclassified."
    ),
    subcategory="Layer features",
    labels={"data set": "{dataset}", "model": "{model}", "features": "{features}"},
)
PANELS_IN_A_ROW = 4
KINDS = {"clean": (COLORS[0], "o"), "adversarial": (COLORS[1], "^")}


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    metadata = read_metadata(files.features, "features")
    title = f"{names.dataset}, {names.model}: images of class {metadata['class']}, clean and under {metadata['attack']}"
    return tsne_panels(read_csv(files.coordinates), title)


def tsne_panels(table: pd.DataFrame, title: str) -> plt.Figure:
    """The images of one class in the inputs and in every layer, a panel each ([thorsteinsson2024], Figure 2).

    Circles are clean and triangles adversarial images; hollow ones are misclassified. The axes of t-SNE have no unit.

    Args:
        table: columns layer, kind, label, prediction, x, y.
    """
    layers = list(dict.fromkeys(table["layer"]))
    columns = min(PANELS_IN_A_ROW, len(layers))
    rows = -(-len(layers) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.4 * columns, 2.5 * rows + 0.5), squeeze=False, layout="constrained"
    )
    for axes, layer in zip(grid.flat, layers, strict=False):
        panel = table[table["layer"] == layer]
        for kind, (color, marker) in KINDS.items():
            for right in (True, False):
                points = panel[(panel["kind"] == kind) & ((panel["prediction"] == panel["label"]) == right)]
                face = {"c": color, "linewidths": 0} if right else {"facecolors": "none", "edgecolors": color}
                axes.scatter(points["x"], points["y"], s=14, marker=marker, alpha=0.75, **face)
        axes.set_title(layer.removeprefix("network."), loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", "datalim")
    for axes in grid.flat[len(layers) :]:
        axes.remove()
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _legend() -> list[plt.Line2D]:
    handles = []
    for kind, (color, marker) in KINDS.items():
        for right in (True, False):
            face = color if right else "none"
            label = f"{kind}, {'right' if right else 'wrong'}"
            handles.append(plt.Line2D([], [], ls="none", marker=marker, mfc=face, mec=color, ms=5, label=label))
    return handles
