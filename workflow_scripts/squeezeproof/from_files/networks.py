"""Which network a file of weights belongs to, and what its pixels are made of: tried, and the best is taken."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch.overrides import TorchFunctionMode

from squeezeproof.compression.external import chance_of, read_external
from squeezeproof.entries import registry
from squeezeproof.entries.architecture import WEIGHTS
from squeezeproof.entries.settings import Settings, as_dict, suggest
from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.build import APART, build, moments, specification
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.own_pixels import alike, another, normalization_in
from squeezeproof.models.predict import accuracy, predict
from squeezeproof.models.state_dicts import Ambiguous, fitted, plain_state, state_of_file
from squeezeproof.store.tensors import read_foreign
from squeezeproof.study.schema import in_words
from squeezeproof.types import DatasetMetadata, Specification

# Of torchvision's networks the stem is not told by the weights.
STEMS = ("small", "original")
NORMALIZATIONS = ("none", "half", "imagenet", "bytes")
# Numbers of VGG's last layer, the widest of torchvision's.
LAST_LAYER = 1000 * 4097
# What weights are made by.
FILLED = (torch.empty, torch.zeros, torch.ones, torch.full, torch.randn)


@dataclass(frozen=True)
class Network:
    """A network with its weights.

    Attributes:
        settings: its entry of `architectures`.
        accuracy: on some images.
        note: what was understood.
    """

    settings: dict[str, Any]
    accuracy: float
    note: str
    model: torch.nn.Module
    specification: Specification


def find_network(
    path: str | Path,
    images: torch.Tensor,
    labels: torch.Tensor,
    classes: int,
    architecture: dict[str, Any] | None = None,
    normalization: str | None = None,
) -> Network:
    """The Network of a file of weights that labels some images best.

    Args:
        path: a safetensors file with a state_dict.
        images, labels: uint8 [N, C, H, W] and int64 [N].
        architecture: its entry of `architectures`; None for every network that has tensors of these names and shapes.
        normalization: None for the one of NORMALIZATIONS that gives the highest accuracy.

    Raises InputError where no network fits, none is better than the largest class, or what a person gives is unknown.
    """
    dataset = described(images, classes)
    _check_normalization(normalization, images)
    candidates = [_checked_architecture(architecture)] if architecture else _fitting(path, dataset)
    pixels = [normalization] if normalization else [one for one in NORMALIZATIONS if _goes_with(one, images)]
    pixels = _as_the_file_says(path, pixels, dataset)
    tried = {}
    for settings in candidates:
        for one in pixels:
            complete: Any = {**_defaults(settings), **settings, "normalization": one}
            spec = specification(complete, dataset)
            model = build(spec, seed=0)
            done = load_weights(model, path)
            written = {**settings, "normalization": one}
            tried[_said(written)] = accuracy(model, images, labels), written, model, spec, done
    chance, usable = chance_of(labels)
    best = max(tried, key=lambda name: tried[name][0])
    found, settings, model, spec, done = tried[best]
    # One network needs to be named once.
    named = f"{_said(settings).partition(', normalization ')[0]}, normalization "
    others = [f"{name.removeprefix(named)} {share:.1%}" for name, (share, *_) in tried.items() if name != best]
    if found <= usable:
        raise InputError(
            f"BASE={path}: labels {found:.1%} of {len(labels)} images rightly at best, the largest class alone is "
            f"{chance:.1%}. Tried: {', '.join([best, *others])}. Compare the order of the class folders, the size of "
            f"the images and their normalisation with those that it was trained on; NORMALIZATION= and ARCHITECTURE= "
            f"say what the file does not"
        )
    note = f"{best}: {found:.1%} of {len(labels)} images right"
    note += f" ({', '.join(others)})" if others else ""
    near = _as_good(found, len(labels))
    alike = [name for name, (share, *_) in tried.items() if name.startswith(named) and name != best and share >= near]
    if alike:
        readings = " and ".join(name.removeprefix(named) for name in [best, *alike])
        note += f"; {readings} cannot be told apart so, NORMALIZATION= says which it was trained with"
    return Network(settings, found, "; ".join([note, *done]), model, spec)


def described(images: torch.Tensor, classes: int) -> DatasetMetadata:
    """What is known of a data set without its training images: the metadata of a split, nothing of their moments."""
    channels = images.shape[1]
    moments = {"mean": [0.0] * channels, "std": [1.0] * channels}
    return {"shape": list(images.shape[1:]), "classes": [*map(str, range(classes))], **moments}


def find_external(
    settings: dict[str, Any], base: Network, images: torch.Tensor, labels: torch.Tensor, classes: int
) -> tuple[dict[str, Any], str]:
    """(settings of `external` with what a file's pixels are made of, what was understood).

    Args:
        settings: of `external`, as a person gives them. Of a file that holds its network, and says no normalization,
            the one that gives the highest accuracy is taken.
        base: the Network of its base.
        images, labels: as for `find_network`.

    Raises InputError where the file cannot be read.
    """
    dataset, tried = described(images, classes), {}
    holds_network = Path(settings["file"]).suffix != WEIGHTS
    named = settings.get("normalization") or not holds_network
    for one in [settings.get("normalization")] if named else [None, *NORMALIZATIONS]:
        if one is None or _goes_with(one, images):
            written = {**settings, **({"normalization": one} if one else {})}
            model, _, _, done = read_external(settings["file"], _checked(written), base.specification, dataset)
            own = predict(model, images)
            tried[one] = (own == labels).double().mean().item(), written, own, done
    best = max(tried, key=lambda one: tried[one][0])
    found, written, own, done = tried[best]
    agreement = (own == predict(base.model, images)).double().mean().item()
    what = f"normalization {best}, " if best else "weights of the base's network, " if not holds_network else ""
    if settings.get("architecture"):
        what = f"{_said({'normalization': 'as written', **settings['architecture']})}, "
    told = f"{what}{found:.1%} of {len(labels)} images right, as the base in {agreement:.1%}"
    # None is one of the others.
    near = _as_good(found, len(labels))
    alike = [one for one, (share, _, other, _) in tried.items() if one and share >= near and (other != own).any()]
    if alike:
        told += f" (so or nearly so by normalization {' or '.join(alike)}: OPTIONS='{{normalization: ...}}' says which)"
    return written, "; ".join([told, *done])


def _as_good(accuracy: float, images: int) -> float:
    """The accuracy from which another reading may as well be what a model was trained on, within the error of so many
    images.
    """
    return accuracy - (2 * accuracy * (1 - accuracy) / images) ** 0.5


def _as_the_file_says(path: str | Path, pixels: list[str], dataset: DatasetMetadata) -> list[str]:
    """Those of some normalizations that a checkpoint of a study has, all of them where the file says nothing."""
    known, own = moments(dataset), normalization_in(path)
    found = [one for one in pixels if own is None or alike(own, known[one])]
    if own is not None and not found:
        remedy = "FACTORY= names a function of yours, whose network does what the file says itself"
        raise another(f"BASE={path}", own, known[pixels[0]], remedy)
    return found


def _check_normalization(name: str | None, images: torch.Tensor) -> None:
    if name is not None and name not in NORMALIZATIONS:
        raise InputError(f"NORMALIZATION={name}: {name!r} is unknown{suggest(name, NORMALIZATIONS)}")
    if name is not None and not _goes_with(name, images):
        raise InputError(f"NORMALIZATION={name}: has three channels, the images have {images.shape[1]}")


def _checked_architecture(settings: dict[str, Any]) -> dict[str, Any]:
    """An entry of `architectures` that a person gives; InputError with what is wrong with it."""
    kinds, kind = registry.architectures(), str(settings.get("kind"))
    if kind not in kinds:
        raise InputError(f"ARCHITECTURE=: kind: {kind!r} is unknown{suggest(kind, list(kinds))}")
    _valid(kinds[kind], settings, "ARCHITECTURE")
    return settings


def _checked(settings: dict[str, Any]) -> Any:
    """All settings of an `external` compression; InputError with what is wrong with those that a person gives."""
    return as_dict(_valid(registry.compressions()["external"], settings, "OPTIONS"))


def _valid(entry: type[Settings], settings: dict[str, Any], option: str) -> Settings:
    """What a person gives by an option of the command, typed; InputError with what is wrong with it."""
    try:
        return entry.model_validate(settings)
    except ValidationError as error:
        raise InputError(f"{option}=: {'; '.join(in_words(error, settings, entry))}") from None


def _goes_with(normalization: str, images: torch.Tensor) -> bool:
    return normalization != "imagenet" or images.shape[1] == 3


def _said(settings: dict[str, Any]) -> str:
    """A network in a few words."""
    name = settings.get("factory") or settings.get("name") or settings["kind"]
    stem = f", stem {settings['stem']}" if "stem" in settings else ""
    return f"{name}{stem}, normalization {settings['normalization']}"


def _defaults(settings: dict[str, Any]) -> dict[str, Any]:
    return registry.architectures()[settings["kind"]].defaults()


def _fitting(path: str | Path, dataset: DatasetMetadata) -> list[dict[str, Any]]:
    """Entries of `architectures` whose networks have tensors of the names and shapes in a file."""
    several = None
    with state_of_file(f"BASE={path}"):
        tensors, _ = plain_state(read_foreign(path, "pt"))
        for alike in _known(sum(tensor.numel() for tensor in tensors.values())):
            try:
                if found := [one for one in alike if _fits(one, tensors, dataset)]:
                    return found
            except Ambiguous as error:
                # A smaller network may have its names several times in the one that is meant.
                several = several or error
        if several:
            raise several
    raise InputError(
        f"BASE={path}: its {len(tensors)} tensors ({', '.join(list(tensors)[:3])}, ...) are those of no network "
        f"that is known here for {len(dataset['classes'])} classes of images {dataset['shape']}; write FACTORY="
        f"module:function, the function of yours that makes it, or ARCHITECTURE='{{kind: cnn8, width: 16}}'"
    )


def _fits(settings: dict[str, Any], tensors: dict[str, torch.Tensor], dataset: DatasetMetadata) -> bool:
    """Whether a network has the tensors, name -> tensor, of a file; Ambiguous where it has its names several times."""
    shapes = _shapes(settings, dataset)
    if shapes is None:
        return False
    found, _ = fitted(tensors, shapes)
    return {name: tuple(tensor.shape) for name, tensor in found.items()} == shapes


def _known(numbers: int) -> Iterator[list[dict[str, Any]]]:
    """Every network that needs no setting and every classifier of torchvision, each in the forms that weights leave
    open; those of about so many numbers first, as each takes a second to build, and none that has far more.
    """
    from torchvision import models

    def size(name: str) -> float:
        return next(iter(models.get_model_weights(name))).meta["num_params"]

    def far(name: str) -> float:
        return abs(size(name) - numbers)

    for kind, entry in registry.architectures().items():
        if all(not field.is_required() for field in entry.model_fields.values()):
            yield [{"kind": kind}]
    for name in sorted(models.list_models(module=models), key=far):
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


def _shapes(settings: dict[str, Any], dataset: DatasetMetadata) -> dict[str, tuple[int, ...]] | None:
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
