"""Bounds of what strangers write: configs, specifications of networks, images. Nothing here decides a result.

A config, a checkpoint or an image may be made to fill memory or to compute for ever. What is refused lies far beyond
everything that anybody means.
"""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from squeezeproof.errors import InputError

# Of a config.
MAX_VALUES, MAX_DEPTH, MAX_TEXT, SHOWN = 50_000, 30, 10_000, 300
# Of a network; the last is parameters times positions, which bounds the multiplications of a forward pass.
MAX_SIDE, MAX_PARAMETERS, MAX_MEMBERS, MAX_WORK = 10_000, 1_000_000_000, 100, 10**14
# Of an image file and of the name of a class.
MAX_IMAGE_PIXELS, MAX_IMAGE_BYTES, MAX_NAME = 64_000_000, 256 << 20, 100


def oversized(config: Any) -> str | None:
    """What is too large about a config, or None; aliases of aliases can stand for more values than memory holds."""
    pending, count = [(config, "", 0)], 0
    while pending:
        value, path, depth = pending.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            return f"{path or 'config'}: more than {MAX_VALUES:,} values, or nested more than {MAX_DEPTH} deep"
        listed = enumerate(value) if isinstance(value, list | tuple) else ()
        for key, item in value.items() if isinstance(value, dict) else listed:
            if isinstance(key, str) and len(key) > MAX_TEXT:
                return f"{path}: a key of {len(key):,} characters; keys have at most {MAX_TEXT:,}"
            pending.append((item, (f"{path}.{key}" if path else str(key))[:SHOWN], depth + 1))
        if isinstance(value, str | bytes) and len(value) > MAX_TEXT:
            return f"{path}: a text of {len(value):,} characters; texts have at most {MAX_TEXT:,}"
        if isinstance(value, int) and value.bit_length() > MAX_TEXT:
            return f"{path}: a number of more than 3,000 digits"
    return None


def check_parameters(kind: str, parameters: int, image_size: int) -> None:
    """Raise InputError where a network has too many parameters, or too many for such images."""
    if parameters > MAX_PARAMETERS:
        raise InputError(f"{kind} would have {parameters:,} parameters, more than {MAX_PARAMETERS:,}")
    if parameters * image_size**2 > MAX_WORK:
        raise InputError(f"{kind} with {parameters:,} parameters is too large for such images")


def check_members(kinds: Sequence[str], ensemble: str) -> None:
    """Raise InputError where an ensemble has too many members, by their kinds, or one that is an ensemble itself."""
    if len(kinds) > MAX_MEMBERS or ensemble in kinds:
        raise InputError(f"an ensemble is of at most {MAX_MEMBERS} models that are none themselves")


def check_image_file(path: Path) -> None:
    """Raise InputError where a path is no file, an empty one, or one too large for an image."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: not a file, though it stands where images do; move it out of the folder")
    if not found.st_size:
        raise InputError(
            f"{path}: not a readable image: empty; put the image in its place, or move it out of the folder"
        )
    if found.st_size > MAX_IMAGE_BYTES:
        raise InputError(f"{path}: {found.st_size >> 20} MB are more than an image of {MAX_IMAGE_BYTES >> 20} MB")


def check_image_size(path: str | Path, width: int, height: int) -> None:
    """Raise InputError where an image has too many pixels."""
    if width * height > MAX_IMAGE_PIXELS:
        raise InputError(f"{path}: {width} x {height} pixels are more than {MAX_IMAGE_PIXELS:,}")


def check_class_name(folder: Path, name: str) -> None:
    """Raise InputError where a class of a folder has a name that cannot be shown."""
    if not name.isprintable() or len(name) > MAX_NAME:
        raise InputError(f"{folder}: {name!r} is no name for a class; rename it, printable and up to {MAX_NAME} long")
