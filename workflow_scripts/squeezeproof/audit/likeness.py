"""Checks 38 and 39: test images are like training images, but no copies of them; no torch.

A copy that was saved again, with loss, noise or another bit, has another digest. What else was done to one split alone
(levels of grey lost, compressed, resized otherwise, colours in another order) shows in numbers that every image has.
"""

from collections.abc import Iterator
from math import sqrt
from pathlib import Path

import numpy as np

from squeezeproof.audit.findings import EVERY, Finding, judge, listed, not_applicable
from squeezeproof.store.names import names_in
from squeezeproof.store.rows import evenly_spaced, part_slices
from squeezeproof.store.tensors import open_rows
from squeezeproof.types import Array, Key

# Images of a split that are looked at, evenly spaced: test images, and training images to compare with.
SAMPLE, COMPARED = 1000, 50_000
# Side of the thumbnails that tell copies.
SIDE = 8
# Of the distances of training images to the nearest of their kind, in the median of a class: what is nearer than this
# share of it is a copy. Of the test images of MNIST, Fashion-MNIST and CIFAR-10 as JPEG at most one in a thousand is.
COPY = 0.2
# Share of the test images that may be copies, and how many may be in any case.
COPIES, FEW = 0.01, 1
# How often an image of the test is ahead of one of the training by a number, away from one half; between the splits of
# the same three it is up to 0.08. Standard errors that it must exceed where there are few images.
APART, ERRORS = 0.35, 4.0
# A level of which there are fewer among the pixels is rare.
RARE, FLAT = 1e-5, 2
LEAST_SIDE = 3


def audit_likeness(dataset: str, train: str | Path, test: str | Path, same: np.ndarray) -> list[Finding]:
    """The findings of checks 38 and 39 on a data set, for all its cells.

    Args:
        dataset: its name.
        train, test: paths of its prepared splits.
        same: indices of the test images that are training images bit for bit, of which check 20 tells.
    """
    key = (dataset, EVERY, EVERY, EVERY)
    splits = [(open_rows(path, "images"), open_rows(path, "labels")[:]) for path in (train, test)]
    if min(len(labels) for _, labels in splits) < 2:
        return [not_applicable(key, check, "a split of fewer than two images") for check in (38, 39)]
    return [_copies(key, *splits, same, names_in(test)), _treated(key, *splits)]


def _copies(
    key: Key,
    trained: tuple[Array, np.ndarray],
    tested: tuple[Array, np.ndarray],
    same: np.ndarray,
    names: list[str],
) -> Finding:
    """Check 38: hardly a test image is much nearer to a training image than those of its class are to each other."""
    known, rows = evenly_spaced(len(trained[1]), COMPARED), evenly_spaced(len(tested[1]), SAMPLE)
    thumbnails, among = _thumbnails(trained[0], known), evenly_spaced(len(known), SAMPLE)
    own = _nearest(thumbnails[among], thumbnails, among)
    usual, labels = np.full(len(rows), np.median(own)), trained[1][known][among]
    for label in np.unique(labels):
        usual[tested[1][rows] == label] = np.median(own[labels == label])
    near = _nearest(_thumbnails(tested[0], rows), thumbnails) < COPY * usual
    copies = np.setdiff1d(rows[near], same)
    message = (
        f"{len(copies)} of {len(rows)} test images are nearly training images ({listed(copies, names)}): the same "
        f"pictures saved again, or frames of one scene; what a model was trained on says nothing of other images; "
        f"remove them from one side"
    )
    return judge(key, 38, len(copies), max(FEW, COPIES * len(rows)), message)


def _thumbnails(images: Array, rows: np.ndarray) -> np.ndarray:
    """Means of some images over SIDE x SIDE parts, less the mean of the image, float32 [n, D]."""
    found = []
    for part in _parts(images, rows):
        pixels = part.astype(np.float32)
        for axis in (2, 3):
            edges = np.linspace(0, pixels.shape[axis], min(SIDE, pixels.shape[axis]) + 1).astype(int)
            widths = np.diff(edges).reshape([-1 if place == axis else 1 for place in range(4)])
            pixels = np.add.reduceat(pixels, edges[:-1], axis=axis) / widths
        flat = pixels.reshape(len(pixels), -1)
        found.append(flat - flat.mean(1, keepdims=True))
    return np.concatenate(found)


def _parts(images: Array, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Some images, a part of them at a time."""
    for part in part_slices(images):
        if len(chosen := rows[(rows >= part.start) & (rows < part.stop)]):
            yield images[chosen]


def _nearest(points: np.ndarray, others: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Distance of each point [n, D] to the nearest of others [m, D], but for the one at its place in `own`."""
    found, squares = np.empty(len(points)), (others**2).sum(1)
    for first in range(0, len(points), 100):
        part = points[first : first + 100]
        distances = squares - 2 * part @ others.T + (part**2).sum(1)[:, None]
        if own is not None:
            distances[np.arange(len(part)), own[first : first + 100]] = np.inf
        found[first : first + 100] = np.sqrt(distances.min(1).clip(0))
    return found


def _treated(key: Key, trained: tuple[Array, np.ndarray], tested: tuple[Array, np.ndarray]) -> Finding:
    """Check 39: no single number of an image tells a test image from a training image of its class."""
    rows, known = evenly_spaced(len(tested[1]), SAMPLE), evenly_spaced(len(trained[1]), 2 * SAMPLE)
    # A level is rare by other training images than those that are compared.
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in _parts(trained[0], known[::2]))
    rare = np.asarray(counts) < RARE * np.sum(counts)
    known = known[1::2]
    first, second = _numbers(tested[0], rows, rare), _numbers(trained[0], known, rare)
    labels = tested[1][rows], trained[1][known]
    classes = np.intersect1d(*labels)
    sizes = [int(np.isin(each, classes).sum()) for each in labels]
    if not len(classes):
        return not_applicable(key, 39, "no class has images in both splits")
    ahead = {name: _ahead(first[name], second[name], labels, classes) for name in first}
    worst = max(ahead, key=lambda name: abs(ahead[name] - 0.5))
    limit = max(APART, ERRORS * sqrt(sum(1 / size for size in sizes) / 12))
    share = max(ahead[worst], 1 - ahead[worst])
    message = (
        f"{worst} alone tells test images from training images of their class in {share:.0%} of pairs: one split was "
        f"saved, resized or read otherwise than the other, or comes from elsewhere; prepare both in one way"
    )
    return judge(key, 39, abs(ahead[worst] - 0.5), limit, message)


def _numbers(images: Array, rows: np.ndarray, rare: np.ndarray) -> dict[str, np.ndarray]:
    """What tells how images were treated: name -> one number for each [n]."""
    found: dict[str, list[np.ndarray]] = {}
    for part in _parts(images, rows):
        pixels, count = part.astype(np.float32), len(part)
        spread = pixels.reshape(count, -1).std(1)
        told = {
            "brightness": pixels.reshape(count, -1).mean(1),
            "contrast": spread,
            "the number of levels": np.array([len(np.unique(image)) for image in part]),
            "the share of levels that are rare in training": rare[part].reshape(count, -1).mean(1),
        }
        if min(part.shape[2:]) >= LEAST_SIDE:
            inner = 4 * pixels[:, :, 1:-1, 1:-1]
            for beside in ((slice(0, -2), slice(1, -1)), (slice(2, None), slice(1, -1))):
                inner = inner - pixels[:, :, *beside] - pixels[:, :, *beside[::-1]]
            edges = np.abs(inner).reshape(count, -1)
            told |= {"fine detail": edges.mean(1) / (spread + 1), "flat area": (edges <= FLAT).mean(1)}
        if part.shape[1] > 1:
            told["the balance of colours"] = (pixels[:, 0] - pixels[:, -1]).reshape(count, -1).mean(1)
        for name, values in told.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def _ahead(first: np.ndarray, second: np.ndarray, labels: tuple[np.ndarray, np.ndarray], classes: np.ndarray) -> float:
    """How often a value of the first is larger than one of the second, of the same class; ties count half."""
    total, pairs = 0.0, 0
    for label in classes:
        one, other = first[labels[0] == label], np.sort(second[labels[1] == label])
        below = np.searchsorted(other, one, "left") + np.searchsorted(other, one, "right")
        total, pairs = total + float(below.sum()) / 2 / len(other), pairs + len(one)
    return total / pairs
