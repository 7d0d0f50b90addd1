"""Compressed models of a study that are the same, bit for bit: one result under several names."""

from collections.abc import Iterable
from pathlib import Path

from squeezeproof.store.predictions import KIND, METADATA
from squeezeproof.store.tensors import read_metadata
from squeezeproof.types import Described, PredictionsMetadata


def repeated(paths: Iterable[str | Path], descriptions: Iterable[Described]) -> set[tuple[str, str]]:
    """(data set, name) of every compressed model that has the tensors of one before it, which stands for both.

    Args:
        paths: predictions files, which carry a digest of their target's tensors.
        descriptions: of every model they name (`Study.describe`), in the order of the study.
    """
    digests = {}
    for path in map(str, paths):
        metadata: PredictionsMetadata = read_metadata(path, KIND, METADATA)
        digests[metadata["dataset"], metadata["target"]] = metadata["target_fingerprint"]
    first, found = {}, set()
    for model in descriptions:
        key = model["dataset"], model["name"]
        digest = digests.get(key)
        # Bases stay: each is what its own compressed models are compared with.
        if first.setdefault((key[0], digest), key) != key and digest and model["compression"] != "none":
            found.add(key)
    return found
