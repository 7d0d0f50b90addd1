"""A folder of images as a study of two finished models takes it."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from squeezeproof.datasets.image_folder import FORMATS, STRAY
from squeezeproof.errors import InputError

# Images of each class that stand in for training images: a data set has some, though nothing is trained.
SET_ASIDE = 2
# Of which the sizes are read.
LOOKED_AT = 200


@dataclass(frozen=True)
class Images:
    """What is in a folder of images.

    Attributes:
        root: a folder of links, train/{class}/ and test/{class}/, whose name changes with the images.
        classes: how many classes there are.
        count: images of the test split.
        side: in pixels, of the square that every image becomes.
        channels: 1 or 3.
        note: what was understood, in words.
    """

    root: Path
    classes: int
    count: int
    side: int
    channels: int
    note: str


def read_images(folder: str | Path, links: str | Path, side: int | None = None, channels: int | None = None) -> Images:
    """The Images of a folder with train/ and test/, or with the class folders themselves.

    Args:
        folder: of the images.
        links: where the `root` is made. Of class folders the first SET_ASIDE images of each are its training split, all
            others its test split.
        side, channels: None for what the images say.

    Raises InputError where there are no classes, or the images have several sizes and no side was given.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"IMAGES={folder}: there is no such folder")
    has_splits = (folder / "train").is_dir() and (folder / "test").is_dir()
    found = _classes(folder / "test" if has_splits else folder)
    if len(found) < 2:
        raise InputError(
            f"IMAGES={folder}: holds {len(found)} class folders with images, two at least are needed: {folder}/CLASS/"
            f"NAME.png, the classes in the order of their names as the models know them"
        )
    seen = [_look(path) for path in _spread([path for paths in found.values() for path in paths])]
    side = side or _side(folder, Counter(size for size, _ in seen))
    channels = channels or (1 if all(grey for _, grey in seen) else 3)
    note = f"{len(found)} classes, {'grey' if channels == 1 else 'RGB'}, {side} × {side}"
    if has_splits:
        splits, place, rest = {"train": _classes(folder / "train"), "test": found}, f"{folder}/test", ""
    else:
        train = {name: paths[:SET_ASIDE] for name, paths in found.items()}
        splits = {"train": train, "test": {name: paths[SET_ASIDE:] for name, paths in found.items()}}
        place, rest = folder, f"; {SET_ASIDE} more of each class stand in for training images"
    count = sum(map(len, splits["test"].values()))
    return Images(_linked(splits, Path(links)), len(found), count, side, channels, f"{count} of {place}, {note}{rest}")


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Class -> paths of its images, in the order of their names."""
    names = sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in STRAY)
    found = {
        path.name: sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        for path in names
        if not path.name.startswith(".")
    }
    full = {name: paths for name, paths in found.items() if paths}
    empty = [name for name in found if name not in full]
    if empty and len(full) > 1:
        raise InputError(
            f"IMAGES={folder}: {', '.join(empty)} holds no image; the class folders are the classes that the models "
            f"know, so give it some, or remove what is no class"
        )
    return full


def _spread(paths: Sequence[Path]) -> Sequence[Path]:
    """At most LOOKED_AT of the paths, evenly spread."""
    return paths[:: max(1, len(paths) // LOOKED_AT)]


def _look(path: Path) -> tuple[tuple[int, int], bool]:
    """((width, height), whether it is grey) of an image file, from its head."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size, image.mode in ("1", "L", "LA")
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image ({error})") from None


def _side(folder: Path, sizes: Counter[tuple[int, int]]) -> int:
    if len(sizes) == 1 and len(set(*sizes)) == 1:
        return next(iter(sizes))[0]
    shown = ", ".join(f"{width} × {height}" for (width, height), _ in sizes.most_common(3))
    raise InputError(
        f"IMAGES={folder}: the images are of several sizes or not square ({shown}); write SIZE=, the side in pixels of "
        f"the square that the models take"
    )


def _linked(splits: Mapping[str, Mapping[str, Sequence[Path]]], links: Path) -> Path:
    """The folder below `links` that is made anew, with a link to every image; what was there of other images goes.

    Its name tells sizes and times of the images, so that a study of other images, or of changed ones, is another one.
    """
    told = hashlib.sha256()
    for split, found in splits.items():
        for name, paths in found.items():
            for path in paths:
                seen = path.stat()
                told.update(f"{split}/{name}/{path.absolute()}/{seen.st_size}/{seen.st_mtime_ns}\0".encode())
    if links.is_dir():
        shutil.rmtree(links)
    root = links / told.hexdigest()[:12]
    for split, found in splits.items():
        for name, paths in found.items():
            place = root / split / name
            place.mkdir(parents=True)
            for path in paths:
                os.symlink(os.path.relpath(path, place), place / path.name)
    return root
