"""Which network a file of weights belongs to, and what its pixels are made of: tried, and the best is taken."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from scipy.stats import binomtest

from squeezeproof.compression.compared import chance_of, share
from squeezeproof.compression.external import read_external
from squeezeproof.entries import registry
from squeezeproof.entries.architecture import WEIGHTS
from squeezeproof.entries.architectures.custom import named_as_file
from squeezeproof.entries.settings import Settings, as_dict, suggest
from squeezeproof.errors import InputError
from squeezeproof.from_files.known import fitting
from squeezeproof.models.build import build, moments, specification
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.own_pixels import alike, another, normalization_in
from squeezeproof.models.predict import predict
from squeezeproof.models.takes import base_that_fits, described
from squeezeproof.store.converted import notes_in
from squeezeproof.study.factory_files import factory_problems
from squeezeproof.study.schema import in_words
from squeezeproof.types import DatasetMetadata, Specification

NORMALIZATIONS = ("none", "half", "imagenet", "bytes")
# Probability below which two readings of a model that are equally good would differ so much on some images.
TELLING = 0.01


@dataclass(frozen=True)
class Network:
    """A network with its weights.

    Attributes:
        settings: its entry of `architectures`.
        accuracy: on some images.
        note: what was understood.
        others: the same weights read in other ways, which these images do not tell from this one.
    """

    settings: dict[str, Any]
    accuracy: float
    note: str
    model: torch.nn.Module
    specification: Specification
    others: tuple["Network", ...] = ()


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
    dataset = described(images.shape[1:], classes)
    _check_normalization(normalization, images)
    candidates = [_checked_architecture(architecture)] if architecture else fitting(path, dataset)
    pixels = [normalization] if normalization else [one for one in NORMALIZATIONS if _goes_with(one, images)]
    pixels = _as_the_file_says(path, pixels, dataset)
    tried = {}
    for settings in candidates:
        for one in pixels:
            complete: Any = {**_defaults(settings), **settings, "normalization": one}
            spec = specification(complete, dataset)
            model = build(spec, seed=0)
            with base_that_fits(model, path, dataset, f"BASE={path}"):
                done = load_weights(model, path)
            written = {**settings, "normalization": one}
            tried[_said(written)] = predict(model, images) == labels, written, model, spec, done
    chance, usable = chance_of(labels)
    shares = {name: share(right) for name, (right, *_) in tried.items()}
    best = max(shares, key=lambda name: shares[name])
    right, settings, _, _, done = tried[best]
    # One network needs to be named once.
    named = f"{_said(settings).partition(', normalization ')[0]}, normalization "
    others = [f"{name.removeprefix(named)} {part:.1%}" for name, part in shares.items() if name != best]
    if shares[best] <= usable:
        raise InputError(
            f"BASE={path}: labels {shares[best]:.1%} of {len(labels)} images rightly at best, the largest class alone "
            f"is {chance:.1%}. Tried: {', '.join([best, *others])}. Compare the order of the class folders, the size "
            f"of the images and their normalisation with those that it was trained on; NORMALIZATION= and "
            f"ARCHITECTURE= say what the file does not"
        )
    close = [name for name in tried if name.startswith(named) and name != best and _alike(right, tried[name][0])]
    close = [name for name in close if shares[name] > usable]
    told = {name: f"{name}: {shares[name]:.1%} of {len(labels)} images right" for name in [best, *close]}
    told[best] += f" ({', '.join(others)})" if others else ""
    if close:
        readings = " and ".join(name.removeprefix(named) for name in [best, *close])
        untold = f"; {readings} cannot be told apart so, NORMALIZATION= says which it was trained with"
        told = {name: f"{note}{untold}" for name, note in told.items()}
    networks = {
        name: Network(written, shares[name], "; ".join([told[name], *notes_in(path), *done]), model, spec)
        for name, (_, written, model, spec, _) in tried.items()
        if name in told
    }
    return replace(networks[best], others=tuple(networks[name] for name in close))


def find_pair(
    settings: dict[str, Any], base: Network, images: torch.Tensor, labels: torch.Tensor, classes: int
) -> tuple[Network, dict[str, Any], str]:
    """(the base as it is read, settings of `external` with what a file's pixels are made of, what was understood).

    Of readings of the base that the images do not tell apart, the one with which the compressed model agrees most: both
    were made for one kind of pixels. Arguments and errors as of `find_external`.
    """
    found: dict[str, tuple[Network, tuple[dict[str, Any], str, float]]] = {}
    for one in (base, *base.others):
        found[one.settings["normalization"]] = one, find_external(settings, one, images, labels, classes)
    best = max(found, key=lambda name: found[name][1][2])
    network, (written, note, agreement) = found[best]
    if len(found) > 1:
        others = " and ".join(f"{other:.1%} with {name}" for name, (_, (_, _, other)) in found.items() if name != best)
        chosen = f"; taken is {best}, with which the compressed model agrees in {agreement:.1%}, {others}"
        network = replace(network, note=f"{network.note}{chosen}")
    return network, written, note


def find_external(
    settings: dict[str, Any], base: Network, images: torch.Tensor, labels: torch.Tensor, classes: int
) -> tuple[dict[str, Any], str, float]:
    """(settings of `external` with what a file's pixels are made of, what was understood, agreement with the base).

    Args:
        settings: of `external`, as a person gives them. Of a file that holds its network, and says no normalization,
            the one that gives the highest accuracy is taken.
        base: the Network of its base.
        images, labels: as for `find_network`.

    Raises InputError where the file cannot be read.
    """
    dataset, tried = described(images.shape[1:], classes), {}
    holds_network = Path(settings["file"]).suffix != WEIGHTS
    named = settings.get("normalization") or not holds_network
    for one in [settings.get("normalization")] if named else [None, *NORMALIZATIONS]:
        if one is None or _goes_with(one, images):
            written = {**settings, **({"normalization": one} if one else {})}
            model, _, _, done = read_external(settings["file"], _checked(written), base.specification, dataset)
            own = predict(model, images)
            tried[one] = share(own == labels), written, own, done
    best = max(tried, key=lambda one: tried[one][0])
    found, written, own, done = tried[best]
    agreement = share(own == predict(base.model, images))
    what = f"normalization {best}, " if best else "weights of the base's network, " if not holds_network else ""
    if settings.get("architecture"):
        what = f"{_said({'normalization': 'as written', **settings['architecture']})}, "
    told = f"{what}{found:.1%} of {len(labels)} images right, as the base in {agreement:.1%}"
    chance, usable = chance_of(labels)
    told += f", no better than chance (the largest class is {chance:.1%})" if found <= usable else ""
    # None is one of the others.
    alike = [one for one, (_, _, other, _) in tried.items() if one and (other != own).any()]
    alike = [one for one in alike if _alike(own == labels, tried[one][2] == labels)]
    if alike:
        told += f" (so or nearly so by normalization {' or '.join(alike)}: OPTIONS='{{normalization: ...}}' says which)"
    return written, "; ".join([told, *done]), agreement


def _alike(right: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether some images do not tell two readings of a model apart, by the sign test.

    Args:
        right, other: bool [N], which of them each labels rightly.
    """
    more, fewer = int((right & ~other).sum()), int((other & ~right).sum())
    return more + fewer == 0 or bool(binomtest(more, more + fewer).pvalue > TELLING)


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
    checked = as_dict(_valid(kinds[kind], settings, "ARCHITECTURE"))
    if factory := checked.get("factory"):
        told = named_as_file(factory)
        if problems := [f"FACTORY={told}"] if told else factory_problems("FACTORY", factory, checked["arguments"]):
            raise InputError(problems[0])
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
