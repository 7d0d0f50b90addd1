"""What attacks leave of int8 models that were attacked themselves, in words."""

from typing import Any

import pandas as pd

from squeezeproof.analysis.accuracy import CLEAN
from squeezeproof.analysis.deployed import ITSELF, OF_BASE, TWIN
from squeezeproof.analysis.faced import budget_display
from squeezeproof.analysis.names import attack_displays
from squeezeproof.entries import registry
from squeezeproof.tables.table import records

SHOWN = 12
# What the source of images is -> what of it an attacker had.
FLOAT = {OF_BASE: "its base, a float one,", TWIN: "its fake-quantized model"}


def deployed_sentences(table: pd.DataFrame) -> list[str]:
    """A sentence for every int8 model that was attacked itself and budget: what all attacks leave it, what queries do,
    and what white-box access to its float original adds. The lowest accuracies first.

    Args:
        table: the table `deployed`.
    """
    names, told = attack_displays(table), []
    clean = table[table["attack"] == CLEAN].set_index(["dataset", "model"])["int8_accuracy"]
    attacked = table[table["attack"] != CLEAN]
    groups: Any = attacked.groupby(["dataset", "model", "norm", "eps"], sort=False)
    for (dataset, model, norm, eps), rows in groups:
        own = rows[rows["made_for"] == ITSELF]
        if own.empty:
            continue
        worst = rows["worst"].min()
        text = (
            f"{model} ({dataset}), {budget_display(norm, eps)}: all attacks together leave its int8 model "
            f"{100 * worst:.1f} % of {rows['n'].max()} images, {100 * clean[dataset, model]:.1f} % without any. "
            f"Queries of the int8 model itself leave it {_listed(own, names)}. {_added(rows, own, names)}"
        )
        told.append((worst, text))
    told = [text for _, text in sorted(told, key=lambda one: one[0])]
    return [*told[:SHOWN], *([f"and {len(told) - SHOWN} more in tables/deployed.csv"] if len(told) > SHOWN else [])]


def _listed(own: pd.DataFrame, names: Any) -> str:
    """Every attack on the int8 model itself, such as `24.6 % (Square, 80 queries, 62 queries an image)`."""
    rows = records(own.sort_values("int8_accuracy", kind="stable"))
    return ", ".join(
        f"{100 * row.int8_accuracy:.1f} % ({names[row.attack]}; {row.queries:.0f} queries an image)" for row in rows
    )


def _added(rows: pd.DataFrame, own: pd.DataFrame, names: Any) -> str:
    """What images made by the gradients of a model with float weights add to the queries."""
    kinds, least, parts = registry.attacks(), own["int8_accuracy"].min(), []
    follows = rows["method"].map(lambda method: kinds[method].follows() == "gradients")
    for source, called in FLOAT.items():
        made = rows[follows & rows["made_for"].eq(source)]
        if made.empty:
            continue
        row = next(records(made.sort_values("int8_accuracy", kind="stable")))
        adds = f"adds {100 * (least - row.int8_accuracy):.1f} points" if row.int8_accuracy < least else "adds nothing"
        parts.append(
            f"Images made by the gradients of {called} leave it {100 * row.int8_accuracy:.1f} % "
            f"({names[row.attack]}): white-box access to that {adds}."
        )
    return " ".join(parts) or "No image was made by the gradients of a model with float weights."
