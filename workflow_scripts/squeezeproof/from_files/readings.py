"""What the pixels of a network are made of, as far as some images tell: every usual normalization is tried."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from scipy.stats import binomtest

from squeezeproof.entries.architecture import WEIGHTS
from squeezeproof.entries.normalization import EXAMPLE, MeanAndStd
from squeezeproof.entries.settings import as_dict, folded, suggest
from squeezeproof.errors import InputError
from squeezeproof.models.moments import IMAGENET, PUBLIC, Moments, moments, public_normalizations, said
from squeezeproof.models.own_pixels import MEAN, STD, alike, another, normalization_in
from squeezeproof.store.tensors import read_foreign
from squeezeproof.study.schema import in_words
from squeezeproof.types import DatasetMetadata

NORMALIZATIONS = ("none", "half", "imagenet", "bytes")
# The mean and std of the images at hand, which are nearly those of the training images.
THESE = "by these images"
# Distance of a mean or std, of pixels in [0, 1], within which two normalizations are nearly one.
NEAR = 0.02
# What the names of a study's checkpoint begin with.
OF_STUDIES = ("normalize.", "network.")
# Probability below which two readings of a model that are equally good would differ so much on some images.
TELLING = 0.01


def as_good(right: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether some images do not tell two readings of a model apart, by the sign test.

    Args:
        right, other: bool [N], which of them each labels rightly.
    """
    more, fewer = int((right & ~other).sum()), int((other & ~right).sum())
    return more + fewer == 0 or bool(binomtest(more, more + fewer).pvalue > TELLING)


def usual(given: Any, images: torch.Tensor, first: str | None = None) -> dict[str, Any]:
    """Name -> `normalization` of every usual one for some images, of the `first` of them before the others; the given
    one alone where there is one.

    Those of public data sets come before that of the images at hand, which is left out where it is nearly one of them.
    """
    if given is not None:
        return {name_of(given): given}
    channels = images.shape[1]
    found: dict[str, Any] = {name: name for name in NORMALIZATIONS if name != "imagenet" or channels == 3}
    public = public_normalizations(channels)
    found |= public
    pixels = images.double().div(255).transpose(0, 1).flatten(1)
    own = pixels.mean(1).tolist(), pixels.std(1).tolist()
    if min(own[1]) > 0 and not any(_near(own, known) for known in [*(PUBLIC[name] for name in public), IMAGENET]):
        mean, std = ([round(number, 4) for number in numbers] for numbers in own)
        found[THESE] = {"mean": mean, "std": std}
    return {name: found[name] for name in sorted(found, key=lambda name: name != first)}


def _near(one: Moments, other: Moments) -> bool:
    return len(one[0]) == len(other[0]) and all(
        abs(a - b) < NEAR for a, b in zip([*one[0], *one[1]], [*other[0], *other[1]], strict=True)
    )


def name_of(normalization: Any) -> str:
    """What messages call a normalization: its own name, or its numbers."""
    public = public_normalizations(len(normalization["mean"])) if isinstance(normalization, dict) else {}
    return next((name for name, numbers in public.items() if numbers == normalization), said(normalization))


def of_the_file(path: str | Path, readings: dict[str, Any], given: Any, dataset: DatasetMetadata) -> dict[str, Any]:
    """The reading that a checkpoint of a study says, all readings where the file says nothing."""
    own = normalization_in(path)
    if own is None:
        return readings
    found = {name: value for name, value in readings.items() if alike(own, moments(value, dataset))}
    if given is not None and not found:
        raise another(f"BASE={path}", own, moments(given, dataset), "leave the normalization out")
    mean, std = ([float(f"{number:.6g}") for number in numbers] for numbers in own)
    numbers = {"mean": mean, "std": std}
    return found or {said(numbers): numbers}


@contextmanager
def own_normalization(path: str | Path, what: str, network: str, numbers: str) -> Generator[None]:
    """Tells, where weights cannot be read within, that a mean and std lie among them.

    Args:
        path: the file.
        what: the file, at the beginning of the message.
        network, numbers: options that name the network that it is of, and a mean and std, `{}` in its place.
    """
    try:
        yield
    except InputError as error:
        own = normalization_in(path) if str(path).endswith(WEIGHTS) else None
        # A checkpoint of a study has its weights below another name.
        if own is None or all(name.startswith(OF_STUDIES) for name in read_foreign(path, "pt")):
            raise
        mean, std = (", ".join(f"{number:.6g}" for number in one) for one in own)
        written = numbers.format(f"{{mean: [{mean}], std: [{std}]}}")
        raise InputError(
            f"{what}: holds {MEAN} and {STD} among its weights, as of a network that normalizes by itself: {network} "
            f"names that one; or save the weights without these two, and write {written} ({error})"
        ) from None


def read_normalization(text: str, images: torch.Tensor) -> Any:
    """The `normalization` that NORMALIZATION= says: a name of a config, of a public data set, or a mapping of numbers.

    Args:
        images: uint8 [N, C, H, W] that it is of.
    """
    what, names = f"NORMALIZATION={text}", _by_spelling((*NORMALIZATIONS, *PUBLIC))
    if text.lstrip().startswith("{"):
        found: Any = _mean_and_std(text, what)
    elif (name := names.get(folded(text))) is None:
        why = "; no training images are at hand" if text == "dataset" else suggest(text, names.values())
        raise InputError(f"{what}: {text!r} is unknown{why}; NORMALIZATION='{EXAMPLE}' gives numbers")
    else:
        found = _numbers(name) if name in PUBLIC else name
    channels = len(found["mean"]) if isinstance(found, dict) else 3 if found == "imagenet" else images.shape[1]
    if channels != images.shape[1]:
        raise InputError(f"{what}: has {channels} channel{'s' * (channels > 1)}, the images have {images.shape[1]}")
    return found


def in_numbers(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a network or a file, whose `normalization` may be the name of a public data set, as a config has
    them.
    """
    name = _by_spelling(PUBLIC).get(folded(str(settings.get("normalization"))))
    return {**settings, "normalization": _numbers(name)} if name else settings


def _by_spelling(names: Iterable[str]) -> dict[str, str]:
    """Name without its case and hyphens -> name: torchvision has CIFAR10 and FashionMNIST."""
    return {folded(name): name for name in names}


def _numbers(name: str) -> dict[str, Any]:
    return dict(zip(("mean", "std"), PUBLIC[name], strict=True))


def _mean_and_std(text: str, what: str) -> dict[str, Any]:
    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"{what}: is no mapping such as '{{mean: [0.5], std: [0.5]}}'") from None
    try:
        # Plain numbers, which a study is written with.
        return {key: [*map(float, numbers)] for key, numbers in as_dict(MeanAndStd.model_validate(written)).items()}
    except ValidationError as error:
        raise InputError(f"{what}: {'; '.join(in_words(error, written, MeanAndStd))}") from None
