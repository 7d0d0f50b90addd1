"""Predictions: the labels that one target gives to the clean test split and to every set of one source."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import AGAIN, read_arrays, read_metadata, write_tensors
from squeezeproof.types import PairNames

if TYPE_CHECKING:
    from torch import Tensor

KIND = "predictions"
TEXTS = ("dataset", "target", "source", "clean_fingerprint", "target_fingerprint")
METADATA = {**dict.fromkeys(TEXTS, str), "attacks": dict, "classes": list}
CLEAN = "clean"
# The predicted label of an example that is left out of an attack's accuracy.
NOT_SCORED = -1


def save_predictions(
    path: str | Path,
    labels: "Tensor",
    predictions: "dict[str, Tensor]",
    names: PairNames,
    attacks: dict[str, dict[str, Any]],
    checkpoint: dict[str, Any],
    split: dict[str, Any],
    **metadata: Any,
) -> None:
    """Write predicted labels per example.

    Args:
        labels: true labels int64 [N].
        predictions: `clean` and attack instance name -> predicted labels int64 [N].
        names: has the attributes `dataset`, `target` and `source`.
        attacks: attack instance name -> its settings and `entry`, the study's entry of `attacks` that it comes from.
        checkpoint: metadata of the target's checkpoint.
        split: metadata of the test split.
        metadata: further JSON metadata.
    """
    arrays = {f"prediction:{name}": values.numpy().astype(np.int32) for name, values in predictions.items()}
    metadata = {
        "kind": KIND,
        "dataset": names.dataset,
        "target": names.target,
        "source": names.source,
        "attacks": attacks,
        "target_fingerprint": checkpoint["fingerprint"],
        "clean_fingerprint": split["fingerprint"],
        "classes": split["classes"],
        **metadata,
    }
    write_tensors(path, {"labels": labels.numpy().astype(np.int32), **arrays}, metadata)


def read_predictions(path: str | Path) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """(labels [N], prediction name -> labels [N], metadata) of a predictions file, as numpy arrays.

    Raises InputError where it is truncated or altered, or is short of what a predictions file has.
    """
    metadata = read_metadata(path, KIND, METADATA)
    arrays = read_arrays(path)
    if missing := [name for name in ("labels", f"prediction:{CLEAN}") if name not in arrays]:
        raise InputError(f"{path}: has no {', '.join(missing)}; it holds {', '.join(sorted(arrays))}")
    labels = arrays.pop("labels")
    if any(values.ndim != 1 or values.shape != labels.shape for values in arrays.values()):
        raise InputError(f"{path}: does not hold one label per example; {AGAIN}")
    return labels, {name.removeprefix("prediction:"): values for name, values in arrays.items()}, metadata
