"""What a job found about single sets, so that after one attack more it looks at one set, not at all of them again.

Snakemake removes the outputs of a job that it runs again, and one output is about all attacks on a source. This file
beside it stays, and what it tells is known by digests of what it is about. Snakemake's own `update()` was not chosen:
where such a job fails, the old output is put back, recorded with the new inputs, and so counts as up to date (9.27).
What is found within a moment is not worth a file.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from squeezeproof.errors import InputError
from squeezeproof.headers import MAX_HEADER
from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors

KIND = "kept"
WORTH = 0.1

log = logging.getLogger("squeezeproof")


class Kept:
    """Arrays that a job found, by what they are about.

    Args:
        output: of the job; the file lies beside it.
        identity: JSON of everything that all of them depend on; a file of another identity tells nothing.
        worth: seconds from which on what took them is kept.
    """

    def __init__(self, output: str | Path, identity: list[Any], worth: float = WORTH) -> None:
        # As a file gives it back.
        self.identity = json.loads(json.dumps(identity))
        self.path, self.worth = Path(f"{output}.kept"), worth
        self.seconds = 0.0
        self.used: dict[str, np.ndarray] = {}
        self.known = self._read()

    def _read(self) -> dict[str, np.ndarray]:
        if not self.path.is_file():
            return {}
        try:
            if read_metadata(self.path, KIND).get("identity") != self.identity:
                log.info("%s is of another model, code or device: everything is looked at anew", self.path.name)
                return {}
            return read_arrays(self.path)
        except InputError as error:
            log.info("%s; everything is looked at anew", error)
            return {}

    def find(self, about: str, find: Callable[[], np.ndarray]) -> np.ndarray:
        """The array that is known about something, by `find` where none is."""
        if about in self.known:
            self.used[about] = self.known[about]
        else:
            began = time.perf_counter()
            self.used[about] = find()
            self.seconds += time.perf_counter() - began
        return self.used[about].copy()

    def save(self) -> None:
        """Keep what was used, where finding something new took long enough."""
        again = len(self.used.keys() & self.known.keys())
        if again:
            log.info("%d of %d were found by an earlier run (%s)", again, len(self.used), self.path.name)
        if self.seconds >= self.worth:
            write_tensors(self.path, self.used, {"kind": KIND, "identity": self.identity})


def digest(path: str | Path) -> str:
    """Of a file; of a tensor file, whose header holds digests of all arrays, that of the header."""
    with open(path, "rb") as file:
        tensors = Path(path).suffix == ".safetensors"
        size = min(int.from_bytes(file.read(8), "little"), MAX_HEADER) if tensors else -1
        return hashlib.sha256(file.read(size)).hexdigest()
