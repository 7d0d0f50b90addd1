"""Labels that a model gives to the clean test split and to adversarial sets."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from squeezeproof.evaluation.given import Given
from squeezeproof.store.datasets import Tensors, open_set, open_split
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.predictions import CLEAN, NOT_SCORED
from squeezeproof.store.tensors import array_digests, read_arrays
from squeezeproof.types import Images, SplitMetadata


def score(
    predict: Callable[[Images], Tensor],
    test: str | Path,
    sets: Iterable[str | Path],
    kept: Kept | None = None,
    given: Given | None = None,
) -> tuple[Tensor, dict[str, Tensor], dict[str, dict[str, Any]], SplitMetadata, dict[str, Tensor], dict[str, str]]:
    """Score a model on everything that one source crafted.

    Args:
        predict: maps images [N, C, H, W], uint8 or float32, read as needed, to labels int64 [N].
        test: path of the prepared test split.
        sets: paths of adversarial sets of one source.
        kept: what the model said of some of them before.
        given: which watches the model, to be asked for what `predict` gave it.

    Returns (labels, predictions, attacks, split, targets, scored) as `store.predictions.save_predictions` takes them;
    an image of the class that a targeted attack is to reach is not scored. Raises InputError where a file cannot be
    read, or a set is of another split.
    """
    images, labels, split = open_split(test)

    def labels_of(name: str, path: str | Path, pixels: Tensors) -> Tensor:
        def found() -> np.ndarray:
            if given is None:
                return predict(pixels).numpy()
            labels = predict(given.begin(pixels)).numpy()
            return np.concatenate([labels, given.digests])

        known = found() if kept is None else kept.find(digest(path), found)
        if given is not None:
            given.found[name] = known[len(pixels) :]
        return torch.from_numpy(known[: len(pixels)])

    predictions, attacks, targets, scored = {CLEAN: labels_of(CLEAN, test, images)}, {}, {}, {}
    for path in sets:
        adversarial, metadata = open_set(path, split)
        predicted = labels_of(metadata["attack"], path, adversarial)
        # The attacker has seen these images.
        predicted[: metadata.get("held_out", 0)] = NOT_SCORED
        attacks[metadata["attack"]] = {**metadata["settings"], "entry": metadata["entry"]}
        scored[metadata["attack"]] = f"{metadata['source_fingerprint']}:{array_digests(path)['adversarial']}"
        if metadata["settings"].get("targeted"):
            reach = targets[metadata["attack"]] = torch.from_numpy(read_arrays(path, ["targets"])["targets"])
            predicted[reach == labels] = NOT_SCORED
        if "failed" in metadata:
            predicted[:] = NOT_SCORED
            attacks[metadata["attack"]]["failed"] = metadata["failed"]
        predictions[metadata["attack"]] = predicted
    return labels, predictions, attacks, split, targets, scored
