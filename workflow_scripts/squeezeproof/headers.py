"""The header of a tensor file, as plans and every job look at it: nothing is checked, and no numpy is imported.

`store.tensors` writes the files, and reads them with all checks.
"""

import json
from pathlib import Path
from typing import Any

METADATA_KEY = "squeezeproof"
# A header of names, shapes and metadata is thousands of times smaller than this.
MAX_HEADER = 16 << 20
# What is raised where a file is damaged or a stranger's; whoever reads it whole says so.
DAMAGED = (OSError, ValueError, LookupError, TypeError)


def header_bytes(path: str | Path) -> bytes:
    """The header as it stands in the file, without its length."""
    with open(path, "rb") as file:
        return file.read(min(int.from_bytes(file.read(8), "little"), MAX_HEADER))


def header_of(path: str | Path) -> dict[str, Any]:
    """The header of a file: array name -> its dtype, shape and place, and `__metadata__`. Raises one of DAMAGED."""
    return json.loads(header_bytes(path))


def metadata_of(header: dict[str, Any]) -> dict[str, Any]:
    """What store.tensors wrote as metadata into a header. Raises one of DAMAGED."""
    return json.loads(header["__metadata__"][METADATA_KEY].partition(" ")[2])["metadata"]
