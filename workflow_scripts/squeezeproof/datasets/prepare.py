"""Data sets of every kind as uint8 arrays in train, validation and test splits."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from squeezeproof.checked import DatasetSettings
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.seen_files import note_files
from squeezeproof.store.names import FILES, as_array
from squeezeproof.store.rows import PickedRows, WatchedRows
from squeezeproof.store.tensors import fingerprint, write_tensors

KIND = "dataset"
# Of the images of a split: whoever trains holds that of its training images in memory.
MAX_BYTES = 64 << 30


def prepare(settings: DatasetSettings, paths: Mapping[str, str | Path], name: str) -> None:
    """Load the data set that `settings` describes (see squeezeproof.entries) and write splits of it.

    Args:
        settings: a checked entry of `datasets`.
        paths: split name -> output path of each that is written: train and validation, test, or all three.
        name: the data set's name, kept in the metadata.

    Each file holds `images` uint8 [N, C, H, W] and `labels` int64 [N], and that of the test images of a folder the
    names of their files (store.names); the metadata holds the class names and a fingerprint, and those of train and
    validation the training images' mean and std per channel in [0, 1]. Examples that lie class by class, as in folders
    of images, are mixed: whatever looks at the first ones shall see every class. Training images do not depend on the
    number of test images. What the files of a folder were like is noted beside each file (seen_files). Raises
    InputError for raw files that are missing, truncated or altered, and for subsets larger than the data or without a
    training image of a class.
    """
    (images, labels), (test_images, test_labels), classes = registry.datasets()[settings["kind"]].imported()(settings)
    rng = np.random.default_rng(settings["subset_seed"])
    order = rng.permutation(len(labels))
    validation = settings["validation"]
    total = settings["train"] + validation if settings["train"] is not None else len(labels)
    if total > len(labels) or validation >= total:
        raise InputError(
            f"datasets.{name}: train: {settings['train'] or 'null'} with validation: {validation} does not fit the "
            f"{len(labels)} training images"
        )
    chosen = stratified(labels, total, order)
    held_out = np.sort(chosen[stratified(labels[chosen], validation)])
    kept = np.setdiff1d(chosen, held_out)
    if lost := sorted(set(labels) - set(labels[kept])):
        names = ", ".join(str(classes[label]) for label in lost)
        raise InputError(
            f"datasets.{name}: train: {settings['train'] or 'null'} with validation: {validation} leaves no training "
            f"image of {names}; write a larger train: or a smaller validation:, or give these classes more images"
        )
    # Drawn for all test images, too: what is drawn after it is the order of the training images.
    tested, test_order = np.arange(len(test_labels)), rng.permutation(len(test_labels))
    if settings["test"] is not None:
        if settings["test"] > len(test_labels):
            raise InputError(f"datasets.{name}.test: {settings['test']} is more than the {len(test_labels)} images")
        tested = np.sort(stratified(test_labels, settings["test"], test_order))
    splits = {
        split: (PickedRows(rows, chosen := _mixed(picked, targets, rng)), targets[chosen])
        for split, rows, targets, picked in (
            ("train", images, labels, kept),
            ("validation", images, labels, held_out),
            ("test", test_images, test_labels, tested),
        )
    }
    splits = {split: rows for split, rows in splits.items() if split in paths}
    _check_sizes(splits, name)
    seen = Moments(images.shape[1])
    for split, (pixels, targets) in splits.items():
        targets = np.ascontiguousarray(targets, dtype=np.int64)
        if files := getattr(pixels.array, "paths", None):
            # They lie in root/split/class.
            note_files(paths[split], Path(files[0]).parents[2], [files[row] for row in pixels.picked])
        metadata: dict[str, Any] = {"kind": KIND, "dataset": name, "split": split, "classes": classes}
        # One reading for the digest and the moments, one for the file: image files are decoded in each.
        if split == "train":
            metadata["fingerprint"] = fingerprint(WatchedRows(pixels, seen.add), targets)
        else:
            metadata["fingerprint"] = fingerprint(pixels, targets)
        arrays = {"images": pixels, "labels": targets}
        if split != "test":
            metadata["mean"], metadata["std"] = seen.result()
        elif names := getattr(pixels.array, "names", None):
            arrays[FILES] = as_array([names[row] for row in pixels.picked])
        write_tensors(paths[split], arrays, metadata)


def _mixed(chosen: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of examples as they are, or in a random order where their classes never fall."""
    return rng.permutation(chosen) if (np.diff(labels[chosen]) >= 0).all() else chosen


def _check_sizes(splits: dict[str, tuple[PickedRows, np.ndarray]], name: str) -> None:
    for split, (images, _) in splits.items():
        if math.prod(images.shape) > MAX_BYTES:
            raise InputError(
                f"datasets.{name}: its {len(images)} {split} images take more than {MAX_BYTES >> 30} GB at this size; "
                f"write a smaller {split}: or size:"
            )


def stratified(labels: np.ndarray, count: int, order: np.ndarray | None = None) -> np.ndarray:
    """Indices of `count` examples with every class in its share (largest remainders), the first of each in `order`."""
    order = np.arange(len(labels)) if order is None else order
    classes, sizes = np.unique(labels, return_counts=True)
    shares = sizes * count / max(len(labels), 1)
    wanted = np.floor(shares).astype(int)
    for index in np.argsort(wanted - shares, kind="stable")[: count - wanted.sum()]:
        wanted[index] += 1
    in_order = labels[order]
    picked = [order[in_order == label][:number] for label, number in zip(classes, wanted, strict=True)]
    return np.concatenate(picked) if picked else np.empty(0, dtype=int)


class Moments:
    """Mean and standard deviation per channel of the uint8 images [N, C, H, W] that were added, in [0, 1]."""

    def __init__(self, channels: int) -> None:
        self.total, self.squares, self.count = np.zeros(channels), np.zeros(channels), 0

    def add(self, images: np.ndarray) -> None:
        pixels = images.astype(np.float64) / 255
        self.total += pixels.sum(axis=(0, 2, 3))
        self.squares += (pixels**2).sum(axis=(0, 2, 3))
        self.count += images.size // images.shape[1]

    def result(self) -> tuple[list[float], list[float]]:
        mean = self.total / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - mean**2, 0))
        # A constant channel has no std to divide by.
        return mean.tolist(), np.where(std > 1e-6, std, 1.0).tolist()
