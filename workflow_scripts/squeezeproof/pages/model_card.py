"""The card of one compressed model, as Markdown, from the study's tables ([mitchell2019] proposed such cards)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from squeezeproof.analysis.evidence import base_of, broken_seeds, seeds_of
from squeezeproof.analysis.names import MODEL, attack_displays, display_name, model_in_words
from squeezeproof.audit.findings import FAILURE, RAISED, WARNING, Finding
from squeezeproof.statistics.crossed import About
from squeezeproof.store import made_with
from squeezeproof.tables.formats import Readable, markdown_escaped, to_markdown

NAMES = ["answers", "clean_accuracy", "robust_accuracy", "compression", "crafting"]
SIZES = {
    "parameters": "parameters", "nonzeros": "parameters that are not zero", "macs": "multiply-accumulates per image",
    "packed_bytes": "bytes, packed",
}  # fmt: skip
LIMITS = (
    "The answer holds for the attacks named here, up to their budgets, and for images like the test images. A model "
    "that resists them all may still fall to an attack that is made for it. docs/answers.md says what the four answers "
    "mean."
)

AT_ONCE = (
    "The losses in an answer are bounds that are corrected for the number of comparisons: those under one kind of "
    "attack hold at once. The intervals below hold each by itself."
)
NOT_SUPPORTED = "Its network does not support this compression, as tables/unsupported.csv says; there is no such model."


def model_card(
    tables: Mapping[str, pd.DataFrame],
    findings: Sequence[Finding],
    study: dict[str, Any],
    dataset: str,
    name: str,
    provenance: Mapping[str, str],
) -> str:
    """The card as text.

    Args:
        tables: name -> table, of NAMES.
        findings: of the audit.
        study: `name`, `question` and `doubts`.
        dataset, name: of the model.
        provenance: name -> text.

    That of a model which its network does not support says so.
    """
    models = tables["compression"][tables["compression"]["dataset"].eq(dataset)]
    if name not in set(models["model"]):
        return f"# {markdown_escaped(name)}\n\n{NOT_SUPPORTED}\n"
    [model] = models[models["model"].eq(name)].to_dict("records")
    bases = models[models["seed"].eq(model["seed"]) & models["model"].isin(seeds_of(models, base_of(model)))]
    # A study need not evaluate the base.
    base = next(iter(bases.to_dict("records")), None)
    own = {"This model computed with": model["made_with"] or made_with.NOT_RECORDED}
    parts = [
        f"# {markdown_escaped(name)}",
        f"{markdown_escaped(model_in_words(*(model[axis] for axis in MODEL)))}, seed {model['seed']}, on "
        f"{markdown_escaped(display_name(dataset))}. Study `{study['name']}`: {markdown_escaped(study['question'])}",
        *_answers(tables["answers"], model),
        *(f"In doubt: {markdown_escaped(doubt)}" for doubt in study["doubts"]),
        *_broken(findings, models[models["model"].isin(seeds_of(models, model))], model["seed"]),
        AT_ONCE,
        "## What it is",
        to_markdown(_sizes(model, base)),
        "## Accuracy",
        to_markdown(_accuracies(tables, dataset, name, base and base["model"])),
        "## Attacks and budgets",
        to_markdown(_attacks(tables["crafting"], tables["robust_accuracy"], dataset, name)),
        "## Audit",
        *_audit(findings, dataset, name),
        "## Provenance",
        "\n".join(f"- {key}: {markdown_escaped(text)}" for key, text in {**provenance, **own}.items()),
        "## Limits",
        LIMITS,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _answers(answers: pd.DataFrame, model: Any) -> Iterator[str]:
    rows = answers[answers["dataset"].eq(model["dataset"])]
    for axis in MODEL:
        rows = rows[rows[axis].eq(model[axis])]
    for row in rows.sort_values("about", key=lambda about: about.ne(About.MODELS)).itertuples():
        yield (
            f"**{row.answer.capitalize()}** ({row.about}, {row.seeds} seed{'s' * (row.seeds > 1)}): "
            f"{markdown_escaped(row.reasons)}. What would change it: {markdown_escaped(row.changes)}."
        )


def _broken(findings: Sequence[Finding], models: pd.DataFrame, seed: int) -> Iterator[str]:
    """Whether this model is one of the seeds that are broken, which the answers of all of them name."""
    here = set(models["dataset"])
    found = broken_seeds([finding for finding in findings if finding.dataset in here], models)
    if found and len(models) > 1:
        others = [str(other) for other in sorted(found) if other != seed]
        those = f"{'those of seeds' if len(others) > 1 else 'that of seed'} {', '.join(others)}"
        verb = "are" if len(others) > 1 else "is"
        if seed in found:
            said = f"{found[seed]}: it is broken{f', as {those} {verb}' if others else ''}"
        else:
            said = f"is not broken; {those} {verb}"
        yield f"This model, of seed {seed}, {said}. The answers are of all {len(models)} seeds together."


def _sizes(model: Any, base: Any) -> Readable:
    rows = [[words, *(f"{one[key]:,.0f}" for one in (model, base) if one)] for key, words in SIZES.items()]
    rows.append(["bits of a weight", *(f"{one['bits']:g}" for one in (model, base) if one)])
    columns = ["", "this model", *([f"its base, {base['model']}"] if base else [])]
    return Readable("sizes", "size, beside its base", columns, rows, [False, True, True][: len(columns)])


def _accuracies(tables: Mapping[str, pd.DataFrame], dataset: str, name: str, base: Any) -> Readable:
    """Clean images first, then what was made for the model itself, then for others."""
    robust, clean = tables["robust_accuracy"], tables["clean_accuracy"]
    robust, clean = robust[robust["dataset"].eq(dataset)], clean[clean["dataset"].eq(dataset)].set_index("model")
    shown = attack_displays(robust)
    # What failed the audit is in no table.
    rows = [["clean images", "", *(_percent(clean.loc[one]) if one in clean.index else "" for one in (name, base))]]
    own = robust[robust["target"].eq(name)]
    own = own.assign(other=own["source"].ne(name)).sort_values(["other", "source", "attack"])
    for row in own.itertuples():
        # On images that were made for itself, what its base does on those that were made for the base.
        source = row.source if row.other else base
        beside = robust[robust["target"].eq(base) & robust["source"].eq(source) & robust["attack"].eq(row.attack)]
        crafted = row.source if row.other else "itself"
        cells = [_percent(row._asdict()), _percent(beside.iloc[0]) if len(beside) else ""]
        rows.append([shown[row.attack], crafted, *cells])
    columns = ["attack", "images made for", "accuracy in %", "base, in %"]
    return Readable(
        "accuracy", "accuracy on the test images, with 95 % intervals", columns, rows, [False, False, True, True]
    )


def _percent(row: Any) -> str:
    low, high = 100 * row["low"], 100 * row["high"]
    return f"{100 * row['accuracy']:.1f} [{low:.1f}, {high:.1f}]"


def _attacks(crafting: pd.DataFrame, robust: pd.DataFrame, dataset: str, name: str) -> Readable:
    faced = robust.loc[robust["dataset"].eq(dataset) & robust["target"].eq(name), ["source", "attack"]]
    rows = crafting[crafting["dataset"].eq(dataset)].merge(faced, on=["source", "attack"])
    rows = rows.sort_values(["attack", "source"])
    lines = [
        [row.attack, row.source, row.norm, "" if row.eps != row.eps else f"{row.eps:g}",
         f"{row.forwards_per_example:.0f} / {row.backwards_per_example:.0f}"]
        for row in rows.itertuples()
    ]  # fmt: skip
    columns = ["attack", "crafted on", "norm", "eps, of pixels in [0, 1]", "forward / backward passes per image"]
    return Readable(
        "attacks", "what the attacks may change, and what they cost", columns, lines, [False, False, False, True, True]
    )


def _audit(findings: Sequence[Finding], dataset: str, name: str) -> Iterator[str]:
    found = [finding for finding in findings if finding.dataset == dataset and name in (finding.target, finding.source)]
    for verdict in RAISED:
        raised: dict[int, list[Finding]] = {}
        for finding in found:
            if finding.verdict == verdict:
                raised.setdefault(finding.check, []).append(finding)
        yield from (f"- {verdict}, {_raised(group)}" for group in raised.values())
    passed = sum(finding.verdict == "pass" for finding in found)
    wrong = sum(finding.verdict in (FAILURE, WARNING) for finding in found)
    yield f"{passed} checks on this model passed, {wrong} did not."


def _raised(findings: Sequence[Finding]) -> str:
    """What one check found of a model, once for all cells."""
    first = findings[0]
    said = f"check {first.check}, {first.name}"
    if len(findings) > 1:
        such = "" if len({finding.message for finding in findings}) == 1 else ", such as"
        said += f", {len(findings)} times (tables/audit.csv){such}"
    return f"{said}: {markdown_escaped(first.message)}"
