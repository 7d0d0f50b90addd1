"""A target is asked for some of its labels again before they are stored.

Labels come batch by batch, and those of an earlier run out of a file; a mistake there leaves everything else right.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.batches import in_batches
from squeezeproof.evaluation.given import IMAGES, digests
from squeezeproof.models.device import device_of
from squeezeproof.models.random_passes import IMAGES as TOLD_BY
from squeezeproof.models.random_passes import as_scored
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, SCORES
from squeezeproof.store.rows import evenly_spaced
from squeezeproof.store.tensors import fingerprint, open_rows, read_metadata
from squeezeproof.types import SetMetadata

# Share of the spread of an image's logits within which two labels are a tie, which another batch may decide.
TIE = 0.01


def ask_again(
    model: nn.Module,
    test: str | Path,
    sets: Iterable[str | Path],
    predictions: Mapping[str, torch.Tensor],
    batch_size: int | None = None,
    passes: int = 1,
    given: Mapping[str, np.ndarray] | None = None,
) -> dict[str, dict[str, Any]]:
    """For how many images of each set a target was `asked` again, to how many of them it gave an `other` label, and, if
    it is known what it was given, how many of them were `unlike` those of the file. Of the clean images also a digest
    of its logits, `scores`: two models may label all images alike, and hardly ever give them the same logits.

    Empty for a model whose passes differ, and that is scored by the mean of several: chance alone gives others.

    Args:
        model: maps pixels [N, C, H, W] in [0, 1] to logits [N, K], in eval mode.
        test: path of the prepared test split.
        sets: paths of the adversarial sets that were scored.
        predictions: `clean` and attack name -> labels [N], NOT_SCORED where there is none.
        batch_size: images in memory at a time; None for as many as fit.
        passes: as many as all attacks on it see the mean of, as `as_scored` takes it.
        given: what it was given (`evaluation.given.Given.found`).
    """
    if as_scored(model, torch.from_numpy(open_rows(test, "images")[:TOLD_BY]), passes) is not model:
        return {}
    images = {CLEAN: (test, "images")}
    for path in sets:
        metadata: SetMetadata = read_metadata(path)
        images[metadata["attack"]] = path, "adversarial"
    told = {name: _asked(model, *images[name], labels.numpy(), batch_size) for name, labels in predictions.items()}
    for name, seen in (given or {}).items():
        path, array = images[name]
        rows = evenly_spaced(len(predictions[name]), IMAGES)
        stored = digests(torch.from_numpy(open_rows(path, array)[rows]))
        told[name]["unlike"] = int((stored != seen).sum())
    return told


def _asked(
    model: nn.Module, path: str | Path, array: str, labels: np.ndarray, batch_size: int | None
) -> dict[str, Any]:
    rows = evenly_spaced(len(labels), IMAGES)
    rows = rows[labels[rows] != NOT_SCORED]
    if not len(rows):
        return {"asked": 0, "other": 0}
    images, stored = torch.from_numpy(open_rows(path, array)[rows]), torch.from_numpy(labels[rows].astype(np.int64))
    same, device, scores = torch.zeros(len(rows), dtype=torch.bool), device_of(model), []

    def compare(first: int, last: int) -> None:
        logits = model(to_pixels(images[first:last], device)).cpu()
        own = logits.gather(1, stored[first:last, None])[:, 0]
        same[first:last] = logits.amax(1) - own <= TIE * (logits.amax(1) - logits.amin(1))
        scores.append(logits.numpy())

    with torch.no_grad():
        in_batches(len(rows), batch_size, compare)
    # No label is that of logits that are no numbers.
    told = {"asked": len(rows), "other": int((~same).sum())}
    return told | ({SCORES: fingerprint(*scores)} if array == "images" else {})
