"""The tables of what models cost: sizes, exported files, latencies. No torch and no model in memory."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import CONTROL, axes_of
from squeezeproof.entries.compressions.external import DEPLOYED
from squeezeproof.store import made_with
from squeezeproof.store.tensors import open_tensors, read_metadata
from squeezeproof.tables.catalog.costs import COMPRESSION, EFFICIENCY, LATENCY
from squeezeproof.types import Described, ModelMetadata

SIZES = ["parameters", "nonzeros", "macs", "bytes", "packed_bytes"]
RUN = ["model", "backend", "threads", "algorithm"]
IN_MEMORY = "in memory"
# Ending of an exported file -> how its columns start.
FORMATS = {"onnx": "onnx", "pt2": "torch_export", "int8.onnx": "int8"}
# Back-end -> column of its latency.
BACKENDS = {
    **{"eager": "eager_ms", "onnxruntime": "onnxruntime_ms", "onnxruntime-int8": "int8_ms"},
    "litert": "litert_ms",
}
MACHINE = ["cpu", "cores", "gpu", "system", "python", "torch", "onnxruntime"]
# Accuracy that the last projection of a converged ADMM may cost.
CONVERGED = 0.05
# How the warning of a model that equals another begins.
SAME = "the same model as"


def latency_table(times: Mapping[str, pd.DataFrame], machines: Mapping[str, dict[str, Any]]) -> pd.DataFrame:
    """One row per model, back-end, number of threads and algorithm: milliseconds per image over all samples and rounds.

    Args:
        times: data set -> raw times, a table with the columns of `deployment.latency`.
        machines: data set -> the machine that was timed.
    """
    rows = []
    for dataset, table in times.items():
        machine = {f"machine_{key}": machines[dataset][key] for key in MACHINE}
        groups: Any = table.groupby(RUN, sort=False)
        for run, samples in groups:
            wall = samples["wall_ms"]
            low, middle, high = wall.quantile([0.25, 0.5, 0.75])
            counts = {"rounds": samples["round"].nunique(), "samples": len(wall)}
            statistics = {"mean_ms": wall.mean(), "std_ms": wall.std(), "median_ms": middle, "q25_ms": low}
            statistics |= {"q75_ms": high, "cpu_median_ms": samples["cpu_ms"].median()}
            rows.append({"dataset": dataset, **dict(zip(RUN, run, strict=True)), **counts, **statistics, **machine})
    return LATENCY.frame(rows).sort_values(["dataset", *RUN], kind="stable", ignore_index=True)


def efficiency_table(
    descriptions: Iterable[Described],
    sizes: Iterable[dict[str, Any]],
    exports: Mapping[tuple[str, str, str], dict[str, Any]],
    clean_accuracy: pd.DataFrame,
    latency: pd.DataFrame,
) -> pd.DataFrame:
    """One row per deployed model; what was not exported, timed or evaluated is empty.

    Args:
        descriptions: of the models (`Study.describe`).
        sizes: of each model, as `models.measure.measure` returns them.
        exports: (data set, model, ending) -> metadata of that file, with its `file_bytes`.
        clean_accuracy: the table of that name.
        latency: of `latency_table`; the medians in memory with the fewest threads are taken.
    """
    accuracies = clean_accuracy.set_index(["dataset", "model"])["accuracy"].to_dict()
    single = latency[latency["algorithm"] == IN_MEMORY]
    single = single[single["threads"] == single["threads"].min()]
    medians = single.set_index(["dataset", "model", "backend"])["median_ms"].to_dict()
    rows = []
    for description, size in zip(descriptions, sizes, strict=True):
        key = (description["dataset"], description["name"])
        row = {"dataset": key[0], "model": key[1], **axes_of(description)}
        row |= {name: size[name] for name in SIZES} | {"accuracy": accuracies.get(key)}
        row["weight_bits"] = size["weight_bits"] / size["weights"] if size["weights"] else None
        for ending, form in FORMATS.items():
            metadata = exports.get((*key, ending), {})
            row |= {f"{form}_bytes": metadata.get("file_bytes"), f"{form}_agreement": metadata.get("agreement")}
        metadata = exports.get((*key, "int8.onnx"), {})
        row |= {f"int8_{name}": metadata.get(name) for name in ("accuracy", "layers", "integer_layers")}
        row |= {column: medians.get((*key, backend)) for backend, column in BACKENDS.items()}
        rows.append(row)
    table = EFFICIENCY.frame(rows)
    counts = [column for column in table if column.endswith(("_bytes", "layers"))]
    table = table.astype(dict.fromkeys(counts, "Int64"))
    return table.sort_values(["dataset", "model"], kind="stable", ignore_index=True)


def compression_table(descriptions: Iterable[Described], checkpoints: Iterable[str | Path]) -> pd.DataFrame:
    """What every compression was asked to remove, and the sizes that it achieved.

    `warning` says where a model is the same as another, bit for bit, and where ADMM had not converged.

    Args:
        descriptions: of the models (`Study.describe`), in the order of `checkpoints`.
        checkpoints: paths of their files.
    """
    rows, same = [], {}
    for description, path in zip(descriptions, checkpoints, strict=True):
        metadata: ModelMetadata = read_metadata(path, "model")
        first = same.setdefault((description["dataset"], metadata["fingerprint"]), description["name"])
        size, dense = metadata["size"], metadata["dense"]
        asked = metadata.get("compression", {})
        rows.append(
            {
                "dataset": description["dataset"],
                "model": description["name"],
                "variant": description["variant"],
                **axes_of(description),
                "activation_bits": _activation_bits(asked, description["bits"]),
                "measure": asked.get("measure", _measure(asked)),
                **{f"{key}_removed": _removed(size[key], dense[key]) for key in ("channels", "parameters", "macs")},
                **{key: size[key] for key in ("channels", "parameters", "nonzeros", "macs", "bytes", "packed_bytes")},
                "filters": _filters(path),
                "warning": "; ".join(_warnings(metadata, first, description["name"])),
                "made_with": made_with.recorded(metadata),
            }
        )
    return COMPRESSION.frame(rows).sort_values(["dataset", "model"], ignore_index=True)


def _warnings(metadata: ModelMetadata, first: str | None, name: str) -> Iterator[str]:
    """What is wrong with a model, given the first of the study that has its tensors."""
    if first != name:
        yield f"{SAME} {first}, bit for bit: one result under two names"
    projection = (metadata.get("finetuning") or {}).get("projection", {})
    before, after = (projection.get(f"{when}_accuracy") for when in ("unprojected", "projected"))
    if before is not None and before - after > CONVERGED:
        yield (
            f"ADMM had not converged: its last projection took the {projection['images']} accuracy from "
            f"{100 * before:.1f} to {100 * after:.1f} %; train for more epochs, or raise rho"
        )


def _removed(left: int, whole: int) -> float:
    """The share that is gone; none of the channels of a network without convolutions."""
    return 1 - left / whole if whole else 0.0


def _activation_bits(asked: dict[str, Any], bits: int) -> int | None:
    """Those that were asked for; a file that holds its network says nothing of them."""
    holds_network = str(asked.get("file", "")).endswith(DEPLOYED)
    return None if holds_network else asked.get("activation_bits") or bits


def _measure(asked: dict[str, Any]) -> str:
    """What the ratio of a compression without a setting of that name counts."""
    if asked.get("method") in (None, CONTROL):
        return ""
    return next((what for level, what in (("bits", "bits"), ("ratio", "weights")) if level in asked), "")


def _filters(path: str | Path) -> str:
    """Filters of every convolution of a checkpoint, in the order of their names, such as `32-64-64`."""
    with open_tensors(path) as opened:
        shapes = {name: opened.get_slice(name).get_shape() for name in sorted(opened.keys())}
    weights = [shape for name, shape in shapes.items() if name.startswith("network.") and name.endswith(".weight")]
    return "-".join(str(shape[0]) for shape in weights if len(shape) == 4)
