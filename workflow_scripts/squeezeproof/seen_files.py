"""What the files were like of which a job read its images, so that a plan sees that some are others now.

Sizes and times tell in an instant which files are surely as they were; of the others the content is asked. Standard
library only, as every plan reads this.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError

# Path below a folder -> [its size and times, digest of its content].
Seen = dict[str, list[list[int] | str]]
MISSING = "is gone"


def seen_path(output: str | Path) -> Path:
    """Where a job notes what it read for an output: beside it."""
    return Path(f"{output}.seen")


def note_files(output: str | Path, folder: str | Path, paths: Iterable[str]) -> None:
    """Note what some files below a folder are like, before they are read for an output."""
    _write(seen_path(output), {os.path.relpath(path, folder): [*_look(path)] for path in paths})


def changed_files(output: str | Path, folder: str | Path) -> list[str]:
    """The files that an output was read of and that are others now, or gone, in their order.

    Nothing where nothing was noted. A file whose size or times are others and whose content is the same, as after a
    copy of the folder, is noted anew, so that it is asked once.
    """
    try:
        known: Seen = json.loads(seen_path(output).read_bytes())["files"]
        differ = [path for path, (times, _) in known.items() if _times(os.path.join(folder, path)) != times]
    # Nobody but this module writes it, and what is lost or damaged tells nothing.
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    found, again = [], False
    for path in differ:
        times, digest = _look(os.path.join(folder, path))
        if digest != known[path][1]:
            found.append(path)
        else:
            known[path], again = [times, digest], True
    if again:
        with suppress(OSError, InputError):
            _write(seen_path(output), known)
    return found


def _write(path: Path, files: Seen) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"files": files}, separators=(",", ":")))


def _look(path: str) -> tuple[list[int], str]:
    """(size and times, digest) of a file; the times first, so that what changes meanwhile is seen later."""
    times = _times(path)
    try:
        with open(path, "rb") as file:
            return times, hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return times, MISSING


def _times(path: str) -> list[int]:
    """A file's size, and when its content and its place changed, which whoever restores the first cannot restore."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
