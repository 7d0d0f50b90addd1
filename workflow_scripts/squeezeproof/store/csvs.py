"""Tables as CSV files; a file beside each holds its SHA-256, so that an altered table never becomes a figure.

The files are those of sha256sum: `sha256sum --check *.sha256` in a folder of tables checks them all. Rules declare them
as outputs and inputs, as they do the tables.
"""

import csv
import hashlib
import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError
from squeezeproof.markers import refuse_marker


@contextmanager
def writing_csv(path: str | Path) -> Generator[io.StringIO]:
    """Yield a text file for a CSV writer, which takes the place of `path` when all is written."""
    path, text = Path(path), io.StringIO()
    yield text
    content = text.getvalue().encode()
    with replacing(digest_of(path)) as temporary:
        temporary.write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_text(path: str | Path) -> str:
    """The text of a CSV file; InputError where it is not what was written, as far as a digest beside it tells."""
    path = Path(path)
    refuse_marker(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    beside = digest_of(path)
    known = beside.read_text(errors="replace").partition(" ")[0] if beside.is_file() else None
    if known not in (None, hashlib.sha256(content).hexdigest()):
        raise InputError(f"{path}: was altered after it was written; remove it and run again")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error})") from None


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file as dictionaries of texts; InputError where one is short of a column."""
    rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    if any(None in row or None in row.values() for row in rows):
        raise InputError(f"{path}: has rows of another length than its header; remove it and run again")
    return rows


def digest_of(path: Path) -> Path:
    """The file beside a CSV file that holds its SHA-256."""
    return path.with_name(f"{path.name}.sha256")
