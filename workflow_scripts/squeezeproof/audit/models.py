"""Checks of a study's models by what they predict and hold: two that are one, labels of another one; no torch."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from squeezeproof.audit.classes import round_of_classes
from squeezeproof.audit.findings import (
    DISTINCT,
    EVERY,
    FAILURE,
    NOTE,
    WARNING,
    Finding,
    judge,
)
from squeezeproof.audit.knowing import constant
from squeezeproof.audit.labels import SHARED_ERRORS, errors_in_common
from squeezeproof.store.predictions import CLEAN, NOT_SCORED
from squeezeproof.store.tensors import array_digests

# Arrays of a checkpoint that are no weights.
MASK = "mask:"
# Share of clean images that rounding may let one model label in two ways.
ROUNDING = 0.01
# Clean images, and share of them, that two models label differently from which they do not label a whole attacked set
# alike: that none of d differs there is a chance of about e^-d, and a study has many sets.
APART, SHARE_APART = 10, 0.02
# Fewer tell as much of a model that labels every set of a source as another does, where there are several sets.
FEWER, SEVERAL = 5, 3
# Share of images that stand under an attack from which two models differ on some.
STANDING = 0.1
# Images that one of two attacks changes the source's label of and the other does not, from which any model tells them.
TOLD_APART = 10
# Labels that an attack changes on its source from which it changes some on a model of the same base, and the share of
# all labels that it changes on that model itself, from which on some other images of that size change one, too.
FOOLED, FALLEN = 50, 0.5
SHOWN = 3
# What to do where a job stored labels that are not its model's.
AGAIN = "make its predictions again"


def weights_digest(path: str | Path) -> str:
    """One digest of the weights, buffers and quantizers in a checkpoint, whatever its masks and metadata."""
    weights = {name: digest for name, digest in array_digests(path).items() if not name.startswith(MASK)}
    return hashlib.sha256(repr(sorted(weights.items())).encode()).hexdigest()


class Models:
    """What the models of a study predict, and the checks that compare one with another."""

    def __init__(self) -> None:
        # (data set, source, digest of labels) -> targets; (data set, target) -> source -> digest of labels.
        self._predictions, self._everything = defaultdict(list), defaultdict(dict)
        self._clean, self._labels = defaultdict(dict), {}
        # (data set, target) -> clean labels in which one of its files differs most from its first; (data set, source,
        # attack, digest of labels) -> targets; (data set, source, target, attack) -> labels that the attack changes.
        self._differing, self._alike = defaultdict(int), defaultdict(list)
        # (data set, source, attack) -> target -> the set that it was scored on.
        self._changed, self._sets = {}, defaultdict(dict)
        # (data set, target) -> digests of its logits of some clean images.
        self._scores: dict[tuple[str, str], set[str]] = defaultdict(set)
        # (data set, source) -> attack -> its own labels; (data set, source, target, digest of labels) -> attacks.
        self._white_box, self._same = defaultdict(dict), defaultdict(list)

    def add(
        self,
        dataset: str,
        source: str,
        target: str,
        labels: np.ndarray,
        predictions: dict[str, np.ndarray],
        scored: dict[str, str],
        scores: str | None = None,
    ) -> None:
        """Take note of a target's predictions, name -> labels [N], clean and on the sets of one source, of which sets
        these were (`store.predictions.save_predictions`), and of a digest of its logits, if it is known."""
        if scores is not None:
            self._scores[dataset, target].add(scores)
        clean, self._labels[dataset] = predictions[CLEAN], labels
        for attack, told in scored.items():
            self._sets[dataset, source, attack][target] = str(told)
        known = self._clean[dataset].setdefault(target, clean.astype(np.int32))
        # Not their sum, in which rounding in each of many files would look like labels of another model.
        self._differing[dataset, target] = max(self._differing[dataset, target], int((known != clean).sum()))
        for attack, predicted in predictions.items():
            if attack != CLEAN:
                scored = predicted != NOT_SCORED
                self._changed[dataset, source, target, attack] = int((predicted != clean)[scored].sum())
                digest = hashlib.sha256(np.ascontiguousarray(predicted, np.int64).tobytes()).hexdigest()
                self._same[dataset, source, target, digest].append(attack)
                if source == target:
                    self._white_box[dataset, source][attack] = predicted.astype(np.int32)
                # Where nearly all images fall, all models may label them alike.
                if scored.any() and (predicted == labels)[scored].mean() >= STANDING:
                    self._alike[dataset, source, attack, digest].append(target)
        errors = sum(int((predicted != labels).sum()) for predicted in predictions.values())
        # Check 22 tells of a model that answers with one class, as others that are broken may.
        if not constant(clean):
            digest = hashlib.sha256()
            for name in sorted(predictions):
                digest.update(name.encode() + b"\0" + np.ascontiguousarray(predictions[name], np.int64).tobytes())
            self._everything[dataset, target][source] = digest.hexdigest()
            if errors >= SHARED_ERRORS:
                self._predictions[dataset, source, digest.hexdigest()].append(target)

    def findings(
        self,
        weights: dict[tuple[str, str], str],
        parents: dict[tuple[str, str], str | None],
        lossless: Mapping[tuple[str, str], Collection[str]],
        again: str = AGAIN,
    ) -> list[Finding]:
        """Findings of checks 23 and 27 on every model and of checks 26 and 36 on every data set.

        Args:
            weights: (data set, model) -> digest of its weights.
            parents: (data set, model) -> name of the model that it was compressed from, None for others.
            lossless: as `lossless` has them.
            again: what to do where labels are not a model's own, as the reader can do it.
        """
        swapped = [round_of_classes(name, clean, self._labels[name]) for name, clean in self._clean.items()]
        distinct, own = self._distinct(weights, parents, lossless), self._own(parents, again)
        return [*distinct, *self._labelled(parents), *own, *swapped]

    def lossless(self, parents: dict[tuple[str, str], str | None]) -> dict[tuple[str, str], set[str]]:
        """(data set, model) -> models of its own kin that label all that was scored on both as it does, as the model
        does that both come from, if it is neither.
        """
        found, models = defaultdict(set), defaultdict(set)
        for dataset, target in self._everything:
            models[dataset].add(target)
        for dataset, names in models.items():
            lines = {name: _line(dataset, name, parents) for name in names}
            for one, other in combinations(sorted(names), 2):
                for origin in lines[one] & lines[other]:
                    if all(self._alike_throughout(dataset, *pair) for pair in combinations({one, other, origin}, 2)):
                        found[dataset, one].add(other)
                        found[dataset, other].add(one)
        return found

    def _alike_throughout(self, dataset: str, one: str, other: str) -> bool:
        ours, theirs = (self._everything.get((dataset, name), {}) for name in (one, other))
        shared = ours.keys() & theirs.keys()
        return bool(shared) and all(ours[source] == theirs[source] for source in shared)

    def _distinct(
        self,
        weights: dict[tuple[str, str], str],
        parents: dict[tuple[str, str], str | None],
        lossless: Mapping[tuple[str, str], Collection[str]],
    ) -> Iterator[Finding]:
        """Check 23: no two models hold the same weights or, with enough errors, predict the same.

        That a compressed model holds the weights it was made from is a failure of its cells; other pairs are warnings.
        Of other weights that were made from the same ones equal labels are no reason to doubt where the model that
        these were of gives them, too: both compressions are lossless. That they have the same logits is noted.
        """
        same, equal = defaultdict(list), defaultdict(set)
        for (dataset, model), digest in weights.items():
            same[dataset, digest].append(model)
        for (dataset, _, _), targets in self._predictions.items():
            for target in targets:
                equal[dataset, target].update(targets)
        for (dataset, model), digest in weights.items():
            others = [other for other in same[dataset, digest] if other != model]
            alike = sorted(equal[dataset, model] - {model, *others, *lossless.get((dataset, model), ())})
            undone = parents[dataset, model] in others
            if others:
                what = "compressing it changed nothing" if undone else "they are one model, not two"
                message = f"{model} holds the weights of {', '.join(others)}, bit for bit: {what}"
            else:
                message = f"{model} gives every image the label that {', '.join(alike)} gives it: one model, two names?"
            verdict, count = FAILURE if undone else WARNING, len(others) + len(alike)
            bits = self._of_one_logits(dataset, model, parents, lossless)
            if bits and not count:
                message = (
                    f"{model} has other weights than {', '.join(bits)} and gives clean images the same logits, bit for "
                    f"bit: what was compressed has no part in them, or its predictions are those of the other; {AGAIN} "
                    f"to know"
                )
                verdict, count = NOTE, len(bits)
            yield judge((dataset, EVERY, model, EVERY), DISTINCT, count, 0, message, verdict=verdict)

    def _of_one_logits(
        self,
        dataset: str,
        model: str,
        parents: dict[tuple[str, str], str | None],
        lossless: Mapping[tuple[str, str], Collection[str]],
    ) -> list[str]:
        """The models that a compressed one labels all like and, bit for bit, by the same logits."""
        if parents[dataset, model] is None:
            return []
        own = self._scores[dataset, model]
        return sorted(other for other in lossless.get((dataset, model), ()) if own & self._scores[dataset, other])

    def _own(self, parents: dict[tuple[str, str], str | None], again: str) -> Iterator[Finding]:
        """Check 27: what is stored as labels of a target are its own, of the images that they are said to be of.

        Clean images have one label each, whatever else was scored beside them. Two models that label them differently
        do not label all attacked images alike, and images that fool a model fool some of those that were compressed
        from it, or that it was compressed from. Two targets of one source are scored on the same images, and two
        attacks that the source tells apart do not get the same labels from another model. What is about clean images
        and about sets is certain, and a failure.
        """
        borrowed, untouched, elsewhere = self._borrowed(), self._untouched(parents), self._elsewhere()
        repeated = self._repeated()
        for (dataset, target), differing in self._differing.items():
            twice = differing > ROUNDING * len(self._labels[dataset])
            cells = {
                "it labels as another model does": borrowed[dataset, target],
                "no image that fools the source fools it": untouched[dataset, target],
                "it was scored on other images than other models": elsewhere[dataset, target],
                "it labels the images of two attacks alike": repeated[dataset, target],
            }
            found = [f"it has two labels for {differing} clean images"] if twice else []
            found += [f"{text}: {', '.join(names[:SHOWN])}" for text, names in cells.items() if names]
            # Training against attacks may do it as well, where nothing tells what the target resists.
            trained = ", unless it was trained against attacks" * (len(found) == 1 and bool(untouched[dataset, target]))
            message = (
                f"{'; '.join(found)}: these are labels of another model, of other images or in another order{trained}; "
                f"{again}"
            )
            verdict = FAILURE if twice or elsewhere[dataset, target] else WARNING
            yield judge((dataset, EVERY, target, EVERY), 27, len(found), 0, message, verdict=verdict)

    def _borrowed(self) -> dict[tuple[str, str], list[str]]:
        """(data set, target) -> cells in which it has the labels of another model that clean images tell from it."""
        sets, alike = Counter(), defaultdict(list)
        for (dataset, source, attack, _), targets in self._alike.items():
            # What the source says of its own images is what is known of it best.
            for target in (target for target in targets if target != source):
                sets[dataset, source, target] += 1
                for other in targets:
                    alike[dataset, source, target, other].append(attack)
        found = defaultdict(set)
        for (dataset, source, target, other), attacks in alike.items():
            clean, every = self._clean[dataset], len(attacks) == sets[dataset, source, target]
            least = FEWER if every and len(attacks) >= SEVERAL else APART
            if (clean[other] != clean[target]).sum() >= max(least, SHARE_APART * len(clean[target])):
                found[dataset, target].update(f"{attack} of {source}" for attack in attacks)
        return defaultdict(list, {key: sorted(cells) for key, cells in found.items()})

    def _elsewhere(self) -> dict[tuple[str, str], list[str]]:
        """(data set, target) -> cells in which it was scored on another set than the source itself, or than most."""
        found = defaultdict(list)
        for (dataset, source, attack), sets in self._sets.items():
            most, _ = Counter(sets.values()).most_common(1)[0]
            meant = sets.get(source, most)
            for target in (target for target, told in sets.items() if told != meant):
                found[dataset, target].append(f"{attack} of {source}")
        return found

    def _untouched(self, parents: dict[tuple[str, str], str | None]) -> dict[tuple[str, str], list[str]]:
        """(data set, target) -> cells in which no label changes, of sources of the same base whose own labels do.

        Of a target that resists the same attack on itself, as one that was trained against it does, that says nothing.
        """
        found = defaultdict(list)
        for (dataset, source, target, attack), changed in self._changed.items():
            one_base = (parents.get((dataset, source)) or source) == (parents.get((dataset, target)) or target)
            fooled = self._changed.get((dataset, source, source, attack), 0)
            own = self._changed.get((dataset, target, target, attack), np.inf)
            resists = own < max(FOOLED, FALLEN * len(self._labels[dataset]))
            if one_base and not (changed or resists or constant(self._clean[dataset][target])) and fooled >= FOOLED:
                found[dataset, target].append(f"{attack} of {source}")
        return found

    def _repeated(self) -> dict[tuple[str, str], list[str]]:
        """(data set, target) -> attacks on one source that have the same labels there, though the source's differ."""
        found = defaultdict(list)
        for (dataset, source, target, _), attacks in self._same.items():
            own = self._white_box[dataset, source]
            known = [name for name in attacks if name in own and self._changed[dataset, source, target, name] >= FOOLED]
            for first, second in pairwise(known):
                if target != source and int((own[first] != own[second]).sum()) >= TOLD_APART:
                    found[dataset, target].append(f"{first} and {second} of {source}")
        return found

    def _labelled(self, parents: dict[tuple[str, str], str | None]) -> Iterator[Finding]:
        """Check 26 of every data set."""
        for dataset, clean in self._clean.items():
            apart = [model for model in clean if parents[dataset, model] is None]
            yield errors_in_common((dataset, EVERY, EVERY, EVERY), clean, self._labels[dataset], apart)


def _line(dataset: str, model: str, parents: dict[tuple[str, str], str | None]) -> set[str]:
    """A model, the one that it was compressed from, the one that this was compressed from, and so on."""
    line, found = model, set()
    while line and line not in found:
        found.add(line)
        line = parents.get((dataset, line))
    return found
