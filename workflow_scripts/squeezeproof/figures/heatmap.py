"""The source x target matrix: a table in, a matplotlib figure out."""

import textwrap
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import SOURCE, TARGET, seed_relation
from squeezeproof.analysis.names import MODEL, attack_displays, averaged, display_name, model_label, shared_parts
from squeezeproof.analysis.unsupported import COMPRESSION, NONE
from squeezeproof.audit.findings import KNOWS
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.style import COLORS, WHY
from squeezeproof.store.predictions import CLEAN
from squeezeproof.study.figures import Figure
from squeezeproof.study.targeted import is_targeted
from squeezeproof.tables.files import read_table
from squeezeproof.tables.formats import MARK, legend
from squeezeproof.tables.table import records
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
        "robust": paths.table("robust_accuracy"),
        "models": paths.table("compression"),
        "unsupported": paths.table("unsupported"),
    },
    caption=(
        "Accuracy of every target (column) on the images that {attack} crafted on every source (row), in per cent, "
        "{dataset}. The first row is the accuracy on clean images; white-box cells are framed, those of "
        "which the audit warns are marked."
    ),
    subcategory="Source x target",
    labels={"data set": "{dataset}", "attack": "{attack}"},
)

# Of a row of `over_seeds`: the cell, and its target alone.
CELL = ["dataset", *SOURCE, *TARGET, "seed_relation", "attack"]
MODEL_CELL = ["dataset", *TARGET]
UNATTACKED = "clean images"


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    table, unsupported = read_table(files.over_seeds), read_table(files.unsupported)
    warned = warnings(read_table(files.robust), read_table(files.models))
    return heatmap(table, names.dataset, names.attack, unsupported, warned)


def warnings(robust: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """The cells of `over_seeds` of which the audit warns at any seed, by its columns CELL: `checks`, a set of numbers.

    Args:
        robust, models: the tables `robust_accuracy` and `compression`.
    """
    rows = robust.loc[robust["warnings"].ne(""), ["dataset", "source", "target", "attack", "warnings"]]
    for side in ("source", "target"):
        named = {"model": side, **{axis: f"{side}_{axis}" for axis in (*MODEL, "seed")}}
        rows = rows.merge(models[["dataset", *named]].rename(columns=named), on=["dataset", side])
    rows = rows.assign(seed_relation=seed_relation(rows["source_seed"], rows["target_seed"]))
    found = rows.groupby(CELL, sort=False)["warnings"].agg(lambda texts: frozenset(map(int, " ".join(texts).split())))
    return found.rename("checks").reset_index()


def heatmap(
    table: pd.DataFrame,
    dataset: str,
    attack: str,
    unsupported: pd.DataFrame = NONE,
    warned: pd.DataFrame | None = None,
) -> plt.Figure:
    """Accuracy of every target (column) on the examples that one attack crafted on every source (row).

    A first row shows the clean accuracy; white-box cells are framed; a cell is the mean over seeds. Cells of which the
    audit warns are marked, those of clean images where it warns that the model is broken. Models that a network does
    not support have columns that say why.

    Args:
        table: the table `over_seeds`.
        unsupported: the table of that name.
        warned: of `warnings`.
    """
    missing = unsupported[(unsupported["dataset"] == dataset) & (unsupported["part"] == COMPRESSION)]
    missing = missing.rename(columns={axis: f"target_{axis}" for axis in MODEL})
    table = table[(table["dataset"] == dataset) & table["attack"].isin([attack, CLEAN])]
    table = table.assign(
        checks=_checks(table, warned),
        source=_labels(table, "source"),
        target=_labels(table, "target"),
        surrogate=table["seed_relation"] == "other",
    )
    attacked = table[table["attack"] == attack].sort_values("surrogate", kind="stable")
    if attacked.empty:
        raise NothingToShow(f"no cell of {attack} on {dataset} is supported and passed the audit; {WHY}")
    attacked = attacked.assign(source=attacked["source"] + np.where(attacked["surrogate"], " (other seed)", ""))
    sources, targets = list(dict.fromkeys(attacked["source"])), list(dict.fromkeys(attacked["target"]))
    reasons = dict(zip(_labels(missing, "target"), missing["reason"], strict=True))
    targets += [target for target in reasons if target not in targets]
    unattacked = table[table["attack"] == CLEAN]
    clean = unattacked.groupby("target")["mean"].mean()
    values = attacked.pivot_table(index="source", columns="target", values="mean", sort=False)
    values = values.reindex(index=sources, columns=targets)
    matrix = np.vstack([clean.reindex(targets).to_numpy(), values.to_numpy()])
    cells = pd.concat([unattacked.assign(source=UNATTACKED), attacked])
    marked = {(row.source, row.target): row.checks for row in records(cells) if row.checks}

    figure, axes = plt.subplots(figsize=(1.9 + 0.62 * len(targets), 1.5 + 0.42 * (len(sources) + 1)))
    image = axes.imshow(matrix, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    white_box = {(row.source, row.target) for row in attacked.itertuples() if row.threat == Threat.WHITE_BOX}
    for (row, name), (column, target) in product(enumerate([UNATTACKED, *sources]), enumerate(targets)):
        _write_cell(axes, row, column, matrix[row, column], MARK * ((name, target) in marked))
        if (name, target) in white_box:
            frame = plt.Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, fill=False, edgecolor=COLORS[1], lw=2)
            axes.add_patch(frame)
    for column, target in enumerate(targets):
        if target in reasons and target not in clean:
            said = textwrap.fill(f"not supported: {reasons[target]}", 6 * (len(sources) + 1), max_lines=3)
            axes.text(column, len(sources) / 2, said, rotation=90, ha="center", va="center", fontsize=6)
    axes.set_xticks(range(len(targets)), targets, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(sources) + 1), [UNATTACKED, *sources])
    axes.axhline(0.5, color="white", lw=3, zorder=0.5)  # Below the frames.
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    note = legend(frozenset().union(*marked.values())) if marked else ""
    axes.set_xlabel(f"target: the model that is scored\n{textwrap.fill(note, 40 + 8 * len(targets))}".strip())
    axes.set_ylabel("source: crafted on")
    shown = attack_displays(table)[attack]
    axes.set_title(
        f"{display_name(dataset)}, {shown}: accuracy in % ({_seeds(table)}; framed: white-box)",
        loc="left",
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, format=lambda value, _: f"{100 * value:.0f} %")
    bar.outline.set_visible(False)
    return figure


def _write_cell(axes: plt.Axes, row: int, column: int, value: float, mark: str) -> None:
    if np.isfinite(value):
        color = "black" if value > 0.55 else "white"
        axes.text(column, row, f"{100 * value:.1f}{mark}", ha="center", va="center", color=color, fontsize=8)


def _checks(table: pd.DataFrame, warned: pd.DataFrame | None) -> list[frozenset[int]]:
    """The checks that warn of each row; of clean images that which says of any cell that the target is broken."""
    cells = [] if warned is None else warned.to_dict("records")
    known = {tuple(row[key] for key in CELL): row["checks"] for row in cells}
    broken = {tuple(row[key] for key in MODEL_CELL) for row in cells if KNOWS in row["checks"]}
    return [
        (frozenset({KNOWS}) if tuple(row[key] for key in MODEL_CELL) in broken else frozenset())
        if row["attack"] == CLEAN
        else known.get(tuple(row[key] for key in CELL), frozenset())
        for row in table.to_dict("records")
    ]


def _labels(table: pd.DataFrame, side: str) -> list[str]:
    shared = shared_parts(table, side) if len(table) else set()
    return [model_label(row, side, shared) for _, row in table.iterrows()]


def _seeds(table: pd.DataFrame) -> str:
    """What a cell averages; other seeds are surrogates', which are pairs."""
    runs = table.loc[~table["surrogate"], "runs"]
    least, most = int(runs.min()), int(runs.max())
    return averaged(most) if least == most else f"mean of {least} to {most} seeds"
