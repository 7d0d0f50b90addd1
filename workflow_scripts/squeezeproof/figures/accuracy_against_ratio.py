"""Accuracy against what a compression removed, or the bits it left."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.names import CONTROL, display_name
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.levels import FROM_BASE, PANEL, WHITE_BOX, has_level, panels
from squeezeproof.figures.style import WHY
from squeezeproof.store.predictions import CLEAN
from squeezeproof.study.figures import Figure, for_compressed
from squeezeproof.tables.files import read_table
from squeezeproof.tables.words import Threat

FIGURE = Figure(
    file="{dataset}/accuracy_against_ratio.{architecture}",
    each=for_compressed,
    needs=lambda study, paths, names: {"over_seeds": paths.table("over_seeds")},
    caption=(
        "Accuracy of {architecture} on {dataset} against the fraction removed, or the bits left. Solid: white-box, "
        "and clean images; dashed: crafted on the base model. Colour is the attack, the marker its budget; many "
        "attacks are split over rows of panels, each with its legend. Bars span one standard deviation over seeds."
    ),
    subcategory="Accuracy against compression",
    labels={"data set": "{dataset}", "architecture": "{architecture}", "shown": "accuracy"},
)


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    return accuracy_against_ratio(read_table(files.over_seeds), names.dataset, names.architecture)


def accuracy_against_ratio(table: pd.DataFrame, dataset: str, architecture: str) -> plt.Figure:
    """Accuracy against the fraction removed, or the bits left: one panel per training, compression and fine-tuning,
    one curve per attack ([thorsteinsson2024], Figures 1, 3 and 4).

    Solid: examples crafted on the model itself (white-box). Dashed: crafted on the base model of the same seed
    (transfer). Bars span one standard deviation over seeds to each side.

    Args:
        table: `over_seeds`.
    """
    table = table[(table["dataset"] == dataset) & (table["target_architecture"] == architecture)]
    table = table.rename(columns={f"target_{axis}": axis for axis in [*PANEL, "ratio", "bits"]})
    table = table[table["compression"] != CONTROL]
    compressed = table[table["compression"].ne("none") & has_level(table)]
    if compressed.empty:
        raise NothingToShow(f"no compressed {architecture} on {dataset} is supported and passed the audit; {WHY}")
    table = table.assign(low=table["mean"] - table["std"].fillna(0), high=table["mean"] + table["std"].fillna(0))
    table = table.assign(value=table["mean"], curve=_threats(table))
    figure = panels(table[table["curve"] != ""], compressed, "accuracy in %")
    for axes in figure.axes:
        axes.set_ylim(-0.03, 1.03)
    runs = int(table.loc[table["attack"] == CLEAN, "runs"].max())
    seeds = "one seed" if runs == 1 else f"mean and standard deviation of {runs} seeds"
    figure.suptitle(
        f"{display_name(dataset)}, {display_name(architecture)}: accuracy against compression ({seeds})",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    return figure


def _threats(table: pd.DataFrame) -> np.ndarray:
    """The curve that each row of `over_seeds` belongs to: that of clean images, white-box, from the base, or none."""
    from_base = (
        (table["source_compression"] == "none")
        & (table["source_architecture"] == table["target_architecture"])
        & (table["source_training"] == table["training"])
        & (table["seed_relation"] == "same")
    )
    white_box = table["threat"].isin([Threat.WHITE_BOX, CLEAN])
    return np.where(white_box, WHITE_BOX, np.where(from_base, FROM_BASE, ""))
