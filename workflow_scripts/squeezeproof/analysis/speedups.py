"""How much faster compressed models are than their bases and controls, from the rounds in which all took turns."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from squeezeproof.analysis.efficiency import RUN
from squeezeproof.analysis.names import axes_of, by_name
from squeezeproof.analysis.pairs import references
from squeezeproof.study.efficiency import FLOAT, INTEGER
from squeezeproof.tables.catalog.costs import SPEEDUPS
from squeezeproof.types import Described

# Back-end of a compressed model -> that of its reference, where they differ.
REFERENCE_BACKEND = {INTEGER: FLOAT}


def speedups(times: Mapping[str, pd.DataFrame], descriptions: Iterable[Described], alpha: float) -> pd.DataFrame:
    """One row per compressed model, reference, back-end, number of threads and algorithm.

    `speedup` is the geometric mean over the rounds of the ratio of both models' medians in a round, `low` and `high`
    Student's interval of it, on the logarithms. An int8 model is compared with the float reference in ONNX Runtime.

    Args:
        times: data set -> raw times, a table with the columns of `deployment.latency`.
        descriptions: of the timed models (`Study.describe`).
        alpha: one minus the level of the intervals.
    """
    medians: dict[tuple[Any, ...], pd.Series] = {}
    for dataset, table in times.items():
        groups: Any = table.groupby(RUN, sort=False)
        medians |= {(dataset, *run): samples.groupby("round")["wall_ms"].median() for run, samples in groups}
    described = by_name(descriptions)
    rows = []
    for (dataset, name, backend, *run), theirs in medians.items():
        model = described[dataset, name]
        for against, reference in references(model):
            other = REFERENCE_BACKEND.get(backend, backend)
            own = medians.get((dataset, reference, other, *run))
            if own is not None:
                rows.append(
                    {
                        **{"dataset": dataset, **dict(zip(RUN, (name, backend, *run), strict=True)), **axes_of(model)},
                        **{"against": against, "reference": reference, "reference_backend": other},
                        **_ratio(own / theirs, alpha),
                    }
                )
    table = SPEEDUPS.frame(rows)
    return table.sort_values(["dataset", "model", "against", *RUN[1:]], kind="stable", ignore_index=True)


def _ratio(ratios: pd.Series, alpha: float) -> dict[str, Any]:
    """The geometric mean of ratios, one a round, and its interval; a single round has none."""
    logarithms = np.log(ratios.to_numpy(float))
    count, middle = len(logarithms), logarithms.mean()
    half = stats.t.ppf(1 - alpha / 2, count - 1) * stats.sem(logarithms) if count > 1 else np.nan
    return {
        **{"rounds": count, "speedup": np.exp(middle)},
        **{"low": np.exp(middle - half), "high": np.exp(middle + half)},
    }
