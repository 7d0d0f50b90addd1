"""A folder of images as a study of two finished models takes it."""

import hashlib
import os
import re
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
        by_number: for each class its place in the order of the numbers that are the classes' names, where that is
            another order; None where it is not.
    """

    root: Path
    classes: int
    count: int
    side: int
    channels: int
    note: str
    by_number: list[int] | None = None


def read_images(folder: str | Path, links: str | Path, side: int | None = None, channels: int | None = None) -> Images:
    """The Images of a folder with train/ and test/, or with the class folders themselves.

    Args:
        folder: of the images.
        links: where the `root` is made. Of class folders the first SET_ASIDE images of each are its training split, all
            others its test split.
        side, channels: None for what the images say.

    Raises InputError where there are no classes, a class has no image left to attack, or the images have several sizes
    and no side was given.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"IMAGES={folder}: there is no such folder")
    has_splits = _has_splits(folder)
    found = _classes(folder / "test" if has_splits else folder)
    if len(found) < 2:
        raise InputError(
            f"IMAGES={folder}: holds {len(found)} class folders with images, two at least are needed: {folder}/CLASS/"
            f"NAME.png, the classes in the order of their names as the models know them{_deeper(folder)}"
        )
    if not has_splits and (few := [name for name, paths in found.items() if len(paths) <= SET_ASIDE]):
        raise InputError(
            f"IMAGES={folder}: {', '.join(few)} holds {len(found[few[0]])} images, of which none would be attacked: "
            f"{SET_ASIDE} of each class stand in for training images; give each {SET_ASIDE + 1} at least"
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
    root, order = _linked(splits, Path(links)), _by_number(list(found))
    return Images(root, len(found), count, side, channels, f"{count} of {place}, {note}{rest}", order)


def as_given(text: str, folder: str | Path, links: str | Path) -> str:
    """A message with the images of a person's folder in the places of the links to them, which `read_images` made
    below `links`.
    """
    splits = _has_splits(Path(folder))

    def given(found: re.Match[str]) -> str:
        return f"{folder}/{found[1]}" if splits else str(folder)

    return re.sub(re.escape(str(links)) + r"/[0-9a-f]{12}/(train|test)(?=[/:])", given, text)


def _has_splits(folder: Path) -> bool:
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def _deeper(folder: Path) -> str:
    """What to write where the class folders lie one folder deeper, after a semicolon."""
    # Training images are meant last.
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == "train", path)):
        inside = [place for place in path.iterdir() if place.is_dir()] if path.is_dir() else []
        if sum(any(map(Path.is_file, place.iterdir())) for place in inside) > 1:
            return f"; {path} holds such folders, is IMAGES={path} meant?"
    return ""


def _by_number(names: Sequence[str]) -> list[int] | None:
    """For each of the names its place in the order of the numbers that they are; None where that is theirs."""
    if not all(name.isdecimal() for name in names):
        return None
    order = sorted(names, key=int)
    return None if order == list(names) else [order.index(name) for name in names]


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Class -> paths of its images, in the order of their names."""
    names = sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in STRAY)
    inside = {
        path.name: [file for file in path.iterdir() if not file.name.startswith(".") and not file.is_dir()]
        for path in names
        if not path.name.startswith(".")
    }
    if others := sorted(file for files in inside.values() for file in files if not file.is_file()):
        what = "a link to a file that is not there" if others[0].is_symlink() else "not a file"
        raise InputError(f"{others[0]}: {what}, though it stands where images do; move it out of the folder")
    found = {name: sorted(files) for name, files in inside.items()}
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
                # A name need not be text.
                told.update(os.fsencode(f"{split}/{name}/{path.absolute()}/{seen.st_size}/{seen.st_mtime_ns}\0"))
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
