"""What compression changes of the accuracy, against what it removed, or the bits it left."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from squeezeproof.analysis.accuracy import UNATTACKED
from squeezeproof.analysis.names import CONTROL, FLOAT_BITS, display_name
from squeezeproof.analysis.pairs import BASE
from squeezeproof.analysis.verdicts import headline
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.levels import FROM_BASE, MINUS_CONTROL, PANEL, WHITE_BOX, has_level, panels
from squeezeproof.figures.style import WHY
from squeezeproof.store.predictions import CLEAN
from squeezeproof.study.figures import Figure, for_compressed
from squeezeproof.tables.files import read_table
from squeezeproof.tables.words import Comparison

FIGURE = Figure(
    file="{dataset}/accuracy_differences.{architecture}",
    each=for_compressed,
    needs=lambda study, paths, names: {"verdicts": paths.table("verdicts"), "clean": paths.table("clean_differences")},
    caption=(
        "Compressed minus base accuracy of {architecture} on {dataset} against what was removed, in points, on "
        "clean images and under every attack. Solid: each model is attacked itself (white-box), and clean images; "
        "dashed: both face the images crafted on the base model, which favours the compressed one; dotted: minus the "
        "control, which trained alike. Bars are the intervals of *verdicts* and *clean differences*, each by itself; "
        "those of *answers* are corrected for the number of comparisons, and wider."
    ),
    subcategory="Accuracy against compression",
    labels={"data set": "{dataset}", "architecture": "{architecture}", "shown": "difference to base"},
)


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    tables = read_table(files.verdicts), read_table(files.clean)
    return accuracy_differences(*tables, names.dataset, names.architecture)


def accuracy_differences(verdicts: pd.DataFrame, clean: pd.DataFrame, dataset: str, architecture: str) -> plt.Figure:
    """Compressed minus base accuracy against the fraction removed, on clean images and under every attack (Wang et al.
    2018, Figures 1 and 2); bars are the intervals of the verdicts.

    Each model is attacked itself where the study does that; where it does not, both face the images crafted on the
    base model. Dotted: compressed minus control, what is left of the difference once both trained alike.

    Args:
        verdicts, clean: the tables `verdicts` and `clean_differences`; of several seeds the intervals are of trainings.
    """
    verdicts, clean = (
        found[found["compression"].eq(CONTROL) | has_level(found)] for found in (headline(verdicts), headline(clean))
    )
    chosen = verdicts["comparison"].eq(Comparison.WHITE_BOX) | (
        verdicts["source_architecture"].eq(verdicts["architecture"])
        & verdicts["source_training"].eq(verdicts["training"])
        & verdicts["source_compression"].eq("none")
        & verdicts["seed_relation"].eq("same")
    )
    table = verdicts[chosen & verdicts["dataset"].eq(dataset) & verdicts["architecture"].eq(architecture)]
    own = clean[clean["dataset"].eq(dataset) & clean["architecture"].eq(architecture)]
    own = own.assign(attack=CLEAN, **UNATTACKED, comparison=Comparison.WHITE_BOX)
    frames = [frame.assign(curve=_curves(frame)) for frame in (own, table)]
    keep = [
        "attack",
        "entry",
        "method",
        "eps",
        "curve",
        *PANEL,
        "ratio",
        "bits",
        "difference",
        "low",
        "high",
        "seeds",
        "n",
    ]
    table = pd.concat([frame.loc[frame["compression"].ne(CONTROL) & frame["curve"].ne(""), keep] for frame in frames])
    if table.empty:
        raise NothingToShow(f"no compressed {architecture} on {dataset} is supported and passed the audit; {WHY}")
    table = table.assign(value=table["difference"])
    origin = table.drop_duplicates([*PANEL, "attack", "curve"])
    origin = origin.assign(ratio=0.0, bits=FLOAT_BITS, value=0.0, low=0.0, high=0.0)
    figure = panels(pd.concat([origin, table]), table, "difference in points")
    for axes in figure.axes:
        axes.axhline(0, color="#888888", lw=0.8, zorder=1)
    seeds = int(table["seeds"].max())
    sample = f"{seeds} seed{'s' * (seeds > 1)}, {int(table['n'].max())} images"
    figure.suptitle(
        f"{display_name(dataset)}, {display_name(architecture)}: compressed minus base accuracy (bars: intervals, each "
        f"by itself; {sample})",
        x=0.01, ha="left", fontsize=10,
    )  # fmt: skip
    return figure


def _curves(table: pd.DataFrame) -> np.ndarray:
    """The curve of each row of verdicts or of differences on clean images; none to rows by transfer against controls,
    where models are attacked themselves.
    """
    own = table["comparison"] == Comparison.WHITE_BOX
    against_control = np.where(own | ~own.any(), MINUS_CONTROL, "")
    return np.where(table["against"] == BASE, np.where(own, WHITE_BOX, FROM_BASE), against_control)
