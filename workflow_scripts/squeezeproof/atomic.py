"""Files appear whole or not at all."""

import errno
import glob
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from squeezeproof.errors import InputError

# What keeps a file from being written that no change of the code mends, each with what does.
REMEDIES = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space within your quota",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EIO: "look after that disk",
}


@contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`, on an exception it is removed.

    What killed writers of the same path left behind is removed too. Raises InputError where the disk is full, the
    folder read-only, or the like.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(path)
        try:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writable(path: str | Path) -> Generator[None]:
    """Turns the faults of REMEDIES into an InputError that names `path` and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        remedy = REMEDIES[error.errno]
        raise InputError(f"{path}: cannot be written ({error.strerror}); {remedy} and run again") from None


def discard(path: str | Path) -> None:
    """Remove a file, if it is there, and what killed writers of it left behind."""
    Path(path).unlink(missing_ok=True)
    remove_temporaries(Path(path))


def remove_temporaries(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)
