"""A compressed model beside its base, both read as what labels some images best, and most alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from squeezeproof.compression.compared import share
from squeezeproof.compression.external import read_external
from squeezeproof.entries.architecture import WEIGHTS
from squeezeproof.from_files.given import checked_external
from squeezeproof.from_files.networks import Network, called
from squeezeproof.from_files.readings import as_good, name_of, usual
from squeezeproof.guessing import judged
from squeezeproof.models.predict import predict
from squeezeproof.models.takes import described


def find_pair(
    settings: dict[str, Any], base: Network, images: torch.Tensor, labels: torch.Tensor, classes: int
) -> tuple[Network, dict[str, Any], str]:
    """(the base as it is read, settings of `external` with what the pixels are made of, what was understood).

    Of readings that the images do not tell apart, of the base and of the compressed model, the two that agree most:
    both were made for one kind of pixels.

    Args:
        settings: of `external`, as a person gives them.
        base: the Network of its base.
        images, labels: as for `find_network`.

    Raises InputError where the file cannot be read.
    """
    read: dict[str, External] = {}
    # What holds its network, or is of another one, is read alike whatever the base's pixels are.
    own = Path(settings["file"]).suffix != WEIGHTS or bool(settings.get("architecture"))
    for one in (base, *base.others):
        read[one.reading] = read[base.reading] if own and read else _external(settings, one, images, labels, classes)
    own_labels = {one.reading: predict(one.model, images) for one in (base, *base.others)}
    agreements = {
        (reading, name): share(found.labels == own)
        for reading, own in own_labels.items()
        for name, found in read[reading].alike.items()
    }
    best, name = max(agreements, key=lambda key: agreements[key])
    network = next(one for one in (base, *base.others) if one.reading == best)
    if len(read) > 1:
        reached = {one: max(value for (of, _), value in agreements.items() if of == one) for one in read}
        others = " and ".join(f"{value:.1%} with {one}" for one, value in reached.items() if one != best)
        chosen = f"; taken is {best}, with which the compressed model agrees in {reached[best]:.1%}, {others}"
        network = replace(network, note=f"{network.note}{chosen}")
    return network, read[best].alike[name].settings, read[best].told(name, own_labels[best], labels)


@dataclass(frozen=True)
class Reading:
    """A compressed model read in one way: its entry of `compressions`, its labels of images, what was done to it."""

    settings: dict[str, Any]
    labels: torch.Tensor
    notes: Sequence[str]


@dataclass(frozen=True)
class External:
    """The readings of a compressed model that images do not tell from the best one, by name.

    Attributes:
        what: how it is called.
        option: which option says its normalization.
    """

    what: str
    alike: dict[str, Reading]
    option: str = "OPTIONS"

    def told(self, name: str, own: torch.Tensor, labels: torch.Tensor) -> str:
        """What was understood where the reading of that name is taken, for a base that gives the labels `own`."""
        found = self.alike[name]
        answers = judged(found.labels, labels)
        told = f"{self.what}normalization {name}, " if name else self.what
        told += f"{answers.accuracy:.1%} of {len(labels)} images right, as the base in {share(found.labels == own):.1%}"
        if answers.accuracy <= answers.usable:
            told += f", no better than chance ({answers.unrelated_in_words})"
        others = {
            one: other.labels for one, other in self.alike.items() if one and (other.labels != found.labels).any()
        }
        # The one that the file says itself is one of the others.
        if untold := [one for one, other in others.items() if as_good(found.labels == own, other == own)]:
            readings = " or ".join(untold)
            told += f" (so or nearly so by normalization {readings}: {self.option}='{{normalization: ...}}' says which)"
        return "; ".join([told, *found.notes])


def _external(
    settings: dict[str, Any], base: Network, images: torch.Tensor, labels: torch.Tensor, classes: int
) -> External:
    """The External of a file that is compared with a base."""
    dataset = described(images.shape[1:], classes)
    architecture, read = settings.get("architecture"), {}
    if architecture:
        what = f"{called(architecture)}, "
        readings = usual(architecture.get("normalization"), images, base.reading)
        tried = {name: {"architecture": {**architecture, "normalization": value}} for name, value in readings.items()}
    elif Path(settings["file"]).suffix == WEIGHTS or settings.get("normalization"):
        what = "weights of the base's network, " if Path(settings["file"]).suffix == WEIGHTS else ""
        named = settings.get("normalization")
        tried = {name_of(named) if named else "": {}}
    else:
        what = ""
        tried = {"": {}} | {name: {"normalization": value} for name, value in usual(None, images).items()}
    for name, changes in tried.items():
        written = {**settings, **changes}
        model, _, _, done = read_external(settings["file"], checked_external(written), base.specification, dataset)
        read[name] = Reading(written, predict(model, images), done)
    right = {name: found.labels == labels for name, found in read.items()}
    best = max(read, key=lambda name: judged(read[name].labels, labels).beyond)
    close = {name: found for name, found in read.items() if as_good(right[best], right[name])}
    return External(what, close, "COMPRESSED_ARCHITECTURE" if architecture else "OPTIONS")
