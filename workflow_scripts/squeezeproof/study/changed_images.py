"""A word on data sets whose files are others than those that were read of them, by their names, numbers and content."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from squeezeproof.entries.datasets.image_folder import ImageFolder
from squeezeproof.headers import DAMAGED, header_of, metadata_of
from squeezeproof.seen_files import changed_files
from squeezeproof.study.entities import Dataset
from squeezeproof.study.paths import prepared

# Split of the raw data -> the prepared splits that its images are in.
SPLITS = {"train": ("train", "validation"), "test": ("test",)}
# Split of the raw data -> the rule that reads it.
RULES = {"train": "prepare", "test": "prepare_test"}
# Files that one notice names.
NAMED = 3


def changed_images_notices(datasets: Mapping[str, Dataset], declared: Mapping[str, Any]) -> Iterator[str]:
    """A notice for every split that was prepared of other files than there are now.

    Args:
        datasets: those of the plan.
        declared: the same as the config declares them (squeezeproof.entries.dataset).
    """
    folders = {name: dataset for name, dataset in datasets.items() if isinstance(declared[name], ImageFolder)}
    for name, dataset in folders.items():
        for split, parts in SPLITS.items():
            key = dataset.key(split)
            read = [found for part in parts if (found := _read(Path(prepared(key, part))))]
            if len(read) < len(parts):
                continue
            told = _changed(declared[name], split, read[0][0], sum(images for _, images in read))
            if told := told or _replaced(declared[name], split, [prepared(key, part) for part in parts]):
                yield (
                    f"datasets.{name}: {Path(declared[name].root) / split}: {', '.join(told)}; results are of the "
                    f"images that were read: snakemake --forcerun {RULES[split]} reads them again"
                )


def _changed(folder: ImageFolder, split: str, classes: list[str], count: int) -> list[str]:
    """What is other than when so many images of these classes were read."""
    # Of its own module, which jobs run, nothing changes for a notice.
    now = {name for name, files in folder._files[split].items() if files}
    # What was read of images stays good where they were removed to save space.
    if not now:
        return []
    found = [f"{name} is new" for name in sorted(now - set(classes))]
    # A class may have no test images.
    found += [f"{name} is gone" for name in sorted(set(classes) - now) if split == "train"]
    if getattr(folder, split) is None and folder.held(split) != count:
        found.append(f"{count} images were read, {folder.held(split)} are there now")
    return found


def _replaced(folder: ImageFolder, split: str, outputs: list[str]) -> list[str]:
    """Which files have other content than when the outputs were read of them, or are gone."""
    # What was read of images stays good where they were removed to save space.
    if not folder.held(split):
        return []
    root = os.path.expanduser(folder.root)
    found = [path for output in outputs for path in changed_files(output, root)]
    if not found:
        return []
    named = ", ".join([*(os.path.relpath(path, split) for path in found[:NAMED]), *(["..."] if found[NAMED:] else [])])
    return [f"{len(found)} of its images {'is another' if len(found) == 1 else 'are others'} now ({named})"]


def _read(path: Path) -> tuple[list[str], int] | None:
    """(names of the classes, images) of a prepared split by the header of its file; None where there is none."""
    try:
        header = header_of(path)
        return metadata_of(header)["classes"], header["labels"]["shape"][0]
    except DAMAGED:
        return None
