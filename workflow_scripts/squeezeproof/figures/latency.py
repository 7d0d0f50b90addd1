"""How long an image takes on every back-end."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from squeezeproof.analysis.efficiency import BACKENDS, IN_MEMORY
from squeezeproof.analysis.names import MODEL, display_name, model_in_words
from squeezeproof.errors import NothingToShow
from squeezeproof.figures.style import COLORS
from squeezeproof.study.efficiency import timed_datasets
from squeezeproof.study.figures import Figure
from squeezeproof.tables.files import read_table

FIGURE = Figure(
    file="{dataset}/latency",
    each=lambda study: [{"dataset": dataset} for dataset in timed_datasets(study)],
    needs=lambda study, paths, names: {
        "efficiency": paths.table("efficiency"),
        "latency": paths.table("latency"),
    },
    caption=(
        "Median milliseconds for one image in memory, {dataset}; bars span the middle half of the samples. Compare "
        "within one back-end: the back-end matters more than the compression."
    ),
    subcategory="Efficiency",
    labels={"data set": "{dataset}", "figure": "latency"},
)
HATCHES = {"eager": "", "onnxruntime": "//", "onnxruntime-int8": "..", "litert": "xx"}


def draw(files: Any, names: Any, params: dict[str, Any]) -> plt.Figure:
    """See Figure."""
    return latency_bars(read_table(files.efficiency), read_table(files.latency), names.dataset)


def latency_bars(efficiency: pd.DataFrame, latency: pd.DataFrame, dataset: str) -> plt.Figure:
    """Median latency of one image in memory per model and back-end, with the quartiles; seeds are pooled by medians."""
    chosen = latency[(latency["dataset"] == dataset) & (latency["algorithm"] == IN_MEMORY)]
    chosen = chosen[chosen["threads"] == chosen["threads"].min()]
    table = chosen.merge(efficiency[["dataset", "model", *MODEL]], on=["dataset", "model"])
    if table.empty:
        raise NothingToShow(f"no model of {dataset} was timed; see efficiency.backends and efficiency.formats")
    columns = ["median_ms", "q25_ms", "q75_ms"]
    bars = table.groupby([*MODEL, "backend"], sort=False)[columns].median().reset_index()
    bars["label"] = [model_in_words(*row) for row in bars[MODEL].itertuples(index=False)]
    labels = list(dict.fromkeys(bars.sort_values(MODEL, key=_none_first, kind="stable")["label"]))
    backends = [backend for backend in BACKENDS if backend in set(bars["backend"])]
    height = 0.8 / min(2, len(backends))
    figure, axes = plt.subplots(figsize=(7.5, 1.5 + 0.4 * len(labels)), layout="constrained")
    for index, backend in enumerate(backends):
        rows = bars[bars["backend"] == backend]
        # The bars of a model that is timed on fewer back-ends lie around its name too.
        own = [list(bars.loc[bars["label"] == label, "backend"]) for label in rows["label"]]
        offsets = [[name for name in backends if name in names].index(backend) - (len(names) - 1) / 2 for names in own]
        places = [labels.index(label) + height * offset for label, offset in zip(rows["label"], offsets, strict=True)]
        spread = [rows["median_ms"] - rows["q25_ms"], rows["q75_ms"] - rows["median_ms"]]
        axes.barh(
            places, rows["median_ms"], height, xerr=spread, color=COLORS[index], hatch=HATCHES[backend], label=backend,
            edgecolor="white", error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": "#222222"},
        )  # fmt: skip
    axes.set_yticks(range(len(labels)), labels)
    # A share of the height, as by default, would be many rows of a figure of many models.
    axes.set_ylim(len(labels) - 0.3, -0.7)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"milliseconds for one image in memory,\nmedian and quartiles, {_threads(chosen)}")
    figure.suptitle(
        f"{display_name(dataset)}: latency on {chosen['machine_cpu'].iloc[0]}", x=0.01, ha="left", fontsize=10
    )
    figure.legend(loc="outside lower right", ncols=len(backends))
    return figure


def _none_first(column: pd.Series) -> pd.Series:
    return column.replace({"none": ""}) if column.dtype == object or str(column.dtype) == "str" else column


def _threads(table: pd.DataFrame) -> str:
    count = int(table["threads"].iloc[0])
    return "one thread" if count == 1 else f"{count} threads"
