"""Files appear whole or not at all."""

import glob
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; on success it takes the place of `path`, on an exception it is removed.

    What killed writers of the same path left behind is removed too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_temporaries(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def discard(path):
    """Remove a file, if it is there, and what killed writers of it left behind."""
    Path(path).unlink(missing_ok=True)
    remove_temporaries(Path(path))


def remove_temporaries(path):
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)
