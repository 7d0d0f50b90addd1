"""Whether the files of a study lie in the places that they were made for, by the names that they carry.

A copy of a sound file in the place of another is sound, and its numbers would be told of the other. Standard library
only, as every job looks.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from squeezeproof.errors import InputError
from squeezeproof.headers import DAMAGED, header_of, metadata_of

# Folder below those of a study -> (kind of its files, what of their metadata the folders and the file below it name).
FOLDERS: dict[str, tuple[str, tuple[str | None, ...]]] = {
    "models": ("model", (None, "name")),
    "adversarial": ("adversarial", ("dataset", "source", "attack")),
    # Their sources are int8 models, which have names of their own.
    "adversarial_int8": ("adversarial", ("dataset", None, "attack")),
    "predictions": ("predictions", ("dataset", "target", "source")),
    "predictions_int8": ("predictions", ("dataset", "target", None)),
}


def check_places(paths: Iterable[str], study: str | None) -> None:
    """Raise InputError that names every file of a study which was made for another place, and what it is."""
    found = [f"{path}: {told}" for path in paths if (told := _elsewhere(path, study))]
    if found:
        raise InputError("\n".join(found))


def _elsewhere(path: str, study: str | None) -> str:
    """What a file is, where that is not what its place says; else empty."""
    kind, names = _named(Path(path), study)
    metadata = _metadata(path) if names else {}
    own = {key: metadata.get(key, name) for key, name in names.items()}
    if metadata.get("kind") != kind or own == names:
        return ""
    return f"is a copy of another file, that of {', '.join(map(str, own.values()))}; remove it and run again"


def _named(path: Path, study: str | None) -> tuple[str, dict[str, str]]:
    """(kind, what its place says of its metadata) of a file of the study or of a prepared split; nothing of others."""
    folders = list(path.parts[:-1])
    if path.suffix != ".safetensors":
        return "", {}
    if folders[-3:-1] == ["data", "prepared"]:
        return "dataset", {"dataset": folders[-1].rpartition(".")[0], "split": path.stem}
    below = next((row for row in range(2, len(folders)) if folders[row - 2 : row] == ["results", study]), len(folders))
    kind, keys = FOLDERS.get("".join(folders[below : below + 1]), ("", ()))
    names = [*folders[below + 1 :], path.stem]
    return kind, {key: name for key, name in zip(keys, names, strict=True) if key} if len(names) == len(keys) else {}


def _metadata(path: str) -> dict[str, Any]:
    """The metadata of a tensor file; of a damaged one nothing, as whoever reads it says so."""
    try:
        return dict(metadata_of(header_of(path)))
    except DAMAGED:
        return {}
