"""Checks 35 and 37: a compressed model still has what its pruning left and took, and the weights it was made of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from squeezeproof.audit.findings import EVERY, Finding, judge, listed, not_applicable
from squeezeproof.audit.models import MASK
from squeezeproof.store.tensors import open_tensors

# Cosine of the angle between the weights of two models, and of how many: of unrelated ones it differs from 0 by about
# 1 / sqrt(count).
RELATED, LEAST_WEIGHTS = 0.2, 500


def audit_masks(dataset: str, model: str, path: str | Path) -> list[Finding]:
    """The finding of check 35 on a checkpoint with pruning masks, none on another: weights that were pruned are 0."""
    back = {}
    with open_tensors(path) as opened:
        names = set(opened.keys())
        for mask in sorted(name for name in names if name.startswith(MASK)):
            name = mask.removeprefix(MASK)
            if name in names:
                back[name] = int(np.count_nonzero(opened.get_tensor(name)[~opened.get_tensor(mask).astype(bool)]))
    if not back:
        return []
    grown = [name for name, count in back.items() if count]
    message = (
        f"{sum(back.values())} weights that were pruned are not 0 ({listed(range(len(grown)), grown)}): what trained "
        f"it since then lost its masks, and it is denser than it says; make it again"
    )
    return [judge((dataset, EVERY, model, EVERY), 35, sum(back.values()), 0, message)]


def audit_kin(
    dataset: str, model: str, metadata: Mapping[str, Any], path: str | Path, parent: str | Path | None
) -> list[Finding]:
    """The finding of check 37 on the checkpoint of a compressed model, none on another.

    Args:
        metadata: of the checkpoint, with the settings of its `compression`.
        path, parent: of the checkpoints of the model and of what it was made of; None for one that is not there.

    Fine-tuned weights stay near those that they were. It is about arrays of the same shape, and about no model that was
    trained from its initial weights or elsewhere.
    """
    settings = metadata.get("compression") or {}
    if parent is None:
        return []
    key = (dataset, EVERY, model, EVERY)
    if settings.get("rewind") or settings.get("start") == "scratch" or settings.get("method") == "external":
        return [not_applicable(key, 37, "it was trained from its initial weights, or elsewhere")]
    sums, count = np.zeros(3), 0
    with open_tensors(path) as own, open_tensors(parent) as other:
        for name in sorted(set(own.keys()) & set(other.keys())):
            first, second = own.get_tensor(name), other.get_tensor(name)
            if first.shape == second.shape and first.ndim > 1 and np.issubdtype(first.dtype, np.floating):
                kept = first != 0
                first, second = first[kept].astype(np.float64), second[kept].astype(np.float64)
                sums += first @ second, first @ first, second @ second
                count += len(first)
    if count < LEAST_WEIGHTS:
        return [not_applicable(key, 37, f"fewer than {LEAST_WEIGHTS} weights lie in arrays of its base's shapes")]
    cosine = float(sums[0] / np.sqrt(sums[1] * sums[2]))
    message = (
        f"its weights have nothing to do with those of the model that it was made of (cosine {cosine:.2g}): it was "
        f"trained from other weights, and says nothing about compressing that one; make it again"
    )
    return [judge(key, 37, cosine, RELATED, message)]
