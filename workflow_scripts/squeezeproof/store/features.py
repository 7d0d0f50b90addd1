"""Layer features of the clean and the adversarial images of one class."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors
from squeezeproof.types import ModelMetadata, SplitMetadata

if TYPE_CHECKING:
    from torch import Tensor

KIND = "features"


def save_features(
    path: str | Path,
    indices: "Tensor",
    features: "dict[str, dict[str, Tensor]]",
    predictions: "dict[str, Tensor]",
    metadata: dict[str, Any],
    checkpoint: ModelMetadata,
    split: SplitMetadata,
) -> None:
    """Write features.

    Args:
        indices: int64 [N], the images' indices in the test split.
        features: `clean` and `adversarial` -> layer -> float32 [N, D].
        predictions: `clean` and `adversarial` -> the model's labels int64 [N].
        metadata: JSON metadata: the class, its `label`, the attack.
        checkpoint, split: metadata of the model's checkpoint and of the test split.
    """
    arrays = {"indices": indices.numpy().astype(np.int32)}
    for kind, layers in features.items():
        arrays[f"prediction:{kind}"] = predictions[kind].numpy().astype(np.int32)
        arrays |= {f"{kind}:{layer}": values.numpy() for layer, values in layers.items()}
    fingerprints = {"model_fingerprint": checkpoint["fingerprint"], "clean_fingerprint": split["fingerprint"]}
    write_tensors(path, arrays, {"kind": KIND, "layers": list(features["clean"]), **metadata, **fingerprints})


def read_features(
    path: str | Path,
) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]], dict[str, np.ndarray], dict[str, Any]]:
    """(indices [N], features, predictions, metadata) as `save_features` takes them, numpy arrays."""
    metadata, arrays = read_metadata(path, KIND), read_arrays(path)
    kinds = ("clean", "adversarial")
    features = {kind: {layer: arrays[f"{kind}:{layer}"] for layer in metadata["layers"]} for kind in kinds}
    return arrays["indices"], features, {kind: arrays[f"prediction:{kind}"] for kind in kinds}, metadata
