"""What the audit found: the verdict of one check on one cell, the table of all, and what it means for a cell.

The checks are those of [carlini2019], [croce2020autoattack], [pintor2022] and others. A failure keeps a
cell out of the tables, a warning marks it.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from squeezeproof.errors import InputError
from squeezeproof.store.csvs import read_rows, writing_csv
from squeezeproof.store.kept import Kept
from squeezeproof.types import Key

PASS, WARNING, FAILURE, NOT_APPLICABLE = "pass", "warning", "failure", "not applicable"
# What is to be known and lowers no answer; and what a reader is shown, the worst first.
NOTE = "note"
RAISED = (FAILURE, WARNING, NOTE)
# In the place of a cell's target or attack: all of them.
EVERY = "*"
NAMES = {
    1: "inside ball and box, of these images and labels",
    2: "an exception is a missing cell",
    3: "no example left as it was",
    4: "recorded success re-evaluates",
    5: "robust at most clean accuracy, a suite all its attacks together",
    6: "two forward passes agree",
    7: "logits, not probabilities",
    9: "input gradients neither zero nor non-finite",
    10: "noise, FGSM, PGD, suite in this order",
    11: "more steps or restarts change nothing",
    12: "accuracy does not rise with eps",
    13: "a large budget breaks the model",
    14: "white-box at least as strong as transfer",
    15: "gradients at least as strong as Square",
    16: "the returned point is the best iterate",
    17: "the loss has converged",
    18: "scaling or shifting the logits changes nothing",
    19: "the deployed int8 model agrees with its fake-quantized model",
    20: "no test image is a training image",
    21: "compressed as far as asked",
    22: "the model tells classes apart",
    23: "no two models are one",
    24: "a fresh attack by another library breaks no more",
    25: "perturbations use the budget",
    26: "models trained apart make different errors",
    27: "labels are the target's own, of these images",
    28: "no image is in two classes",
    29: "few test images are there twice",
    30: "made of the training images and of its own base",
    31: "its losses are those that its attack reaches",
    32: "made again, it is the same",
    33: "no two sets are one",
    34: "scales fit what they round",
    35: "what was pruned is 0",
    36: "no class is labelled as another and that as it",
    37: "its weights are those of its base, compressed",
    38: "no test image is nearly a training image",
    39: "test images are treated as training images are",
    40: "as many test images as there should be",
    41: "asked again, the target gives the same labels",
    42: "made again, it is the same to rounding",
    43: "the target was given the stored images",
}
LISTED = 10
HARD = (*range(1, 9), 22, 24, 30, 43)
# The check that a model tells classes apart, how it begins what it says of one that does not, the check that no two
# models are one, and the check that labels are a model's own.
KNOWS, MODEL_BROKEN, DISTINCT, ASKED = 22, "the model is broken: it ", 23, 41
# Checks that warn of attacks on a model that they are weaker than they could be, and those that run PGD alone again.
WEAK = (3, 5, 9, 10, 12, 13, 14, 15, 24, 25, 31, 32)
OF_PGD = (11, 16, 17, 18)
# Checks whose value is to be at least the threshold, as agreement is; that of the others is to be at most that.
AT_LEAST = (19, 22, 25, 37)


@dataclass(frozen=True)
class Finding:
    """The verdict of check number `check` on a cell; `source`, `target` and `attack` may be EVERY."""

    dataset: str
    source: str
    target: str
    attack: str
    check: int
    name: str
    value: float | str
    threshold: float | str
    verdict: str
    message: str

    @property
    def model(self) -> str:
        """The model that the finding is on: the target, or the source where it is on every target."""
        return self.source if self.target == EVERY else self.target


def judge(
    key: Key,
    check: int,
    value: float | str,
    threshold: float | str,
    message: str,
    *,
    bad: bool = False,
    verdict: str | None = None,
) -> Finding:
    """The finding of a check on the cell `key` (dataset, source, target, attack).

    Args:
        message: what is wrong and what to do; left out where the check passes.
        bad: whether more is wrong than `value` and `threshold` tell. No value beyond its threshold passes, nor one that
            is not a number.
        verdict: of a violation; None for a failure or a warning by the check's number.
    """
    violated = verdict or (FAILURE if check in HARD else WARNING)
    bad = bad or beyond(check, value, threshold)
    return Finding(*key, check, NAMES[check], value, threshold, violated if bad else PASS, message if bad else "")


def beyond(check: int, value: float | str, threshold: float | str) -> bool:
    """Whether a value is on the wrong side of its threshold; where either is a text, there are no sides."""
    if isinstance(value, str) or isinstance(threshold, str):
        return False
    return not (value >= threshold if check in AT_LEAST else value <= threshold)


def remedy(path: str | Path) -> str:
    """What to do about a file that is not what it should be; to remove it is not enough where later files exist."""
    return f"make it again: snakemake --cores 2 --forcerun {path}"


def listed(indices: Sequence[int] | np.ndarray, names: Sequence[str] = ()) -> str:
    """The first of some example indices, as text; the examples' names where they have some."""
    shown = ", ".join(names[index] if names else str(index) for index in indices[:LISTED])
    return f"{'' if names else 'examples '}{shown}{', ...' if len(indices) > LISTED else ''}"


def not_applicable(key: Key, check: int, reason: str) -> Finding:
    """The finding of a check that has nothing to look at in a cell."""
    return Finding(*key, check, NAMES[check], "", "", NOT_APPLICABLE, reason)


class Audit:
    """What a table of findings says of single cells."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._checks = {verdict: defaultdict(set) for verdict in (FAILURE, WARNING)}
        for finding in findings:
            if finding.verdict in self._checks:
                key = (finding.dataset, finding.source, finding.target, finding.attack)
                self._checks[finding.verdict][key].add(finding.check)

    def failed(self, dataset: str, source: str, target: str, attack: str) -> bool:
        """Whether a check failed on the cell."""
        return bool(self._numbers(FAILURE, dataset, source, target, attack))

    def warnings(self, dataset: str, source: str, target: str, attack: str) -> str:
        """Numbers of the checks that warn of the cell, such as `10 14`."""
        return " ".join(map(str, sorted(self._numbers(WARNING, dataset, source, target, attack))))

    def weak(self, dataset: str, source: str, attack: str, probed: bool) -> bool:
        """Whether a check warns that an attack on a model is weaker than it could be: to resist it proves little.

        Args:
            probed: whether the attack is the PGD that the audit runs again.
        """
        known = {*WEAK, *(OF_PGD if probed else ())}
        return not known.isdisjoint(self._numbers(WARNING, dataset, source, source, attack))

    def knows_nothing(self, dataset: str, source: str, target: str, attack: str) -> bool:
        """Whether a check warns that the target is broken or near chance: that it stands is no robustness."""
        return KNOWS in self._numbers(WARNING, dataset, source, target, attack)

    def _numbers(self, verdict: str, dataset: str, source: str, target: str, attack: str) -> set[int]:
        known = self._checks[verdict]
        keys = product([dataset], [source, EVERY], [target, EVERY], [attack, EVERY])
        return set().union(*(known.get(key, ()) for key in keys))


NOTHING_FOUND = Audit()


def write_findings(path: str | Path, findings: Iterable[Finding]) -> None:
    """The findings as CSV: failures first, then warnings, notes, what could not be checked, and what passed."""
    order = [*RAISED, NOT_APPLICABLE, PASS]

    def place(finding: Finding) -> tuple[Any, ...]:
        cell = (finding.dataset, finding.source, finding.target, finding.attack)
        return order.index(finding.verdict), *cell, finding.check, finding.message

    with writing_csv(path) as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Finding)], lineterminator="\n")
        writer.writeheader()
        for finding in sorted(findings, key=place):
            writer.writerow(_row(finding))


def read_findings(path: str | Path) -> list[Finding]:
    """The findings of a CSV file; values and thresholds stay text."""
    try:
        return [_finding(row) for row in read_rows(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no table of findings ({error}); remove it and run again") from None


def found_once(kept: Kept | None, about: str, find: Callable[[], list[Finding]]) -> list[Finding]:
    """What `find` finds, or what an earlier run has kept of it, with values and thresholds as the table's text."""
    if kept is None:
        return find()
    text = kept.find(about, lambda: np.frombuffer(json.dumps([*map(_row, find())]).encode(), np.uint8))
    return [_finding(row) for row in json.loads(text.tobytes())]


def _row(finding: Finding) -> dict[str, str]:
    return {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in asdict(finding).items()}


def _finding(row: dict[str, Any]) -> Finding:
    return Finding(check=int(row.pop("check")), **row)


def read_audit(path: str | Path) -> Audit:
    """The Audit of a table of findings."""
    return Audit(read_findings(path))
