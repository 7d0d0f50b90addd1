"""A compressed model beside its base, both read as what labels some images best."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from squeezeproof.compression.compared import HALF, NEARLY, compare, share
from squeezeproof.compression.external import as_its_base, read_external
from squeezeproof.entries.architecture import WEIGHTS
from squeezeproof.from_files.given import checked_external
from squeezeproof.from_files.networks import Network, called
from squeezeproof.from_files.readings import as_good, name_of, own_normalization, usual
from squeezeproof.guessing import judged
from squeezeproof.models.moments import moments
from squeezeproof.models.own_pixels import alike, normalization_in
from squeezeproof.models.predict import predict
from squeezeproof.models.takes import described


@dataclass(frozen=True)
class Found:
    """How two files are read.

    Attributes:
        base: the base as it is read.
        settings: of `external`, with what the pixels are made of.
        labels: that the compressed model gives the images, int64 [N].
        note: what was understood of it.
        doubts: what the images leave open of both, a sentence or two each.
    """

    base: Network
    settings: dict[str, Any]
    labels: torch.Tensor
    note: str
    doubts: list[str]


def find_pair(
    settings: dict[str, Any], base: Network, images: torch.Tensor, labels: torch.Tensor, classes: int
) -> Found:
    """How a compressed model and its base are read.

    Of readings that the images do not tell apart, of the base and of the compressed model, those with which both models
    together are right most often, or the base alone where the other knows much less. That weights of the base's network
    agree with it tells nothing of the reading: pixels of less contrast let any two models agree. A file that holds its
    network, or is of another, is read alike whatever the base's pixels are: there another reading is taken with which
    it agrees clearly more, if it knows anything.

    Args:
        settings: of `external`, as a person gives them.
        base: the Network of its base.
        images, labels: as for `find_network`.

    Raises InputError where the file cannot be read.
    """
    own = Path(settings["file"]).suffix != WEIGHTS or bool(settings.get("architecture"))
    bases = [base, *base.others] if own else _as_the_weights_say(settings["file"], base, images, classes)
    read: dict[str, External] = {}
    for one in bases:
        read[one.reading] = (
            read[bases[0].reading] if own and read else _external(settings, one, images, labels, classes)
        )
    answers = {one.reading: one.labels for one in bases}
    pairs = [(one, name) for one in bases for name in read[one.reading].alike]
    labelled = {(one.reading, name): read[one.reading].alike[name].labels for one, name in pairs}
    agree = {key: labelled[key] == answers[key[0]] for key in labelled}
    ours = {key: judged(found, labels) for key, found in labelled.items()}
    theirs = {reading: judged(own_answers, labels) for reading, own_answers in answers.items()}
    # What compressing left of a network may do better on pixels that it was not made for.
    votes = any(found.beyond >= NEARLY * theirs[key[0]].beyond for key, found in ours.items())
    right = {
        key: (theirs[key[0]].accuracy + found.accuracy) / 2 if votes else theirs[key[0]].accuracy
        for key, found in ours.items()
    }
    best = max(right, key=lambda key: (right[key], share(agree[key])))
    why = f"{'both models are' if votes else 'the base is'} right in {right[best]:.1%}{' on average' * votes}"
    if own and ours[best].accuracy > ours[best].usable:
        clearly = [key for key in agree if not as_good(agree[best], agree[key])]
        nearest = max([best, *clearly], key=lambda key: share(agree[key]))
        if nearest != best:
            best, why = nearest, f"the compressed model agrees in {share(agree[nearest]):.1%}"
    reading, name = best
    network = next(one for one in bases if one.reading == reading)
    if len(bases) > 1:
        others = " or ".join(one.reading for one in bases if one.reading != reading)
        network = replace(network, note=f"{network.note}; taken is {reading}, not {others}: {why}")
    # That a file agrees clearly more tells the base's reading, too.
    told = own and ours[best].accuracy > ours[best].usable
    open_there = {key[0] for key in agree if not told or as_good(agree[best], agree[key])}
    otherwise = {one: share(found != answers[reading]) for one, found in answers.items() if one in open_there}
    doubts = [
        *_doubts("the base", reading, otherwise, len(labels), "NORMALIZATION="),
        *read[reading].doubts(name, answers[reading]),
    ]
    note = read[reading].told(name, answers[reading], labels)
    return Found(network, read[reading].alike[name].settings, labelled[best], note, doubts)


def refuse_misread(found: Found, images: torch.Tensor, labels: torch.Tensor, classes: int) -> None:
    """InputError where a compressed model knows less than half of what its base knows, and another reading of it far
    more, or none anything: the study would end with that, on fewer images.
    """
    base, path, dataset = found.base, found.settings["file"], described(images.shape[1:], classes)
    if judged(found.labels, labels).beyond < HALF * judged(base.labels, labels).beyond:
        settings = checked_external(found.settings)
        model, *_ = read_external(path, settings, base.specification, dataset)
        compare(path, model, base.model, images, labels, dataset, settled=as_its_base(path, settings))


def _doubts(whose: str, taken: str, otherwise: dict[str, float], count: int, option: str) -> list[str]:
    """What some images leave open of a model's normalization, nothing or one text.

    Args:
        whose: the model.
        taken: its reading.
        otherwise: every reading that may be meant -> share of the images that the model labels otherwise by it.
        count: of the images.
        option: what says which is meant.
    """
    others = [f"{name} ({apart:.1%} other labels)" for name, apart in otherwise.items() if apart]
    if not others:
        return []
    listed = " or ".join([", ".join([f"{taken} (taken)", *others[:-1]]), others[-1]])
    return [f"{count} images do not tell by which normalization {whose} is to be read: {listed}. {option} says which"]


def _as_the_weights_say(path: str | Path, base: Network, images: torch.Tensor, classes: int) -> list[Network]:
    """The readings of a base that weights of its network, which may carry their normalization, do not contradict; all
    of them where none is left.
    """
    own, dataset = normalization_in(path), described(images.shape[1:], classes)
    readings = [base, *base.others]
    said = [one for one in readings if own is None or alike(own, moments(one.settings["normalization"], dataset))]
    return said or readings


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
        if untold := self._untold(name, own):
            told += f" (so or nearly so by normalization {' or '.join(untold)}: {self._says} says which)"
        return "; ".join([told, *found.notes])

    def doubts(self, name: str, own: torch.Tensor) -> list[str]:
        """What the images leave open where the reading of that name is taken; `own` are the labels of the base."""
        taken = name or "that of a file of which nothing is said"
        return _doubts("the compressed model", taken, self._untold(name, own), len(own), self._says)

    @property
    def _says(self) -> str:
        return f"{self.option}='{{normalization: ...}}'"

    def _untold(self, name: str, own: torch.Tensor) -> dict[str, float]:
        """Other reading that agrees as well with the labels `own` of a base -> share of the images that it labels
        otherwise.
        """
        found = self.alike[name].labels
        # The one that the file says itself is one of the others.
        others = {one: other.labels for one, other in self.alike.items() if one and (other.labels != found).any()}
        return {one: share(other != found) for one, other in others.items() if as_good(found == own, other == own)}


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
    path, option = settings["file"], "COMPRESSED_ARCHITECTURE" if architecture else "OPTIONS"
    apart = partial(own_normalization, path, path, "COMPRESSED_FACTORY=", f"{option}='{{{{normalization: {{}}}}}}'")
    for name, changes in tried.items():
        written = {**settings, **changes}
        with apart():
            model, _, _, done = read_external(path, checked_external(written), base.specification, dataset)
        read[name] = Reading(written, predict(model, images), done)
    right = {name: found.labels == labels for name, found in read.items()}
    best = max(read, key=lambda name: judged(read[name].labels, labels).beyond)
    close = {name: found for name, found in read.items() if as_good(right[best], right[name])}
    return External(what, close, option)
