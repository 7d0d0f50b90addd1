"""White-box accuracy against eps, of sweeps."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.analysis.names import MODEL, averaged, display_name
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.curves import by_model, curves_figure
from squeezeproof.figures.style import WHY
from squeezeproof.study.figures import Figure
from squeezeproof.tables.files import read_table

FIGURE = Figure(
    file="{dataset}/accuracy_against_eps.{sweep}",
    each=lambda study: [
        {"dataset": dataset, "sweep": sweep}
        for dataset, sweep in sorted({(dataset, sweep) for dataset, _, sweep in study.curves})
    ],
    needs=lambda study, paths, names: {"sweeps": paths.table("sweeps")},
    caption=(
        "White-box accuracy of every model against the eps of {sweep} on {dataset}. Bands are 95 % intervals: "
        "Student's t over seeds with Wilson's over the test images. A cross marks where a curve ended below chance."
    ),
    subcategory="Accuracy against eps",
    labels={"data set": "{dataset}", "sweep": "{sweep}"},
)


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    return accuracy_against_eps(read_table(files.sweeps), names.dataset, names.sweep)


def accuracy_against_eps(table: pd.DataFrame, dataset: str, sweep: str) -> plt.Figure:
    """White-box accuracy of every model of a sweep against eps, seeds together, with 95 % intervals.

    A curve ends at the last eps that all its seeds reached; a cross marks that one of them stopped there below chance.

    Args:
        table: the table `sweeps`.
    """
    table = table[(table["dataset"] == dataset) & (table["sweep"] == sweep)]
    if table.empty:
        raise NothingToShow(f"no point of {sweep} of {dataset} is supported and passed the audit; {WHY}")
    table = table.rename(columns={axis: f"target_{axis}" for axis in MODEL})
    curves = []
    for name, rows in by_model(table, "target"):
        points = rows.groupby("eps").agg(
            runs=("accuracy", "count"), mean=("accuracy", "mean"), std=("accuracy", "std"), n=("n", "min"),
            stopped=("stopped", "any"),
        )  # fmt: skip
        points = points[points["runs"] == rows["seed"].nunique()].assign(seeds=lambda found: found["runs"])
        curves.append((name, points.reset_index(), {}))
    seeds = int(table["seed"].nunique())
    title = f"{display_name(dataset)}, {sweep}: white-box accuracy ({averaged(seeds)})"
    return curves_figure(title, curves, table["chance"].iloc[0], table["norm"].max())
