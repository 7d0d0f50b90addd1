"""Checks of a prepared data set; no torch."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from squeezeproof.audit.findings import EVERY, LISTED, Finding, judge, listed, not_applicable, remedy
from squeezeproof.audit.likeness import audit_likeness
from squeezeproof.errors import InputError
from squeezeproof.store.names import names_in
from squeezeproof.store.rows import part_slices
from squeezeproof.store.tensors import open_rows, verify
from squeezeproof.types import Key

# Share of test images that may be there twice, as a few are in many data sets.
REPEATED = 0.01


def audit_data(
    dataset: str, train: str | Path, validation: str | Path, test: str | Path, expected: int | None = None
) -> list[Finding]:
    """The findings of checks 20, 28, 29, 38, 39 and 40 on the splits of a data set, for all its cells.

    Args:
        dataset: its name.
        train, validation, test: paths of its prepared splits.
        expected: how many test images there should be, None where only the files tell.
    """
    digests = {path: list(_digests(path)) for path in (train, validation, test)}
    known, found = {*digests[train], *digests[validation]}, digests[test]
    seen = np.flatnonzero([digest in known for digest in found])
    _, first = np.unique(found, return_index=True)
    again = np.setdiff1d(np.arange(len(found)), first)
    names = names_in(test)
    trained = (
        f"{len(seen)} of {len(found)} test images are training or validation images, bit for bit "
        f"({listed(seen, names)}): what a model was trained on says nothing of other images; remove them from one side"
    )
    repeated = (
        f"{len(again)} of {len(found)} test images are there before ({listed(again, names)}): intervals count them as "
        f"images of their own and are too short; remove them"
    )
    key = (dataset, EVERY, EVERY, EVERY)
    return [
        judge(key, 20, len(seen), 0, trained),
        _in_two_classes(key, digests),
        judge(key, 29, len(again), REPEATED * len(found), repeated),
        *audit_likeness(dataset, train, test, seen),
        _complete(key, len(found), expected, test),
    ]


def _complete(key: Key, count: int, expected: int | None, test: str | Path) -> Finding:
    """Check 40: the split has as many test images as its data set, or the config, says."""
    if expected is None:
        return not_applicable(key, 40, "only the files tell how many there are; write test: to have it checked")
    message = f"there are {count} test images, and there should be {expected}; {remedy(test)}"
    return judge(key, 40, abs(count - expected), 0, message)


def _in_two_classes(key: Key, digests: Mapping[str | Path, Sequence[bytes]]) -> Finding:
    """The finding of check 28 on splits: path -> digest of each of its images."""
    classes = defaultdict(set)
    for path, found in digests.items():
        for digest, label in zip(found, open_rows(path, "labels")[:].tolist(), strict=True):
            classes[digest].add(label)
    count = sum(len(classes[digest]) > 1 for found in digests.values() for digest in found)
    pairs = sorted({tuple(sorted(labels)) for labels in classes.values() if len(labels) > 1})
    message = (
        f"{count} images are in another class too, bit for bit (classes "
        f"{'; '.join(' and '.join(map(str, pair)) for pair in pairs[:LISTED])}): no model is right on both; leave "
        f"each in one class"
    )
    return judge(key, 28, count, 0, message)


def _digests(path: str | Path) -> Iterator[bytes]:
    try:
        verify(path)
    except InputError as error:
        raise InputError(f"{error}; {remedy(path)}") from None
    images = open_rows(path, "images")
    for rows in part_slices(images) if len(images) else ():
        for image in images[rows]:
            yield hashlib.blake2b(image.tobytes(), digest_size=16).digest()
