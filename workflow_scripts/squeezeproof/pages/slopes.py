"""Which slope in the place of rounding's let suites break most of quantized models, in words."""

import pandas as pd

from squeezeproof.analysis.names import FLOAT_BITS


def slopes(stages: pd.DataFrame, models: pd.DataFrame) -> list[str]:
    """A sentence for every quantized model and suite that tries several slopes.

    Args:
        stages, models: the tables `stages` and `compression`.
    """
    bits = models.set_index(["dataset", "model"])["bits"]
    rows = stages[stages["gradient"] != ""].assign(broken=stages["attacked"] - stages["standing"])
    told = []
    for (dataset, source, attack), suite in rows.groupby(["dataset", "source", "attack"], sort=False):
        broken = suite.groupby("gradient", sort=False)["broken"].sum()
        if len(broken) < 2 or bits[dataset, source] == FLOAT_BITS:
            continue
        first, others = broken.index[0], broken.iloc[1:]
        counts = ", ".join(f"{slope} {count}" for slope, count in broken.items())
        worst = (
            f"{others.idxmax()} is the worst of the others, and finds what {first} does not"
            if others.max()
            else f"no slope finds more than {first}"
        )
        told.append(
            f"{source} ({dataset}) under {attack}: images broken with each slope, of what those before it left: "
            f"{counts}; {worst}."
        )
    return told
