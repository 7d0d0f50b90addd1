from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.settings import Whole, setting


class Wrn(Architecture):
    """Wide residual network [zagoruyko2016]: pre-activation blocks, no dropout, stride 1 in the stem for images of any
    size; WRN-28-4 has 5.8 million parameters on CIFAR-10.
    """

    function = "squeezeproof.models.wide_resnet:wrn"
    display = "WRN"
    minimum_size = 8

    kind: Literal["wrn"] = "wrn"
    depth: Whole = setting("Convolutions in a row, 6n + 4 with n blocks in each of three groups.", 28, ge=10, le=1000)
    widen_factor: Whole = setting("The groups have 16, 32 and 64 filters times this.", 4, ge=1, le=64)

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if over := (self.depth - 4) % 6:
            below = self.depth - over
            yield f"{path}.depth: {self.depth} is not 6n + 4; write {below} or {below + 6}"
