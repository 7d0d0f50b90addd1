"""Names of the files that the images of a prepared test split were read from; no torch."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeezeproof.store.tensors import array_names, read_arrays

# The array of a test split that has them; only folders of images have names.
FILES = "files"


def as_array(names: Sequence[str]) -> np.ndarray:
    """Names, in the order of the images, as uint8 [bytes of their JSON]."""
    return np.frombuffer(json.dumps(list(names)).encode(), np.uint8)


def names_in(path: str | Path) -> list[str]:
    """The names in a split; none where it does not hold them, as those that were written before they were kept."""
    if FILES not in array_names(path):
        return []
    return json.loads(read_arrays(path, [FILES])[FILES].tobytes())
