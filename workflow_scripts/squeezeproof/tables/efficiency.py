"""The tables of what models cost: sizes, exported files, latencies. No torch and no model in memory."""

import pandas as pd

from squeezeproof.analysis.names import MODEL

SIZES = ["parameters", "nonzeros", "macs", "bytes", "packed_bytes"]
RUN = ["model", "backend", "threads", "algorithm"]
IN_MEMORY = "in memory"
# Ending of an exported file -> how its columns start.
FORMATS = {"onnx": "onnx", "pt2": "torch_export", "int8.onnx": "int8"}
# Back-end -> column of its latency.
BACKENDS = {"eager": "eager_ms", "onnxruntime": "onnxruntime_ms", "onnxruntime-int8": "int8_ms"}
EFFICIENCY = [
    "dataset", "model", *MODEL, "seed", *SIZES, *(f"{form}_bytes" for form in FORMATS.values()), "accuracy",
    "onnx_agreement", "torch_export_agreement", "int8_agreement", "int8_accuracy", "int8_layers",
    "int8_integer_layers", *BACKENDS.values(),
]  # fmt: skip
STATISTICS = ["mean_ms", "std_ms", "median_ms", "q25_ms", "q75_ms", "iqr_ms", "cpu_median_ms"]
MACHINE = ["cpu", "cores", "gpu", "system", "python", "torch", "onnxruntime"]
LATENCY = ["dataset", *RUN, "rounds", "samples", *STATISTICS, *(f"machine_{key}" for key in MACHINE)]


def latency_table(times, machines):
    """One row per model, back-end, number of threads and algorithm: milliseconds per image over all samples and rounds.

    Args:
        times: data set -> raw times, a table with the columns of `deployment.latency`.
        machines: data set -> the machine that was timed.

    `std` is that of single samples (empty for one), `iqr` the difference of the quartiles `q25` and `q75`.
    """
    rows = []
    for dataset, table in times.items():
        machine = {f"machine_{key}": machines[dataset][key] for key in MACHINE}
        for run, samples in table.groupby(RUN, sort=False):
            wall = samples["wall_ms"]
            low, middle, high = wall.quantile([0.25, 0.5, 0.75])
            values = [wall.mean(), wall.std(), middle, low, high, high - low, samples["cpu_ms"].median()]
            counts = {"rounds": samples["round"].nunique(), "samples": len(wall)}
            statistics = dict(zip(STATISTICS, values, strict=True))
            rows.append({"dataset": dataset, **dict(zip(RUN, run, strict=True)), **counts, **statistics, **machine})
    table = pd.DataFrame(rows, columns=LATENCY)
    return table.sort_values(["dataset", *RUN], kind="stable", ignore_index=True)


def efficiency_table(descriptions, sizes, exports, clean_accuracy, latency):
    """One row per deployed model; what was not exported, timed or evaluated is empty.

    Args:
        descriptions: of the models (`Study.describe`).
        sizes: of each model, as `models.measure.measure` returns them.
        exports: (data set, model, ending) -> facts of that file, with its `file_bytes`.
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
        row = {"dataset": key[0], "model": key[1], **{axis: description[axis] for axis in [*MODEL, "seed"]}}
        row |= {name: size[name] for name in SIZES} | {"accuracy": accuracies.get(key)}
        for ending, form in FORMATS.items():
            facts = exports.get((*key, ending), {})
            row |= {f"{form}_bytes": facts.get("file_bytes"), f"{form}_agreement": facts.get("agreement")}
        facts = exports.get((*key, "int8.onnx"), {})
        row |= {f"int8_{name}": facts.get(name) for name in ("accuracy", "layers", "integer_layers")}
        row |= {column: medians.get((*key, backend)) for backend, column in BACKENDS.items()}
        rows.append(row)
    table = pd.DataFrame(rows, columns=EFFICIENCY)
    counts = [column for column in EFFICIENCY if column.endswith(("_bytes", "layers"))]
    table = table.astype(dict.fromkeys(counts, "Int64"))
    return table.sort_values(["dataset", "model"], kind="stable", ignore_index=True)
