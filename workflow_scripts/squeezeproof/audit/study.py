"""The audit of a whole study: findings on its sources and on its predictions, one target in memory at a time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from squeezeproof.audit.cells import Split, audit_predictions, by_target
from squeezeproof.audit.comparisons import audit_target
from squeezeproof.audit.findings import (
    ASKED,
    FAILURE,
    KNOWS,
    MODEL_BROKEN,
    PASS,
    WARNING,
    Audit,
    Finding,
)
from squeezeproof.audit.models import Models
from squeezeproof.audit.twins import Twins
from squeezeproof.errors import InputError
from squeezeproof.store.predictions import KIND
from squeezeproof.store.tensors import read_metadata

SHOWN = 5


def audit_study(
    found: Iterable[Finding],
    predictions: Iterable[str | Path],
    splits: dict[str, Split],
    fingerprints: dict[tuple[str, str], str],
    weights: dict[tuple[str, str], str],
    parents: dict[tuple[str, str], str | None],
) -> list[Finding]:
    """All findings of a study.

    Args:
        found: findings on its sets and sources.
        predictions: paths of its predictions files.
        splits: data set -> audit.cells.Split.
        fingerprints: (data set, model) -> fingerprint of its checkpoint.
        weights, parents: as `audit.models.Models.findings` takes them.

    Cells with a failure are not compared with others.
    """
    findings, models, twins = list(found), Models(), Twins()
    for paths in by_target(predictions):
        cells = []
        for path in paths:
            scored, verdicts = audit_predictions(path, splits, fingerprints, models)
            twins.add(read_metadata(path, KIND))
            cells += scored
            findings += verdicts
        failed = Audit(findings).failed
        sound = [cell for cell in cells if not failed(*cell.key)]
        if sound:
            findings += audit_target(sound, splits[sound[0].dataset].labels)
    lossless = models.lossless(parents)
    findings += [*models.findings(weights, parents, lossless), *twins.findings(lossless)]
    return [*with_results(findings, parents)]


def with_results(findings: Sequence[Finding], parents: dict[tuple[str, str], str | None]) -> Iterator[Finding]:
    """The findings, with a warning in the place of a failure where compressing broke a model whose base works.

    That is a result of the study and no fault of it, as long as the labels are the model's own (check 41). To leave its
    cells out would leave out the seeds that it broke.
    """
    broken, own = set(), defaultdict(bool)
    for finding in findings:
        model = finding.dataset, finding.model
        if finding.check == KNOWS and finding.verdict == FAILURE:
            broken.add(model)
        if finding.check == ASKED:
            own[model] = finding.verdict == PASS and own.get(model, True)

    def compressing_broke_it(dataset: str, name: str) -> bool:
        base = name
        while parent := parents.get((dataset, base)):
            base = parent
        return base != name and own[dataset, name] and own[dataset, base] and (dataset, base) not in broken

    for finding in findings:
        told = finding.check == KNOWS and finding.message.startswith(MODEL_BROKEN)
        result = told and compressing_broke_it(finding.dataset, finding.model)
        yield replace(finding, verdict=WARNING) if result else finding


def check(findings: Iterable[Finding]) -> str:
    """A line that counts the findings; InputError where one is a failure: the cells, the checks and what to do."""
    failures = [finding for finding in findings if finding.verdict == FAILURE]
    if failures:
        lines = [
            f"{finding.dataset}, {finding.attack} of {finding.source} on {finding.target}: "
            f"check {finding.check} ({finding.name}): {finding.message}"
            for finding in failures[:SHOWN]
        ]
        more = f"\n... and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
        raise InputError(
            f"failures in the audit: {len(failures)}; their cells are kept out of the tables "
            f"(tables/audit.csv has all; `*` stands for every target or attack):\n" + "\n".join(lines) + more
        )
    counts = {}
    for finding in findings:
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
    return ", ".join(f"{verdict}: {count}" for verdict, count in sorted(counts.items()))
