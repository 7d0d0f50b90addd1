"""The source x target matrix: a table in, a matplotlib figure out."""

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.names import MODEL, attack_displays, averaged, display_name, model_label, shared_parts
from squeezeproof.analysis.unsupported import COMPRESSION, NONE
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.style import COLORS, WHY
from squeezeproof.store.predictions import CLEAN
from squeezeproof.study.figures import Figure
from squeezeproof.study.targeted import is_targeted
from squeezeproof.tables.files import read_table
from squeezeproof.tables.words import Threat

FIGURE = Figure(
    file="{dataset}/heatmap.{attack}",
    each=lambda study: [
        {"dataset": dataset, "attack": attack}
        for dataset, attack in sorted({(key[0], attack) for key, attacks in study.sets.items() for attack in attacks})
        if not is_targeted(study.attacks[attack])
    ],
    needs=lambda study, paths, names: {
        "over_seeds": paths.table("over_seeds"),
        "unsupported": paths.table("unsupported"),
    },
    caption=(
        "Accuracy of every target (column) on the images that {attack} crafted on every source (row), in per cent, "
        "{dataset}. The first row is the accuracy on clean images; white-box cells are framed."
    ),
    subcategory="Source x target",
    labels={"data set": "{dataset}", "attack": "{attack}"},
)


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    return heatmap(read_table(files.over_seeds), names.dataset, names.attack, read_table(files.unsupported))


def heatmap(table: pd.DataFrame, dataset: str, attack: str, unsupported: pd.DataFrame = NONE) -> plt.Figure:
    """Accuracy of every target (column) on the examples that one attack crafted on every source (row).

    A first row shows the clean accuracy; white-box cells are framed; a cell is the mean over seeds. Models that a
    network does not support have columns that say why.

    Args:
        table: the table `over_seeds`.
        unsupported: the table of that name.
    """
    missing = unsupported[(unsupported["dataset"] == dataset) & (unsupported["part"] == COMPRESSION)]
    missing = missing.rename(columns={axis: f"target_{axis}" for axis in MODEL})
    table = table[(table["dataset"] == dataset) & table["attack"].isin([attack, CLEAN])]
    table = table.assign(
        source=_labels(table, "source"), target=_labels(table, "target"), surrogate=table["seed_relation"] == "other"
    )
    attacked = table[table["attack"] == attack].sort_values("surrogate", kind="stable")
    if attacked.empty:
        raise NothingToShow(f"no cell of {attack} on {dataset} is supported and passed the audit; {WHY}")
    attacked = attacked.assign(source=attacked["source"] + np.where(attacked["surrogate"], " (other seed)", ""))
    sources, targets = list(dict.fromkeys(attacked["source"])), list(dict.fromkeys(attacked["target"]))
    reasons = dict(zip(_labels(missing, "target"), missing["reason"], strict=True))
    targets += [target for target in reasons if target not in targets]
    clean = table[table["attack"] == CLEAN].groupby("target")["mean"].mean()
    values = attacked.pivot_table(index="source", columns="target", values="mean", sort=False)
    values = values.reindex(index=sources, columns=targets)
    matrix = np.vstack([clean.reindex(targets).to_numpy(), values.to_numpy()])

    figure, axes = plt.subplots(figsize=(1.9 + 0.62 * len(targets), 1.5 + 0.42 * (len(sources) + 1)))
    image = axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    white_box = {(row.source, row.target) for row in attacked.itertuples() if row.threat == Threat.WHITE_BOX}
    for row, name in enumerate(["clean images", *sources]):
        for column, target in enumerate(targets):
            value = matrix[row, column]
            if np.isfinite(value):
                color = "black" if value > 0.55 else "white"
                axes.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color=color, fontsize=8)
            if (name, target) in white_box:
                frame = plt.Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, fill=False, edgecolor=COLORS[1], lw=2)
                axes.add_patch(frame)
    for column, target in enumerate(targets):
        if target in reasons and target not in clean:
            said = textwrap.fill(f"not supported: {reasons[target]}", 6 * (len(sources) + 1), max_lines=3)
            axes.text(column, len(sources) / 2, said, rotation=90, ha="center", va="center", fontsize=6)
    axes.set_xticks(range(len(targets)), targets, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(sources) + 1), ["clean images", *sources])
    axes.axhline(0.5, color="white", lw=3)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("target: the model that is scored")
    axes.set_ylabel("source: crafted on")
    shown = attack_displays(table)[attack]
    axes.set_title(
        f"{display_name(dataset)}, {shown}: accuracy in % ({_seeds(table)}; framed: white-box)",
        loc="left",
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, format=lambda value, _: f"{100 * value:.0f} %")
    bar.outline.set_visible(False)
    return figure


def _labels(table: pd.DataFrame, side: str) -> list[str]:
    shared = shared_parts(table, side) if len(table) else set()
    return [model_label(row, side, shared) for _, row in table.iterrows()]


def _seeds(table: pd.DataFrame) -> str:
    return averaged(int(table.loc[table["attack"] == CLEAN, "runs"].max()))
