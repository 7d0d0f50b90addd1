"""The networks that are known here, and which of them a file of weights belongs to, by names and shapes of tensors."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from squeezeproof.entries import registry
from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.build import APART
from squeezeproof.models.quantizers import quantized
from squeezeproof.models.state_dicts import Ambiguous, fitted, plain_state, state_of_file
from squeezeproof.models.takes import COLOUR, GREY, Takes, for_base, unlike
from squeezeproof.store.tensors import read_foreign
from squeezeproof.types import DatasetMetadata

# Of torchvision's networks the stem is not told by the weights.
STEMS = ("small", "original")
# Of images that networks are usually trained on, in pixels.
SIDES = (28, 32, 64, 96, 128, 224)
# Numbers of VGG's last layer, the widest of torchvision's.
LAST_LAYER = 1000 * 4097
# What weights are made by.
FILLED = (torch.empty, torch.zeros, torch.ones, torch.full, torch.randn)


def fitting(path: str | Path, dataset: DatasetMetadata) -> list[dict[str, Any]]:
    """Entries of `architectures` whose networks have tensors of the names and shapes in a file."""
    several = None
    with state_of_file(f"BASE={path}"):
        tensors, _ = plain_state(read_foreign(path, "pt"))
        if words := quantized(path, tensors.keys()):
            raise InputError(f"BASE={path}: {words}")
        for alike in known(sum(tensor.numel() for tensor in tensors.values()), named=True):
            try:
                if found := [one for one in alike if _fits(one, tensors, dataset)]:
                    return found
            except Ambiguous as error:
                # A smaller network may have its names several times in the one that is meant.
                several = several or error
        if several:
            raise several
    if takes := _of_other_images(tensors, dataset):
        raise InputError(f"BASE={path}: {unlike(takes, dataset)}; {for_base(takes, dataset)}")
    raise InputError(
        f"BASE={path}: its {len(tensors)} tensors ({', '.join(list(tensors)[:3])}, ...) are those of no network "
        f"that is known here for {len(dataset['classes'])} classes of images {dataset['shape']}; write FACTORY="
        f"module:function, the function of yours that makes it, or ARCHITECTURE='{{kind: cnn8, width: 16}}'"
    )


def _of_other_images(tensors: dict[str, torch.Tensor], dataset: DatasetMetadata) -> Takes | None:
    """The images and classes that a network which is known here has weights for, if these are its."""
    channels, side, _ = dataset["shape"]
    inputs = {tensor.shape[1] for tensor in tensors.values() if tensor.dim() == 4}
    # Depthwise convolutions have one input, too.
    meant = COLOUR if COLOUR in inputs else GREY if GREY in inputs else channels
    classes = min((len(tensor) for tensor in tensors.values() if tensor.dim() == 2), default=len(dataset["classes"]))
    sizes = [size for size in dict.fromkeys((side, *SIDES)) if _any(tensors, dataset, meant, classes, size, side)]
    if side in sizes:
        return Takes(meant, None, classes)
    sides = (sizes[0], sizes[0]) if len(sizes) == 1 else None
    return Takes(meant, sides, classes, other_size=len(sizes) > 1) if sizes else None


def _any(
    tensors: dict[str, torch.Tensor], dataset: DatasetMetadata, channels: int, classes: int, size: int, side: int
) -> bool:
    """Whether a network for such images has the tensors of a file; of another `size` than their `side` one of ours."""
    asked: DatasetMetadata = {**dataset, "shape": [channels, size, size], "classes": [*map(str, range(classes))]}
    for alike in known(sum(tensor.numel() for tensor in tensors.values()), named=size == side):
        try:
            if any(_fits(one, tensors, asked) for one in alike):
                return True
        except Ambiguous:
            continue
    return False


def _fits(settings: dict[str, Any], tensors: dict[str, torch.Tensor], dataset: DatasetMetadata) -> bool:
    """Whether a network has the tensors, name -> tensor, of a file; Ambiguous where it has its names several times."""
    wanted = shapes(settings, dataset)
    if wanted is None:
        return False
    found, _ = fitted(tensors, wanted)
    return {name: tuple(tensor.shape) for name, tensor in found.items()} == wanted


def known(numbers: int, named: bool) -> Iterator[list[dict[str, Any]]]:
    """Every network that needs no setting and, if `named`, every classifier of torchvision, each in the forms that
    weights leave open; those of about so many numbers first, as each takes a second to build, and none that has far
    more.
    """
    from torchvision import models

    def size(name: str) -> float:
        return next(iter(models.get_model_weights(name))).meta["num_params"]

    def far(name: str) -> float:
        return abs(size(name) - numbers)

    for kind, entry in registry.architectures().items():
        if all(not field.is_required() for field in entry.model_fields.values()):
            yield [{"kind": kind}]
    for name in sorted(models.list_models(module=models), key=far) if named else ():
        # For few classes a network lacks what the widest last layer has for ImageNet's.
        if size(name) - LAST_LAYER > 2 * numbers:
            continue
        yield [{"kind": "torchvision", "name": name, "stem": stem} for stem in STEMS]


class WithoutValues(TorchFunctionMode):
    """Tensors that are made to hold weights have shapes and no values; others are computed with, such as the widths of
    RegNets' stages.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = {"device": "meta", **(kwargs or {})} if func in FILLED else kwargs or {}
        return func(*args, **kwargs)


def shapes(settings: dict[str, Any], dataset: DatasetMetadata) -> dict[str, tuple[int, ...]] | None:
    """Name -> shape of the tensors of a network; None where it takes no such images."""
    entry = registry.architectures()[settings["kind"]]
    arguments = {**entry.defaults(), **settings}
    for key in APART:
        arguments.pop(key, None)
    channels, side, _ = dataset["shape"]
    try:
        # Some of torchvision's networks warn of their initial weights, which are not used.
        with WithoutValues(), warnings.catch_warnings(action="ignore"):
            network = entry.imported()(
                in_channels=channels, num_classes=len(dataset["classes"]), image_size=side, **arguments
            )
    except (RuntimeError, ValueError, AssertionError) as error:
        pass_on(error)
        # A network that cannot be built for such images is none that the weights are of; any other error is ours.
        return None
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
