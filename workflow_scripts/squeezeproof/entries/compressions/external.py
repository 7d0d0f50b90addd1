from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries import registry
from squeezeproof.entries.architecture import (
    NORMALIZATIONS,
    WEIGHTS,
    Normalization,
    normalization_contradictions,
    weights_contradictions,
)
from squeezeproof.entries.compression import Compression
from squeezeproof.entries.settings import Text, setting
from squeezeproof.entries.unions import one_of


class External(Compression):
    """A model that was compressed elsewhere, compared with its base like any other: weights of the base's own network,
    masked or with fewer filters, or another network with its weights.
    """

    function = "squeezeproof.compression.external:read_external"
    level = ""
    given = True

    method: Literal["external"] = "external"
    file: Text = setting(
        "The model: a safetensors file with a state_dict. `{dataset}`, `{architecture}`, `{training}` and `{seed}` in "
        "its name stand for those of the base; one file is the compressed version of one base.",
        min_length=1,
    )
    of: Text = setting(
        "Its base, the uncompressed model that it is compared with: a full name such as cnn8.standard.none.none.s0, or "
        "a shell pattern. It may be left out where only one can be meant.",
        "*",
    )
    normalization: Normalization | None = setting(
        "What the model's input is made of; null is the base's normalization, or that of `architecture`. "
        + NORMALIZATIONS,
        None,
    )
    architecture: one_of(registry.architectures()) | None = setting(
        "The network that the weights belong to, a mapping as in `architectures`; null is the base's own, with the "
        "filters that the weights leave it.",
        None,
    )

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        if torch_file := list(weights_contradictions(f"{path}.file", self.file)):
            yield from torch_file
        elif not self.file.endswith(WEIGHTS):
            yield f"{path}.file: {self.file!r} is no file of weights; its name ends in {WEIGHTS}"
        yield from normalization_contradictions(f"{path}.normalization", self.normalization, study)
        if self.architecture is not None:
            yield from self.architecture.contradictions(f"{path}.architecture", study)
            if getattr(self.architecture, "checkpoint", None):
                yield f"{path}.architecture.checkpoint: the weights are those of {path}.file; leave it out here"
            if self.normalization is not None:
                yield f"{path}.normalization: write it as {path}.architecture.normalization"
