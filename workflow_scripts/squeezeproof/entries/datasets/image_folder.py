import os
from pathlib import Path
from typing import Any, Literal

from squeezeproof.entries.dataset import Dataset
from squeezeproof.entries.settings import Text, Whole, setting
from squeezeproof.errors import InputError


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
        return len(self.class_names()) if self._training().is_dir() else None

    def class_names(self) -> list[str]:
        """See Dataset."""
        folders = self._training().iterdir() if self._training().is_dir() else ()
        return sorted(entry.name for entry in folders if entry.is_dir() and not entry.name.startswith("."))

    def _training(self) -> Path:
        return Path(os.path.expanduser(self.root)) / "train"

    @classmethod
    def missing(cls, settings: dict[str, Any]) -> str | None:
        """See Dataset."""
        for split in ("train", "test"):
            folder = os.path.join(os.path.expanduser(settings["root"]), split)
            if not os.path.isdir(folder):
                return f"{folder}: there is no such folder; images belong in {folder}/CLASS/NAME.png"
        return None

    @classmethod
    def count_files(cls, settings: dict[str, Any]) -> dict[str, int]:
        """See Dataset."""
        root = Path(os.path.expanduser(settings["root"]))
        return {split: _files_in_folders(root / split) for split in ("train", "test")}


def _files_in_folders(split: Path) -> int:
    """Files that are not hidden in the folders of a directory."""
    if not split.is_dir():
        raise InputError(
            f"{split}: no such directory, so its images cannot be counted; put them there, or give the data set's "
            f"`train` and `test`, the images that the study keeps of each"
        )
    # The entries of a directory know whether they are files: no look at each of them, of which there may be a million.
    count = 0
    for folder in os.scandir(split):
        if folder.is_dir() and not folder.name.startswith("."):
            count += sum(entry.is_file() and not entry.name.startswith(".") for entry in os.scandir(folder))
    return count
