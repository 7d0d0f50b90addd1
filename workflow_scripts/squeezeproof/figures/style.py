"""One style for every figure: readable in print and by the colour-blind."""

import os
import textwrap
from collections.abc import Iterable
from pathlib import Path

# Nothing of the shell's and of the user's own matplotlibrc changes a figure; what this names may not even exist.
os.environ["MPLBACKEND"] = "agg"

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt

from squeezeproof.atomic import replacing

# Colours of [okabe2008], dark enough on white; markers repeat the distinction for print in grey.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31"]
# Of what is no attack: clean images, dense models.
INK = "#222222"
# What keeps cells out of figures.
WHY = "tables/unsupported.csv and tables/audit.csv say why"
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]

plt.rcdefaults()
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "figure.dpi": 110,
        "savefig.dpi": 160,
        # Text stays text, and the same figure gives the same bytes.
        "svg.fonttype": "none",
        "svg.hashsalt": "squeezeproof",
        # A dollar sign in the name of a class is no formula.
        "text.parse_math": False,
    }
)


def words(text: str) -> plt.Figure:
    """A figure of words, in the place of one that has nothing to show."""
    figure = plt.figure(figsize=(6, 1))
    figure.text(0.02, 0.5, textwrap.fill(text, 100), va="center")
    return figure


def save(figure: plt.Figure, paths: Iterable[str | Path]) -> None:
    """Write one figure to every path, the format by its ending, and close it."""
    for path in paths:
        metadata = {"Date": None} if str(path).endswith(".svg") else {"Software": None}
        with replacing(path) as temporary:
            figure.savefig(temporary, format=Path(path).suffix[1:], bbox_inches="tight", metadata=metadata)
    plt.close(figure)
