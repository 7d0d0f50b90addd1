"""What images the weights or the file of a network take, and how many classes they tell apart, beside a data set's."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.models.state_dicts import fitted
from squeezeproof.store.tensors import read_foreign
from squeezeproof.types import DatasetMetadata

GREY, COLOUR = 1, 3
# Channels that an image has; the inputs of another convolution are hardly ever so few.
CHANNELS = (GREY, COLOUR, 4)
KINDS = {GREY: "grey", COLOUR: "colour"}


@dataclass(frozen=True)
class Takes:
    """What a network takes and tells, None for what is not known or open: channels, (height, width), classes."""

    channels: int | None = None
    sides: tuple[int, int] | None = None
    classes: int | None = None
    # Whether its layers fit images of another size than the data set's, whatever that is.
    other_size: bool = False


def described(shape: Sequence[int], classes: int) -> DatasetMetadata:
    """What is known of a data set without its training images, nothing of their moments; `shape` is (C, H, W)."""
    moments = {"mean": [0.0] * shape[0], "std": [1.0] * shape[0]}
    return {"shape": list(shape), "classes": [*map(str, range(classes))], **moments}


def by_weights(tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], dataset: DatasetMetadata) -> Takes:
    """What a state_dict takes that is of another shape than a network's own for the images of a data set.

    Args:
        tensors: of the file.
        own: of the network that was built for the data set.
        dataset: metadata of a prepared split.
    """
    channels, _, _ = dataset["shape"]
    classes, found = len(dataset["classes"]), {}
    for name, there in own.items():
        here = tensors.get(name)
        if here is None or here.shape == there.shape or here.dim() != there.dim():
            continue
        if there.dim() == 4 and there.shape[1] == channels != here.shape[1] and here.shape[1] in CHANNELS:
            found["channels"] = here.shape[1]
        # A pruned layer is no last one, and has fewer inputs as well.
        if there.dim() in (2, 4) and there.shape[0] == classes != here.shape[0] and here.shape[1:] == there.shape[1:]:
            found["classes"] = here.shape[0]
        if there.dim() == 2 and there.shape[0] == here.shape[0] and there.shape[1] != here.shape[1]:
            found["other_size"] = True
    return Takes(**found)


@contextmanager
def base_that_fits(model: nn.Module, path: str | Path, dataset: DatasetMetadata, what: str) -> Generator[None]:
    """Tells, where the weights of a file cannot be loaded within, how its network differs from what images ask for.

    Args:
        model: that they are loaded into.
        what: the file, at the beginning of the message.
    """
    own = dict(model.get_submodule("network").state_dict())
    try:
        yield
    except InputError as error:
        tensors, _ = fitted(read_foreign(path, "pt"), own.keys())
        takes = by_weights(tensors, own, dataset)
        words = unlike(takes, dataset)
        raise InputError(f"{what}: {words}; {for_base(takes, dataset)}") if words else error from None


def by_input(shape: Sequence[int | None], outputs: Mapping[str, object], dataset: DatasetMetadata) -> Takes:
    """What a file takes and tells.

    Args:
        shape: of its input [N, ...] in either layout, None for what is open.
        outputs: name -> shape of those that may have a number for every class.
        dataset: metadata of a prepared split.
    """
    sizes = [[size for size in one[1:] if size != 1] for one in outputs.values() if isinstance(one, list | tuple)]
    classes = sizes[0][0] if len(sizes) == 1 and len(sizes[0]) == 1 else None
    channels, *sides = dataset["shape"]
    if len(shape) != 4 or any(_fits(shape[1:], wanted) for wanted in ((channels, *sides), (*sides, channels))):
        return Takes(classes=classes)
    first, last = shape[1], shape[3]
    found, around = (last, shape[1:3]) if last in CHANNELS and first not in CHANNELS else (first, shape[2:])
    sides_of_file = (around[0], around[1]) if around[0] and around[1] else None
    return Takes(found, sides_of_file, classes)


def _fits(shape: Sequence[int | None], wanted: Sequence[int]) -> bool:
    return all(size in (None, own) for size, own in zip(shape, wanted, strict=True))


def unlike(takes: Takes, dataset: DatasetMetadata) -> str:
    """What a network takes that the images of a data set are not, and what these are; nothing where they fit."""
    channels, *sides = dataset["shape"]
    taken, are = [], []
    if takes.channels not in (None, channels):
        taken.append(_kind(takes.channels))
        are.append(_kind(channels))
    if takes.sides is not None and takes.sides != tuple(sides):
        taken.append(_size(takes.sides))
        are.append(_size(sides))
    elif takes.other_size and not taken:
        taken.append("images of another size")
        are.append(_size(sides))
    told = [f"takes {' of '.join(taken) if taken[1:] else taken[0]}"] if taken else []
    if takes.classes not in (None, len(dataset["classes"])):
        told.append(f"tells {takes.classes} classes apart")
        are.append(f"{len(dataset['classes'])} classes")
    return f"{' and '.join(told)}, the data set has {', '.join(are)}" if told else ""


def for_base(takes: Takes, dataset: DatasetMetadata) -> str:
    """What to write where the weights of a base do not fit the images."""
    channels, *sides = dataset["shape"]
    settings, options = [], []
    if takes.channels in (GREY, COLOUR) and takes.channels != channels:
        settings.append(f"channels: {takes.channels}")
        options.append(f"CHANNELS={takes.channels}")
    if takes.sides is not None and takes.sides != tuple(sides):
        settings.append(f"size: {takes.sides[0]}")
        options.append(f"SIZE={takes.sides[0]}")
    elif takes.other_size:
        settings.append("as size the one that it was trained on")
        options.append("SIZE=")
    clauses = []
    if settings:
        clauses.append(
            f"write {' and '.join(settings)} in the entry of `datasets`, or {' '.join(options)} of make check"
        )
    if takes.classes not in (None, len(dataset["classes"])):
        clauses.append("give images of the classes that it knows, all of them and no others")
    return ", and ".join(clauses)


def for_compressed(takes: Takes, dataset: DatasetMetadata) -> str:
    """The same of a compressed model, which is compared with its base on the same images."""
    _, *sides = dataset["shape"]
    size_alone = takes.channels in (None, dataset["shape"][0]) and takes.classes in (None, len(dataset["classes"]))
    if size_alone and takes.sides is not None:
        return (
            f"export it for images of {_size(sides)}, or, where its base takes others too, write size: "
            f"{takes.sides[0]} in the entry of `datasets`, or SIZE={takes.sides[0]} of make check"
        )
    return "its base takes what the data set has: give a file that was made of this base"


def _kind(channels: int | None) -> str:
    return f"{KINDS[channels]} images" if channels in KINDS else f"images of {channels} channels"


def _size(sides: Sequence[int]) -> str:
    return f"{' x '.join(map(str, sides))} pixels"
