import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from squeezeproof.entries.dataset import Dataset
from squeezeproof.entries.settings import Text, Whole, setting
from squeezeproof.errors import InputError

SPLITS = ("train", "test")
# Folders that archivers and file managers leave.
STRAY = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")


class ImageFolder(Dataset):
    """Your own images as root/train/{class}/* and root/test/{class}/*, 8-bit BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TIFF
    or WebP.
    """

    function = "squeezeproof.datasets.image_folder:load_image_folder"

    kind: Literal["image_folder"] = "image_folder"
    root: Text = setting("Directory with the folders train and test; `~` is your home.")
    size: Whole = setting("Side in pixels; images are resized and centre-cropped to a square of it.", ge=4, le=1024)
    channels: Literal[1, 3] = setting("1 for grey, 3 for RGB; images are converted.", 3)
    background: Text = setting(
        "Colour that transparent images are composited on, as `#rrggbb`.",
        "#ffffff",
        pattern=r"^#[0-9a-fA-F]{6}$(?!\n)",
        json_schema_extra={"x-form": "a colour such as '#ffffff'"},
    )

    def classes(self) -> int | None:
        """See Dataset."""
        return len(self.class_names()) or None

    def class_names(self) -> list[str]:
        """See Dataset."""
        return sorted(name for name, files in self._files["train"].items() if files)

    def held(self, split: str) -> int | None:
        """See Dataset."""
        return sum(self._files[split].values()) or None

    @cached_property
    def _files(self) -> dict[str, dict[str, int]]:
        """Split -> class -> files; of a split that is not there, nothing."""
        root = Path(os.path.expanduser(self.root))
        return {split: _files_of_classes(root / split) for split in SPLITS}

    @classmethod
    def missing(cls, settings: dict[str, Any]) -> str | None:
        """See Dataset."""
        root = Path(os.path.expanduser(settings["root"]))
        for split in SPLITS:
            if not (root / split).is_dir():
                meant = " or ".join(str(root / name) for name in _beside(root))
                hint = f"; if {meant} is meant, rename it {split}" if meant else ""
                return f"{root / split}: there is no such folder; images belong in {root / split}/CLASS/NAME.png{hint}"
        return None

    def notices(self, path: str) -> Iterator[str]:
        """See Dataset."""
        root, classes = Path(os.path.expanduser(self.root)), set(self.class_names())
        for name, found in _beside(root).items():
            if classes & found:
                yield (
                    f"{path}.root: {root / name} is passed over, as train and test alone are read; images for "
                    f"validation are set aside of those in train, by validation: N"
                )

    @classmethod
    def count_files(cls, settings: dict[str, Any]) -> dict[str, int]:
        """See Dataset."""
        root = Path(os.path.expanduser(settings["root"]))
        return {split: _files_in_folders(root / split) for split in SPLITS}


def _files_in_folders(split: Path) -> int:
    """Files that are not hidden in the class folders of a directory."""
    if not split.is_dir():
        raise InputError(
            f"{split}: no such directory, so its images cannot be counted; put them there, or give the data set's "
            f"`train` and `test`, the images that the study keeps of each"
        )
    return sum(_files_of_classes(split).values())


def _beside(root: Path) -> dict[str, set[str]]:
    """Folder beside the splits, in the order of their names -> names of the folders in it that hold files."""
    # One file tells that there are some.
    held = {
        beside.name: {folder.name for folder in _folders(beside.path) if any(_files(folder.path))}
        for beside in sorted(_folders(root), key=lambda entry: entry.name)
        if beside.name not in SPLITS
    }
    return {name: folders for name, folders in held.items() if folders}


def _files_of_classes(split: Path) -> dict[str, int]:
    """Class -> files that are not hidden in its folder; nothing where there is no such directory."""
    return {folder.name: sum(1 for _ in _files(folder.path)) for folder in _folders(split)}


def _folders(place: str | Path) -> Iterator[os.DirEntry[str]]:
    """Folders that are neither hidden nor of STRAY."""
    for entry in _entries(place):
        if entry.name not in STRAY and not entry.name.startswith(".") and is_folder(entry):
            yield entry


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    """Files that are not hidden."""
    # The entries of a directory know whether they are files: no look at each of them, of which there may be a million.
    return (entry for entry in _entries(folder) if not entry.name.startswith(".") and not is_folder(entry))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; no error where links go round in a circle."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder; nothing where it cannot be read, as the job that reads the images says."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return
