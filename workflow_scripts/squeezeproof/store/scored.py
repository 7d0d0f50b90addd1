"""What a model said of sets before: one attack more is one set to score, not all of them again.

Snakemake removes the predictions of a job that it runs again, and one file has those of all attacks. This file beside
it stays. What is scored within a second is not worth it.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

KIND = "scored"
WORTH = 1.0


class Scored:
    """Labels that a model gave, by what they are of.

    Args:
        path: of the file; one that is damaged or of another identity tells nothing.
        identity: JSON of everything that labels depend on besides the images.
        worth: seconds of scoring from which on the labels are kept.
    """

    def __init__(self, path: str | Path, identity: list[Any], worth: float = WORTH) -> None:
        self.path, self.identity, self.worth = Path(path), identity, worth
        self.seconds = 0.0
        self.used: dict[str, np.ndarray] = {}
        self.known: dict[str, np.ndarray] = {}
        if self.path.is_file():
            try:
                if read_metadata(self.path, KIND).get("identity") == identity:
                    self.known = read_arrays(self.path)
            except InputError:
                self.known = {}

    def labels(self, images: str, score: "Callable[[], Tensor]") -> np.ndarray:
        """Labels int64 [N] of images that a digest names, by `score` where they are not known."""
        if images in self.known:
            self.used[images] = self.known[images]
        else:
            began = time.perf_counter()
            self.used[images] = score().numpy()
            self.seconds += time.perf_counter() - began
        return self.used[images].astype(np.int64)

    def save(self) -> None:
        """Keep what was used, where scoring it took long enough."""
        if self.seconds >= self.worth:
            write_tensors(self.path, self.used, {"kind": KIND, "identity": self.identity})


def digest(path: str | Path) -> str:
    """Of a tensor file: that of its header, which holds digests of all arrays."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(int.from_bytes(file.read(8), "little"))).hexdigest()
