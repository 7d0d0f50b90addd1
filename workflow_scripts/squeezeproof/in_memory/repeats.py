"""Images that are given to `check` several times: each counts once, as a repeated image is no further evidence."""

import hashlib
from collections import defaultdict

import numpy as np
import torch

from squeezeproof.audit.data import REPEATED
from squeezeproof.audit.findings import EVERY, LISTED, Finding, judge, listed
from squeezeproof.errors import InputError


def distinct(images: torch.Tensor, labels: torch.Tensor, dataset: str) -> tuple[torch.Tensor, list[Finding]]:
    """(indices int64 of the first of every image, in order; the findings of checks 28 and 29).

    Args:
        images: [N, C, H, W] on the CPU, compared bit for bit; as floats, 0 and -0 are one.
        labels: int64 [N].
        dataset: stands for a data set's name in the findings.

    Raises InputError where an image has two labels.
    """
    # Adding 0 turns -0.0 into 0.0.
    digests = [hashlib.blake2b((image + 0).numpy().tobytes(), digest_size=16).digest() for image in images]
    _refuse_two_labels(digests, labels.tolist())
    first = np.sort(np.unique(digests, return_index=True)[1])
    again = np.setdiff1d(np.arange(len(digests)), first)
    message = (
        f"{len(again)} of {len(digests)} images are there before ({listed(again)}), bit for bit: each of the "
        f"{len(first)} distinct ones counts once; give other images in their place"
    )
    key = (dataset, EVERY, EVERY, EVERY)
    findings = [judge(key, 28, 0, 0, ""), judge(key, 29, len(again), REPEATED * len(digests), message)]
    return torch.from_numpy(first), findings


def _refuse_two_labels(digests: list[bytes], labels: list[int]) -> None:
    classes = defaultdict(set)
    for digest, label in zip(digests, labels, strict=True):
        classes[digest].add(label)
    if count := sum(len(classes[digest]) > 1 for digest in digests):
        pairs = sorted({tuple(sorted(found)) for found in classes.values() if len(found) > 1})
        shown = "; ".join(" and ".join(map(str, pair)) for pair in pairs[:LISTED])
        raise InputError(
            f"labels: {count} of {len(digests)} images are there with another label too, bit for bit (classes {shown}"
            f"{'; ...' if len(pairs) > LISTED else ''}): no model is right on both; give each with one label"
        )
