"""Checks of a prepared data set; no torch."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from squeezeproof.audit.findings import EVERY, Finding, judge, listed, remedy
from squeezeproof.errors import InputError
from squeezeproof.store.rows import part_slices
from squeezeproof.store.tensors import open_rows, verify

# Share of test images that may be there twice, as a few are in many data sets.
REPEATED = 0.01


def audit_data(dataset: str, train: str | Path, validation: str | Path, test: str | Path) -> list[Finding]:
    """The finding of check 20 on the splits of a data set, for all its cells.

    Args:
        dataset: its name.
        train, validation, test: paths of its prepared splits.
    """
    known = {digest for path in (train, validation) for digest in _digests(path)}
    found = list(_digests(test))
    seen = np.flatnonzero([digest in known for digest in found])
    _, first = np.unique(found, return_index=True)
    again = np.setdiff1d(np.arange(len(found)), first)
    told = [
        f"{len(seen)} of {len(found)} test images are training or validation images, bit for bit ({listed(seen)}): "
        f"what a model was trained on says nothing of other images; remove them from one side"
    ] * (len(seen) > 0)
    told += [
        f"{len(again)} of {len(found)} test images are there before ({listed(again)}): intervals count them as images "
        f"of their own and are too short; remove them"
    ] * (len(again) > REPEATED * len(found))
    return [judge((dataset, EVERY, EVERY, EVERY), 20, len(seen) + len(again), 0, "; ".join(told), bad=bool(told))]


def _digests(path: str | Path) -> Iterator[bytes]:
    try:
        verify(path)
    except InputError as error:
        raise InputError(f"{error}; {remedy(path)}") from None
    images = open_rows(path, "images")
    for rows in part_slices(images) if len(images) else ():
        for image in images[rows]:
            yield hashlib.blake2b(image.tobytes(), digest_size=16).digest()
