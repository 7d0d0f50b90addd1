"""Predictions: the labels that one target gives to the clean test split and to every set of one source."""

import numpy as np

from squeezeproof.store.tensors import open_tensors, read_metadata, write_tensors

KIND = "predictions"
CLEAN = "clean"
# The predicted label of an example that is left out of an attack's accuracy.
NOT_SCORED = -1


def save_predictions(path, labels, predictions, names, attacks, checkpoint, split):
    """Write predicted labels per example.

    Args:
        labels: true labels int64 [N].
        predictions: `clean` and attack instance name -> predicted labels int64 [N].
        names: has the attributes `dataset`, `target` and `source`.
        attacks: attack instance name -> its settings.
        checkpoint: metadata of the target's checkpoint.
        split: metadata of the test split.
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
    }
    write_tensors(path, {"labels": labels.numpy().astype(np.int32), **arrays}, metadata)


def read_predictions(path):
    """(labels [N], prediction name -> labels [N], metadata) of a predictions file, as numpy arrays."""
    metadata = read_metadata(path, KIND)
    with open_tensors(path, names=["labels"]) as opened:
        arrays = {name: opened.get_tensor(name) for name in sorted(opened.keys())}
    labels = arrays.pop("labels")
    return labels, {name.removeprefix("prediction:"): values for name, values in arrays.items()}, metadata
