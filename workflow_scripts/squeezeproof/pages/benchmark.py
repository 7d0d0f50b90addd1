"""The study for programs: answers, accuracies and audit in one JSON file, and the gate that reads it.

schemas/benchmark.schema.json describes the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from squeezeproof.analysis.answers import BROKEN
from squeezeproof.analysis.evidence import beside_base, corrected, seeds_of
from squeezeproof.analysis.names import MODEL
from squeezeproof.analysis.verdicts import ITSELF
from squeezeproof.audit.findings import Finding
from squeezeproof.errors import InputError
from squeezeproof.statistics.crossed import About
from squeezeproof.tables.table import records

FORMAT = "squeezeproof-benchmark-2"
CLEAN = {
    "accuracy": "clean_accuracy", "low": "clean_low", "high": "clean_high", "base_accuracy": "base_clean_accuracy",
    "difference": "clean_difference", "difference_low": "clean_difference_low",
    "difference_high": "clean_difference_high",
}  # fmt: skip
ATTACK = ["attack", "method", "norm", "eps", "source", "verdict", "difference", "low", "high", "favours", "seeds", "n"]
SIZES = ["parameters", "nonzeros", "macs", "packed_bytes"]


def benchmark(
    tables: Mapping[str, pd.DataFrame], findings: Sequence[Finding], study: dict[str, Any], statistics: dict[str, Any]
) -> dict[str, Any]:
    """What the study found, ready for JSON; missing numbers are None.

    Args:
        tables: name -> table: `answers`, `verdicts`, `robust_accuracy` and `compression`.
        findings: of the audit.
        study: `name` and `question`.
        statistics: the study's entry of that name: alpha, margin.
    """
    groups = tables["answers"].groupby(["dataset", *MODEL], sort=False)
    models = [_model(tables, group, statistics["alpha"]) for _, group in groups]
    audit = pd.Series([finding.verdict for finding in findings], dtype=str).value_counts()
    return {
        "format": FORMAT,
        "study": study["name"],
        "question": study["question"],
        "statistics": {key: statistics[key] for key in ("alpha", "margin")},
        "audit": {verdict: int(count) for verdict, count in sorted(audit.items())},
        "models": models,
    }


def _model(tables: Mapping[str, pd.DataFrame], answers: Any, alpha: float) -> dict[str, Any]:
    """A compressed model, its answers of each kind of verdict, and its accuracies on these very models."""
    row = answers[answers["about"].eq(About.MODELS)].iloc[0]
    models = tables["compression"]
    names = sorted(seeds_of(models, row))
    sizes = models[models["dataset"].eq(row["dataset"]) & models["model"].isin(names)]
    attacks = beside_base(tables["verdicts"], row, About.MODELS)
    return {
        **{key: _plain(row[key]) for key in ("dataset", *MODEL)},
        "variant": sizes["variant"].iloc[0],
        "models": names,
        "answers": {
            one.about: {"answer": one.answer, "reasons": _parts(one.reasons), "changes": _parts(one.changes)}
            for one in answers.itertuples()
        },
        "threat": row["threat"],
        "failures": _parts(row["failures"]),
        "warnings": _parts(row["warnings"]),
        "clean": {key: _plain(row[column]) for key, column in CLEAN.items()},
        "attacks": [_attack(row, alpha) for row in records(attacks)],
        "sizes": {key: _plain(sizes[key].mean()) for key in SIZES},
    }


def _attack(row: Any, alpha: float) -> dict[str, Any]:
    """What one attack took, with the interval by which answers weigh it."""
    low, high = corrected(row, row.family_size, alpha)
    return {key: _plain(value) for key, value in {**row._asdict(), "low": low, "high": high}.items() if key in ATTACK}


def _parts(text: str) -> list[str]:
    """The clauses of a text of the table."""
    return [part for part in text.split("; ") if part]


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it."""
    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) > 1 else value


# The gate


def gate(found: dict[str, Any], most: float) -> list[str]:
    """What keeps compressed models from passing, a sentence each; none where all pass.

    A model passes where it lost no more than `most`, a share, of clean accuracy and under every attack that was made
    for itself. One that is broken, that the audit refuses or that was never attacked itself does not pass, nor does one
    whose base every attack leaves too little to lose.

    Args:
        found: of `benchmark`.

    Raises InputError where the file is no benchmark, or has no compressed model.
    """
    if found.get("format") != FORMAT:
        raise InputError(f"the benchmark has the format {found.get('format')!r}, not {FORMAT!r}; run the study again")
    if not found["models"]:
        raise InputError(f"the study {found['study']} has no compressed model, so there is nothing to judge")
    return [problem for model in found["models"] for problem in _problems(model, most)]


def _problems(model: dict[str, Any], most: float) -> Iterator[str]:
    name = f"{model['dataset']}, {model['variant']}"
    own = [attack for attack in model["attacks"] if attack["source"] == ITSELF]
    reasons = dict.fromkeys(reason for one in model["answers"].values() for reason in one["reasons"])
    yield from (f"{name}: {reason}" for reason in reasons if reason.startswith(BROKEN))
    if model["failures"]:
        yield f"{name}: the audit refuses results: {'; '.join(model['failures'])}"
    elif not own or model["clean"]["difference"] is None:
        yield f"{name}: cannot tell, {'; '.join(model['answers'][About.MODELS]['reasons'])}"
        return
    elif not model["threat"]:
        yield f"{name}: cannot tell, the base keeps so little under every attack on it that nothing can be lost"
    losses: list[dict[str, Any]] = [{"attack": "clean images", **model["clean"]}, *own]
    for lost in losses:
        if lost["difference"] is not None and -lost["difference"] > most:
            low, high = (lost.get(f"difference_{bound}", lost[bound]) for bound in ("low", "high"))
            yield (
                f"{name}: lost {-100 * lost['difference']:.1f} points on {lost['attack']} (interval {-100 * high:.1f} "
                f"to {-100 * low:.1f}, corrected for the number of comparisons), more than {100 * most:g}"
            )
