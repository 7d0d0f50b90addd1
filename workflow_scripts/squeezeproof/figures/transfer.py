"""What one attack, crafted once on one source, does to every target, against eps."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.analysis.names import MODEL, averaged, display_name, entry_display
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.curves import by_model, curves_figure
from squeezeproof.statistics.means import seeds_of_pairs
from squeezeproof.store.predictions import CLEAN
from squeezeproof.store.tensors import read_metadata
from squeezeproof.study.figures import Figure
from squeezeproof.study.paths import prepared
from squeezeproof.tables.files import read_table
from squeezeproof.tables.words import Threat

FIGURE = Figure(
    file="{dataset}/transfer.{origin}.{entry}",
    each=lambda study: [dict(zip(("dataset", "origin", "entry"), key, strict=True)) for key in study.transfers],
    needs=lambda study, paths, names: {
        "over_seeds": paths.table("over_seeds"),
        "clean_accuracy": paths.table("clean_accuracy"),
        "test": prepared(study.datasets[names.dataset].key("test"), "test"),
    },
    caption=(
        "Accuracy of every target on what {entry} crafted once on {origin}, against eps, {dataset}. The thick curve "
        "is the source itself (white-box). Bands are 95 % intervals: Student's t over seeds with Wilson's over the "
        "test images."
    ),
    subcategory="Transfer against eps",
    labels={"data set": "{dataset}", "source": "{origin}", "attack": "{entry}"},
    params=lambda study, names: {
        "source": study.describe(names.dataset, f"{names.origin}.s{study.seeds[0]}"),
        "attacks": study.transfers[names.dataset, names.origin, names.entry],
    },
)


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    clean = read_table(files.clean_accuracy)
    trials = int(clean.loc[clean["dataset"] == names.dataset, "n"].max())
    chance = 1 / len(read_metadata(files.test, "dataset")["classes"])
    return transfer(read_table(files.over_seeds), trials, chance, names.dataset, params["source"], params["attacks"])


def transfer(
    table: pd.DataFrame, trials: int, chance: float, dataset: str, source: dict[str, Any], attacks: Sequence[str]
) -> plt.Figure:
    """Accuracy of every target against the eps of one attack, crafted once on each seed of one source.

    The source itself (white-box) is drawn thicker; targets of other seeds than the source's have curves of their own.

    Args:
        table: the table `over_seeds`.
        trials: test images of one seed.
        chance: 1 / classes.
        source: description (`Study.describe`) of one seed of the source.
        attacks: names of the attack's instances.
    """
    table = table[table["dataset"] == dataset]
    crafted = table[table["attack"].isin(attacks)]
    for axis in MODEL:
        crafted = crafted[crafted[f"source_{axis}"].eq(source[axis])]
    crafted_on = source["variant"]
    if crafted.empty:
        raise NothingToShow(
            f"no set of {', '.join(attacks)} of {crafted_on} ({dataset}) passed the audit; tables/audit.csv says why "
            "and what to do"
        )
    clean = table[table["attack"] == CLEAN].drop(columns=["threat", "seed_relation"]).assign(eps=0.0)
    curves = []
    for name, rows in by_model(crafted, "target"):
        # Clean accuracy has no source.
        start = clean.merge(rows[[f"target_{axis}" for axis in MODEL]].head(1)).assign(
            seeds=lambda known: known["runs"]
        )
        for _, found in rows.groupby(["threat", "seed_relation"], sort=False):
            threat, relation = found[["threat", "seed_relation"]].iloc[0]
            other = "" if relation == "same" else " (other seed)"
            seeds = found["runs"] if relation == "same" else found["runs"].map(seeds_of_pairs)
            found = found.assign(seeds=seeds)
            points = pd.concat([start, found], ignore_index=True).sort_values("eps").assign(n=trials)
            curves.append((name + other, points, {"lw": 2.6} if threat == Threat.WHITE_BOX else {}))
    attack = entry_display(*crafted[["entry", "method"]].iloc[0])
    title = f"{display_name(dataset)}, {attack} crafted on {crafted_on} ({averaged(clean['runs'].max())})"
    return curves_figure(title, curves, chance, crafted["norm"].iloc[0])
