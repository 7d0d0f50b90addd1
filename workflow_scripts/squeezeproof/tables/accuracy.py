"""The study's tables, computed from stored predictions and checkpoint metadata; no model and no torch in memory.

Accuracies are in [0, 1]. `low` and `high` bound the 95 % Wilson interval over the test examples of one seed; `std` is
the standard deviation over seeds (empty for one seed).
"""

import pandas as pd

from squeezeproof.analysis.names import MODEL
from squeezeproof.audit.findings import NOTHING_FOUND
from squeezeproof.errors import InputError
from squeezeproof.statistics.intervals import wilson
from squeezeproof.store import adversarial
from squeezeproof.store.csvs import writing_csv
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, read_predictions
from squeezeproof.store.tensors import open_tensors, read_metadata
from squeezeproof.tables.frames import read_csv

TARGET = [f"target_{axis}" for axis in MODEL]
SOURCE = [f"source_{axis}" for axis in MODEL]
ATTACK = ["attack", "method", "norm", "eps"]
# In the place of an attack's settings for the clean images.
UNATTACKED = {"method": CLEAN, "norm": "", "eps": 0.0}


def read_cells(paths, descriptions, audit=NOTHING_FOUND):
    """One row per (target, source, attack) with the number of correct predictions, clean rows included.

    Args:
        paths: predictions files.
        descriptions: of every model they name (`Study.describe`).
        audit: the Audit of the study; cells that failed are left out, `warnings` has the checks that warn of others.

    Raises InputError where two evaluations of one model disagree on the clean images: the model would not be
    deterministic, or the files of two runs are mixed.
    """
    models = {(description["dataset"], description["name"]): description for description in descriptions}
    rows, clean = [], {}
    for path in sorted(map(str, paths)):
        labels, predictions, metadata = read_predictions(path)
        dataset = metadata["dataset"]
        target, source = models[dataset, metadata["target"]], models[dataset, metadata["source"]]
        pair = (dataset, source["name"], target["name"])
        if audit.failed(*pair, CLEAN):
            continue
        key = (dataset, target["name"])
        if (clean.setdefault(key, predictions[CLEAN]) != predictions[CLEAN]).any():
            raise InputError(
                f"{path}: clean predictions of {target['name']} differ from those of its other evaluations"
            )
        for name, predicted in predictions.items():
            if audit.failed(*pair, name):
                continue
            settings = metadata["attacks"].get(name, UNATTACKED)
            rows.append(
                {
                    "dataset": dataset,
                    "target": target["name"],
                    "target_base": target["base"],
                    "target_seed": target["seed"],
                    **{f"target_{axis}": target[axis] for axis in MODEL},
                    "source": source["name"],
                    "source_seed": source["seed"],
                    **{f"source_{axis}": source[axis] for axis in MODEL},
                    "threat": "white-box" if target["name"] == source["name"] else "transfer",
                    "attack": name,
                    **{key: settings[key] for key in ("method", "norm", "eps")},
                    "n": int((predicted != NOT_SCORED).sum()),
                    "correct": int((predicted == labels).sum()),
                    "warnings": audit.warnings(*pair, name),
                }
            )
    if not rows:
        raise InputError("every cell failed the audit; tables/audit.csv says why and what to do")
    cells = pd.DataFrame(rows)
    cells["accuracy"] = cells["correct"] / cells["n"]
    cells["low"], cells["high"] = wilson(cells["correct"], cells["n"])
    return cells.sort_values(["dataset", "source", "target", "attack"], kind="stable").reset_index(drop=True)


def clean_accuracy(cells):
    """One row per model: accuracy on the clean test images."""
    clean = cells[cells["attack"] == CLEAN].drop_duplicates(["dataset", "target"])
    columns = {f"target_{axis}": axis for axis in [*MODEL, "seed"]} | {"target": "model"}
    keep = ["dataset", "model", *MODEL, "seed", "n", "correct", "accuracy", "low", "high"]
    return clean.rename(columns=columns)[keep].sort_values(["dataset", "model"]).reset_index(drop=True)


def robust_accuracy(cells):
    """One row per (source, target, attack at one eps): accuracy of the target on the source's adversarial images."""
    keep = ["dataset", "source", "target", "threat", *ATTACK, "n", "correct", "accuracy", "low", "high", "warnings"]
    return cells.loc[cells["attack"] != CLEAN, keep].reset_index(drop=True)


def over_seeds(cells):
    """Mean accuracy over seeds and its spread, for the clean images and every attack; seeds of one relation together.

    `seeds` tells whether source and target share their seed (`same`) or not (`other`: a surrogate); `runs` counts the
    (source, target) pairs of a row. Clean images have one row per model, which is then also the source, and one run per
    seed.
    """
    clean = cells[cells["attack"] == CLEAN].drop_duplicates(["dataset", "target"])
    clean = clean.assign(threat=CLEAN, source_seed=clean["target_seed"])
    clean = clean.assign(**{source: clean[target] for source, target in zip(SOURCE, TARGET, strict=True)})
    cells = pd.concat([clean, cells[cells["attack"] != CLEAN]], ignore_index=True)
    cells = cells.assign(seeds=(cells["source_seed"] == cells["target_seed"]).map({True: "same", False: "other"}))
    keys = ["dataset", *SOURCE, *TARGET, "threat", "seeds", *ATTACK]
    grouped = cells.groupby(keys, sort=False, dropna=False)["accuracy"]
    means = grouped.agg(runs="count", mean="mean", std="std", min="min", max="max").reset_index()
    return _bases_first(means, keys)


def differences(cells):
    """Base minus compressed accuracy, under the attacks of the same source and, white-box, each under its own.

    One row per compressed target, source and attack for which the base was scored too; positive where compression
    lost accuracy.
    """
    compressed = cells[cells["target_compression"] != "none"]
    base = cells[cells["target_compression"] == "none"]
    values = base[["dataset", "target", "source", "attack", "accuracy"]].rename(
        columns={"target": "target_base", "accuracy": "base_accuracy"}
    )
    same_source = compressed.merge(values, on=["dataset", "target_base", "source", "attack"])
    own = values[values["source"] == values["target_base"]].drop(columns="source")
    white_box = compressed[compressed["threat"] == "white-box"].merge(own, on=["dataset", "target_base", "attack"])
    rows = pd.concat(
        [same_source.assign(comparison="same-source"), white_box.assign(comparison="white-box")], ignore_index=True
    )
    rows["difference"] = rows["base_accuracy"] - rows["accuracy"]
    keep = ["dataset", "target", "target_base", "source", "comparison", *ATTACK, "n"]
    keep += ["base_accuracy", "accuracy", "difference"]
    return rows[keep].rename(columns={"accuracy": "compressed_accuracy"}).sort_values(keep[:6]).reset_index(drop=True)


def compression_table(descriptions, checkpoints):
    """Asked ratio or bits and achieved sizes of every model; `bits` are of a weight, `activation_bits` of an input.

    Args:
        descriptions: of the models (`Study.describe`), in the order of `checkpoints`.
        checkpoints: paths of their files.
    """
    rows = []
    for description, path in zip(descriptions, checkpoints, strict=True):
        metadata = read_metadata(path, "model")
        size, dense = metadata["size"], metadata["dense"]
        asked = metadata.get("compression", {})
        rows.append(
            {
                "dataset": description["dataset"],
                "model": description["name"],
                **{axis: description[axis] for axis in [*MODEL, "seed"]},
                "activation_bits": asked.get("activation_bits") or description["bits"],
                "measure": asked.get("measure", _measure(asked)),
                **{f"{key}_removed": 1 - size[key] / dense[key] for key in ("channels", "parameters", "macs")},
                "sparsity": 1 - size["nonzeros"] / size["parameters"],
                **{key: size[key] for key in ("channels", "parameters", "nonzeros", "macs", "bytes", "packed_bytes")},
                "filters": _filters(path),
            }
        )
    return pd.DataFrame(rows).sort_values(["dataset", "model"]).reset_index(drop=True)


def _measure(asked):
    """What the ratio of a compression without a setting of that name counts."""
    return "bits" if "bits" in asked else "weights" if asked else ""


def _filters(path):
    """Filters of every convolution of a checkpoint, in the order of their names, such as `32-64-64`."""
    with open_tensors(path) as opened:
        shapes = {name: opened.get_slice(name).get_shape() for name in sorted(opened.keys())}
    weights = [shape for name, shape in shapes.items() if name.startswith("network.") and name.endswith(".weight")]
    return "-".join(str(shape[0]) for shape in weights if len(shape) == 4)


def crafting_table(paths):
    """What every adversarial set cost and achieved on its own source; seconds differ from run to run.

    `float_successes` counts, for sets of 8-bit images, the examples that fooled the source before they were rounded.
    """
    rows = []
    for metadata in map(_set_metadata, sorted(map(str, paths))):
        settings = metadata["settings"]
        rows.append(
            {
                **{key: metadata[key] for key in ("dataset", "source", "attack")},
                **{key: settings[key] for key in ("method", "norm", "eps", "stop_on_success", "stored")},
                **{key: metadata[key] for key in ("successes", "forwards_per_example", "backwards_per_example")},
                "zero_gradients": metadata["zero_gradients"],
                "float_successes": metadata.get("float_successes"),
                "queries": metadata.get("queries"),
                "seconds": round(metadata["seconds"], 3),
                "device": metadata["device"],
            }
        )
    return pd.DataFrame(rows).astype({"float_successes": "Int64", "queries": "Int64"})


def stages_table(paths, audit=NOTHING_FOUND):
    """The cumulative robust accuracy of every suite on its own source, one row per attack of the sequence.

    Suites that failed the audit are left out.
    """
    rows = []
    for metadata in map(_set_metadata, sorted(map(str, paths))):
        if audit.failed(metadata["dataset"], metadata["source"], metadata["source"], metadata["attack"]):
            continue
        for order, stage in enumerate(metadata["stages"], start=1):
            rows.append(
                {
                    **{key: metadata[key] for key in ("dataset", "source", "attack")},
                    "order": order,
                    **{key: stage[key] for key in ("method", "loss", "attacked", "standing")},
                    "n": metadata["n"],
                    "accuracy": stage["standing"] / metadata["n"],
                }
            )
    return pd.DataFrame(rows)


def _set_metadata(path):
    return read_metadata(path, adversarial.KIND)


def _bases_first(table, keys):
    """The table sorted by its keys, uncompressed models before compressed ones and clean images before attacks."""
    return table.sort_values(
        keys, kind="stable", key=lambda column: column.replace({"none": "", CLEAN: ""}), ignore_index=True
    )


def read_over_seeds(path):
    """The table `over_seeds` as it was written: empty names stay empty, only missing `std` and `eps` are no numbers."""
    return read_csv(path, keep_default_na=False, na_values={"std": [""], "eps": [""]})


def write_csv(path, table):
    """CSV with accuracies to six decimals."""
    with writing_csv(path) as file:
        table.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")
