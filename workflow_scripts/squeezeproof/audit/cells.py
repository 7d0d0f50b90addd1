"""Checks of the predictions of single cells, and the cells that `audit.comparisons` compares; no torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from squeezeproof.audit.findings import EVERY, WARNING, Finding, judge, listed, not_applicable, remedy
from squeezeproof.audit.knowing import works
from squeezeproof.audit.models import Models
from squeezeproof.audit.sets import HELPS
from squeezeproof.entries import registry
from squeezeproof.entries.attack import Attack
from squeezeproof.store.predictions import (
    ASKED_AGAIN,
    CLEAN,
    KIND,
    NOT_SCORED,
    SCORED,
    SCORES,
    read_predictions,
    read_targeted,
)
from squeezeproof.store.tensors import read_arrays, read_metadata
from squeezeproof.types import Key, PredictionsMetadata

# Standard errors of a difference up to which chance explains it.
CHANCE = 2.0
# Share of the labels that were asked for again which another batch may decide.
OTHERS = 0.01


@dataclass(frozen=True)
class Split:
    """What predictions must have been made of: `labels` [N] and `fingerprint` of a test split."""

    labels: np.ndarray
    fingerprint: str


def read_test(path: str | Path) -> Split:
    """The Split of a prepared test split; InputError where the file is no data set."""
    metadata = read_metadata(path, "dataset", {"fingerprint": str})
    return Split(read_arrays(path, ["labels"])["labels"], metadata["fingerprint"])


@dataclass(frozen=True, eq=False)
class Cell:
    """One attack crafted on `source` and scored on `target`: `correct` and `scored`, both bool [N]."""

    dataset: str
    source: str
    target: str
    attack: str
    settings: dict[str, Any]
    correct: np.ndarray
    scored: np.ndarray

    @property
    def key(self) -> Key:
        return self.dataset, self.source, self.target, self.attack

    @property
    def white_box(self) -> bool:
        return self.source == self.target

    @property
    def method(self) -> str:
        return self.settings["method"]

    @property
    def entry(self) -> type[Attack]:
        """What the attack declares of itself."""
        return registry.attacks()[self.method]

    @property
    def budget(self) -> tuple[str, float | None]:
        return self.settings["norm"], self.settings["eps"]

    @property
    def accuracy(self) -> float:
        return float(self.correct[self.scored].mean())


def gap(first: Cell, second: Cell) -> tuple[float, float]:
    """Mean and standard error of correct(first) - correct(second) over the examples that both cells score."""
    both = first.scored & second.scored
    difference = first.correct[both].astype(float) - second.correct[both]
    return float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))


def together(cells: Sequence[Cell]) -> Cell:
    """The attacks of some cells as one: an example stands where it stands against all (pointwise AND)."""
    correct = np.logical_and.reduce([cell.correct | ~cell.scored for cell in cells])
    return Cell(*cells[0].key, cells[0].settings, correct, np.logical_or.reduce([cell.scored for cell in cells]))


def audit_predictions(
    path: str | Path, splits: dict[str, Split], fingerprints: dict[tuple[str, str], str], models: Models
) -> tuple[list[Cell], list[Finding]]:
    """Cells of a predictions file that can be compared, and findings of checks 1, 2, 5, 22, 41 and 43 on all of them.

    Of targeted attacks, whose success is no accuracy, there are findings of check 2 and no cells.

    Args:
        path: of the predictions of one target on the sets of one source.
        splits: data set -> Split.
        fingerprints: (data set, model) -> fingerprint of its checkpoint.
        models: audit.models.Models, which takes note of the predictions.

    Raises InputError where the file cannot be read.
    """
    labels, predictions, metadata = read_predictions(path)
    key = (metadata["dataset"], metadata["source"], metadata["target"], EVERY)
    findings = [_current(key, metadata, labels, splits[key[0]], fingerprints, path)]
    findings += [_same_again(key, metadata, path), _as_stored(key, metadata, path)]
    if labels.shape != splits[key[0]].labels.shape:
        return [], findings
    clean = predictions[CLEAN]
    told: Any = dict(metadata).get(ASKED_AGAIN)
    scores = (told or {}).get(CLEAN, {}).get(SCORES)
    models.add(key[0], key[1], key[2], labels, predictions, metadata[SCORED], scores)
    cells = []
    for attack, settings in metadata["attacks"].items():
        predicted = predictions.get(attack)
        findings.append(_complete((*key[:3], attack), predicted, settings, len(metadata["classes"]), path))
        if predicted is not None and findings[-1].verdict == "pass":
            cell = Cell(*key[:3], attack, settings, predicted == labels, predicted != NOT_SCORED)
            cells.append(cell)
            findings += [below_clean(cell, clean == labels), works(cell.key, clean, labels)]
    for attack, found in read_targeted(path)[2].items():
        own, count = found.targets == labels, len(metadata["classes"])
        findings.append(_complete((*key[:3], attack), found.predictions, found.settings, count, path, own))
    return cells, findings


def _current(
    key: Key,
    metadata: PredictionsMetadata,
    labels: np.ndarray,
    split: Split,
    fingerprints: dict[tuple[str, str], str],
    path: str | Path,
) -> Finding:
    dataset, source, target, _ = key
    known = fingerprints.get((dataset, source))
    crafted_on = {attack: str(told).partition(":")[0] for attack, told in metadata[SCORED].items()}
    strange = [attack for attack, weights in crafted_on.items() if known is not None and weights != known]
    problems = {
        "are of other images than the test split has": metadata["clean_fingerprint"] != split.fingerprint,
        "are those of other weights than the target has": metadata["target_fingerprint"]
        != fingerprints[dataset, target],
        f"are of images that were crafted on other weights than the source has ({', '.join(strange)})": bool(strange),
        "come with other labels than the test split's": not np.array_equal(labels, split.labels),
    }
    found = [text for text, wrong in problems.items() if wrong]
    message = f"the predictions {' and '.join(found)}; {remedy(path)}"
    return judge(key, 1, len(found), 0, message)


def _same_again(key: Key, metadata: PredictionsMetadata, path: str | Path) -> Finding:
    """Check 41: the labels that were stored are those that the target gave when it was asked for some again."""
    told: Any = dict(metadata).get(ASKED_AGAIN)
    if not told:
        return not_applicable(
            key, 41, "a target of a sweep, and one whose passes draw random numbers, is not asked again"
        )
    asked = sum(each["asked"] for each in told.values())
    other = {name: each["other"] for name, each in told.items() if each["other"]}
    message = (
        f"asked again for {asked} of its labels, the target gave {sum(other.values())} others "
        f"({', '.join(map(str, other))}): what is stored is not what it says of these images; {remedy(path)}"
    )
    return judge(key, 41, sum(other.values()), OTHERS * asked, message)


def _as_stored(key: Key, metadata: PredictionsMetadata, path: str | Path) -> Finding:
    """Check 43: the pixels that the target was given are those of the files."""
    told: Any = dict(metadata).get(ASKED_AGAIN)
    known = {name: each["unlike"] for name, each in (told or {}).items() if "unlike" in each}
    if not known:
        return not_applicable(key, 43, "what a target of a sweep, or of passes that differ, was given is not noted")
    unlike = {name: count for name, count in known.items() if count}
    message = (
        f"{sum(unlike.values())} images that the target was given are not those that are stored "
        f"({', '.join(map(str, unlike))}), such as where they are rounded on the way; {remedy(path)}"
    )
    return judge(key, 43, sum(unlike.values()), 0, message)


def _complete(
    key: Key,
    predicted: np.ndarray | None,
    settings: dict[str, Any],
    classes: int,
    path: str | Path,
    left_out: np.ndarray | bool = False,
) -> Finding:
    """Check 2: every example that is not the attacker's own, nor `left_out` [N], has a label."""
    if "failed" in settings:
        return judge(key, 2, "", 0, settings["failed"], bad=True)
    if predicted is None:
        return judge(key, 2, "", 0, f"{path} holds no predictions for it; {remedy(path)}", bad=True)
    held_out = registry.attacks()[settings["method"]].held_out(settings)
    invalid = (predicted < 0) | (predicted >= classes)
    missing = np.flatnonzero(invalid & ~np.asarray(left_out) & (np.arange(len(predicted)) >= held_out))
    message = f"{len(missing)} predictions are missing ({listed(missing)}); {remedy(path)}"
    return judge(key, 2, len(missing), 0, message, bad=bool(invalid.all()))


def below_clean(cell: Cell, clean: np.ndarray) -> Finding:
    """Check 5, of a cell: the attack does not raise the accuracy.

    Where the attack searches on the target itself, it never may. Elsewhere (transfer, noise, ...) a rise beyond chance
    is a warning: a network may do better on attacked images than on clean ones.
    """
    unattacked = Cell(*cell.key, cell.settings, clean, cell.scored)
    rise, error = gap(cell, unattacked)
    certain = cell.white_box and cell.entry.never_helps(cell.settings)
    other = (
        "the target may know attacked images better than clean ones, as networks trained on nothing else do; see its "
        "clean accuracy"
    )
    message = f"accuracy rises by {100 * rise:.2g} points under attack: {HELPS if certain else other}"
    verdict = None if certain else WARNING
    return judge(cell.key, 5, rise, 0.0 if certain else CHANCE * error, message, verdict=verdict)


def by_target(paths: Iterable[str | Path]) -> list[list[str]]:
    """Predictions files of one target after the other, as lists of paths."""
    grouped = {}
    for path in sorted(map(str, paths)):
        metadata: PredictionsMetadata = read_metadata(path, KIND)
        grouped.setdefault((metadata["dataset"], metadata["target"]), []).append(path)
    return list(grouped.values())
