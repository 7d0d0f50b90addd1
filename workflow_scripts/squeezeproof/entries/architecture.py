"""What an architecture declares, and the settings that several architectures have."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import Text, Whole, setting

# Multiply-accumulates a second while attacking, of a network that nobody measured; as those of every architecture,
# on one core of a 2-core x86 server, float32, one thread.
MACS_PER_SECOND = 2.0e10

Normalization = Literal["dataset", "none", "half"]
Stem = Annotated[Whole, Field(description="Filters of the stem; later stages scale with it.", ge=1, le=1024)]


def normalization(default: Normalization = "dataset") -> Any:
    """The field `normalization`."""
    return setting(
        "`dataset` subtracts the training images' mean and divides by their std per channel; `none` feeds "
        "pixels; `half` maps [0, 1] to [-1, 1].",
        default,
    )


def width(default: int, most: int = 4096) -> Any:
    """The field `width` of a network whose layers scale with its first one."""
    return setting("Filters of the first convolution; later layers scale with it.", default, ge=1, le=most)


class Architecture(Entry):
    """A network.

    Called as function(in_channels=, num_classes=, image_size=, **settings); returns a torch.nn.Module that maps
    normalised pixels to logits.

    Attributes:
        minimum_size: side in pixels of the smallest image that it takes.
        macs_per_second: see MACS_PER_SECOND.
    """

    title: ClassVar[str] = "Architectures"
    about: ClassVar[str] = "Normalisation is a layer of every model, so that attacks work on pixels in [0, 1]."
    key: ClassVar[str] = "kind"
    minimum_size: ClassVar[int] = 1
    macs_per_second: ClassVar[float] = MACS_PER_SECOND

    kind: str
    normalization: Normalization = normalization()
    checkpoint: Text | None = setting(
        "A safetensors file with the network's state_dict; a base model then starts from it instead of from random "
        "weights.",
        None,
    )

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        for name, dataset in study.datasets.items():
            if dataset.side() < self.minimum_size:
                yield (
                    f"{path}: {self.kind} needs images of at least {self.minimum_size} pixels, datasets.{name} has "
                    f"{dataset.side()}"
                )
