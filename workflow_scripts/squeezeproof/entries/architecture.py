"""What an architecture declares, and the settings that several architectures have."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from squeezeproof.entries.entry import Entry
from squeezeproof.entries.normalization import Normalization, normalization, normalization_contradictions
from squeezeproof.entries.settings import Text, Whole, setting

# The ending of files of weights, and those of what torch.save writes.
WEIGHTS = ".safetensors"
TORCH_FILES = (".pt", ".pth", ".pth.tar", ".ckpt", ".bin", ".pkl", ".t7", ".tar")

Initialization = Literal["own", "glorot_uniform", "he_normal"]
# What the network's code draws.
OWN: Initialization = "own"
Stem = Annotated[Whole, Field(description="Filters of the stem; later stages scale with it.", ge=1, le=1024)]


def width(default: int, most: int = 4096) -> Any:
    """The field `width` of a network whose layers scale with its first one."""
    return setting("Filters of the first convolution; later layers scale with it.", default, ge=1, le=most)


def weights_contradictions(path: str, file: str) -> Iterator[str]:
    """A contradiction of a file of weights, named by the key at `path`, that torch.save wrote."""
    stem = next((file.removesuffix(ending) for ending in TORCH_FILES if file.endswith(ending)), None)
    if stem is not None:
        yield (
            f"{path}: {file} is a torch file, which may hold code; convert it with `python workflow_scripts/tools/"
            f"convert_checkpoint.py {file} {stem}{WEIGHTS}`, and write {path.rpartition('.')[2]}: {stem}{WEIGHTS}"
        )


class Architecture(Entry):
    """A network.

    Called as function(in_channels=, num_classes=, image_size=, **settings); returns a torch.nn.Module that maps
    normalised pixels to logits.

    Attributes:
        minimum_size: side in pixels of the smallest image that it takes.
        checked_first: whether it may be any network, so that what it supports is found out before it is trained.
        package: what it needs beside the installation, as pip takes it.
    """

    title: ClassVar[str] = "Architectures"
    about: ClassVar[str] = "Normalisation is a layer of every model, so that attacks work on pixels in [0, 1]."
    key: ClassVar[str] = "kind"
    minimum_size: ClassVar[int] = 1
    checked_first: ClassVar[bool] = False
    package: ClassVar[str | None] = None

    kind: str
    normalization: Normalization = normalization()
    initialization: Initialization = setting(
        "Where training starts: `own` is what the network's code draws, PyTorch's defaults in most; `glorot_uniform` "
        "[glorot2010] and `he_normal` [he2015] draw the weights of convolutions and linear layers anew and set their "
        "biases to zero.",
        OWN,
    )
    checkpoint: Text | None = setting(
        "A safetensors file with the network's state_dict; a base model then starts from it instead of from random "
        "weights.",
        None,
    )

    @property
    def draws_anew(self) -> bool:
        """Whether other weights than those that the network's code draws are asked for."""
        return self.initialization != OWN

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        if self.checkpoint is not None:
            if self.draws_anew:
                yield f"{path}: checkpoint and initialization both say what the weights are; leave one out"
            yield from weights_contradictions(f"{path}.checkpoint", self.checkpoint)
        yield from normalization_contradictions(f"{path}.normalization", self.normalization, study)
        for name, dataset in study.datasets.items():
            if dataset.side() < self.minimum_size:
                yield (
                    f"{path}: {self.kind} needs images of at least {self.minimum_size} pixels, datasets.{name} has "
                    f"{dataset.side()}"
                )


class ByName(Architecture):
    """A network of a library by its name there."""

    minimum_size: ClassVar[int] = 8
    checked_first: ClassVar[bool] = True

    stem: Literal["auto", "small", "original"] = setting(
        "`small` gives the first convolution stride 1 (and 3x3 weights instead of 7x7) and leaves out the pool after "
        "it; `original` is the library's; `auto` is `small` for images up to 64 pixels. Stems that cut the image into "
        "patches stay.",
        "auto",
    )
    pretrained: Text | None = setting(
        "A safetensors file with the library's weights of the network; a base model starts from it. The first "
        "convolution and the layer of the classes stay random where the file has them for other images or classes.",
        None,
    )

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        yield from super().contradictions(path, study)
        if self.pretrained is not None:
            yield from weights_contradictions(f"{path}.pretrained", self.pretrained)
        if self.pretrained and self.draws_anew:
            yield f"{path}: pretrained and initialization both say what the weights are; leave one out"
        if self.pretrained and self.checkpoint:
            yield f"{path}: pretrained and checkpoint both say what the weights are; leave one out"
