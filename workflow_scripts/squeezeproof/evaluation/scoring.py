"""Labels that a model gives to the clean test split and to adversarial sets."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from squeezeproof.store.datasets import Tensors, open_set, open_split
from squeezeproof.store.kept import Kept, digest
from squeezeproof.store.predictions import CLEAN, NOT_SCORED
from squeezeproof.store.tensors import array_digests, read_arrays
from squeezeproof.types import SplitMetadata


def score(
    predict: Callable[[Tensors], Tensor],
    test: str | Path,
    sets: Iterable[str | Path],
    kept: Kept | None = None,
) -> tuple[Tensor, dict[str, Tensor], dict[str, dict[str, Any]], SplitMetadata, dict[str, Tensor], dict[str, str]]:
    """Score a model on everything that one source crafted.

    Args:
        predict: maps images [N, C, H, W], uint8 or float32 Tensors (store.datasets), to labels int64 [N].
        test: path of the prepared test split.
        sets: paths of adversarial sets of one source.
        kept: what the model said of some of them before.

    Returns (labels, predictions, attacks, split, targets, scored) as `store.predictions.save_predictions` takes them;
    an image of the class that a targeted attack is to reach is not scored. Raises InputError where a file cannot be
    read, or a set is of another split.
    """
    images, labels, split = open_split(test)

    def labels_of(path: str | Path, pixels: Tensors) -> Tensor:
        if kept is None:
            return predict(pixels)
        return torch.from_numpy(kept.find(digest(path), lambda: predict(pixels).numpy()))

    predictions, attacks, targets, scored = {CLEAN: labels_of(test, images)}, {}, {}, {}
    for path in sets:
        adversarial, metadata = open_set(path, split)
        predicted = labels_of(path, adversarial)
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
