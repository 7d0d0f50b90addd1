"""Which network a file of weights belongs to, and what its pixels are made of: tried, and the best is taken."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.from_files.given import checked_architecture
from squeezeproof.from_files.known import fitting
from squeezeproof.from_files.readings import as_good, of_the_file, own_normalization, read_normalization, usual
from squeezeproof.guessing import judged
from squeezeproof.models.build import build, specification
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.predict import predict
from squeezeproof.models.takes import base_that_fits, described
from squeezeproof.store.converted import notes_in
from squeezeproof.types import Specification


@dataclass(frozen=True)
class Network:
    """A network with its weights.

    Attributes:
        settings: its entry of `architectures`.
        accuracy: on some images.
        labels: that it gives these images, int64 [N].
        note: what was understood.
        reading: what its normalization is called.
        others: the same weights read in other ways, which these images do not tell from this one.
    """

    settings: dict[str, Any]
    accuracy: float
    labels: torch.Tensor
    note: str
    model: torch.nn.Module
    specification: Specification
    reading: str
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
        normalization: as NORMALIZATION= has it; None for the usual one that gives the highest accuracy.

    Raises InputError where no network fits, none is better than chance, or what a person gives is unknown.
    """
    dataset, tried = described(images.shape[1:], classes), {}
    given = read_normalization(normalization, images) if normalization else None
    apart = partial(own_normalization, path, f"BASE={path}", "FACTORY=", "NORMALIZATION='{}'")
    with apart():
        known = [checked_architecture(architecture)] if architecture else fitting(path, dataset)
    for settings in known:
        own = given or settings.get("normalization")
        for reading, value in of_the_file(path, usual(own, images), own, dataset).items():
            complete: Any = {**_defaults(settings), **settings, "normalization": value}
            spec = specification(complete, dataset)
            model = build(spec, seed=0)
            with apart(), base_that_fits(model, path, dataset, f"BASE={path}"):
                done = load_weights(model, path)
            written = {**settings, "normalization": value}
            tried[called(settings), reading] = predict(model, images), written, model, spec, done
    found = {key: judged(answers, labels) for key, (answers, *_) in tried.items()}
    network, reading = best = max(found, key=lambda key: found[key].beyond)
    # One network needs to be named once.
    names = {key: key[1] if key[0] == network else f"{key[0]}, normalization {key[1]}" for key in tried}
    others = [f"{names[key]} {one.accuracy:.1%}" for key, one in found.items() if key != best]
    if found[best].accuracy <= found[best].usable:
        raise InputError(
            f"BASE={path}: labels {found[best].accuracy:.1%} of {len(labels)} images rightly at best, "
            f"{found[best].unrelated_in_words}. Tried: "
            f"{', '.join([f'{network}, normalization {reading}', *others])}. Compare the order "
            f"of the class folders, the size of the images and their normalisation with those that it was trained on; "
            f"NORMALIZATION= and ARCHITECTURE= say what the file does not"
        )
    right = {key: answers == labels for key, (answers, *_) in tried.items()}
    close = [key for key in tried if key[0] == network and key != best and as_good(right[best], right[key])]
    close = [key for key in close if found[key].accuracy > found[key].usable]
    told = {
        key: f"{network}, normalization {key[1]}: {found[key].accuracy:.1%} of {len(labels)} images right"
        for key in [best, *close]
    }
    told[best] += f" ({', '.join(others)})" if others else ""
    if close:
        readings = " and ".join(key[1] for key in [best, *close])
        untold = f"; {readings} cannot be told apart so, NORMALIZATION= says which it was trained with"
        told = {key: f"{note}{untold}" for key, note in told.items()}
    networks = {
        key: Network(
            written, found[key].accuracy, answers, "; ".join([told[key], *notes_in(path), *done]), model, spec, key[1]
        )
        for key, (answers, written, model, spec, done) in tried.items()
        if key in told
    }
    return replace(networks[best], others=tuple(networks[key] for key in close))


def called(settings: dict[str, Any]) -> str:
    """A network in a few words."""
    name = settings.get("factory") or settings.get("name") or settings["kind"]
    return f"{name}, stem {settings['stem']}" if "stem" in settings else name


def _defaults(settings: dict[str, Any]) -> dict[str, Any]:
    return registry.architectures()[settings["kind"]].defaults()
