"""Markers: files in the place of those that a network does not support, which say so and why.

A job whose network does not support what it is told to do writes a marker in the place of each of its outputs, and ends
well. So does every job that reads one of them. What gathers the files of many models goes on without markers. So the
plan of a study knows nothing of networks, and a dry run stays fast. Standard library only.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError, NotSupported

HEAD = b"not supported\n"


def write_marker(path: str | Path, told: dict[str, Any]) -> None:
    """Write a marker; `told` has at least the `reason`, in words."""
    with replacing(path) as temporary:
        temporary.write_bytes(HEAD + json.dumps(told, sort_keys=True).encode())


def told_by(path: str | Path) -> dict[str, Any] | None:
    """What a marker tells; None where the file is none, or there is no such file. InputError where it was altered."""
    try:
        with open(path, "rb") as file:
            text = file.read() if file.read(len(HEAD)) == HEAD else None
    except (FileNotFoundError, IsADirectoryError):
        return None
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: is an altered marker of what is not supported; remove it and run again") from error


def refuse_marker(path: str | Path) -> None:
    """Raise NotSupported, with what it tells, where a file is a marker."""
    if told := told_by(path):
        raise NotSupported(told["reason"], told)


def supported(paths: Iterable[str]) -> list[str]:
    """The paths that are no markers."""
    return [path for path in paths if told_by(path) is None]


def supported_with(paths: Sequence[str], *beside: Sequence[Any]) -> list[list[Any]]:
    """The paths that are no markers, and what lies beside them in lists of the same length."""
    rows = [row for row in zip(paths, *beside, strict=True) if told_by(row[0]) is None]
    return [[row[place] for row in rows] for place in range(1 + len(beside))]
