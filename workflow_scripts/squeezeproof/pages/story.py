"""The study as a page that a person reads first: answers, figures, audit, what was run, verdicts, tables, provenance.

Every sentence is made from a table, and says no more than the table does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.names import CONTROL, MODEL, attack_displays, display_name, level, model_in_words
from squeezeproof.analysis.pairs import BASE
from squeezeproof.analysis.unsupported import COMPRESSION, NONE
from squeezeproof.analysis.verdicts import ITSELF, NOT_ISOLATED, headline
from squeezeproof.analysis.wide import OTHER_SEED
from squeezeproof.audit.findings import EVERY, FAILURE, NOTE, WARNING, Finding
from squeezeproof.pages.answer_cards import WORDS, cards, totals
from squeezeproof.pages.grouped import Grouped
from squeezeproof.pages.render import render
from squeezeproof.statistics.crossed import About
from squeezeproof.tables.formats import Readable, readable
from squeezeproof.tables.table import points, records, unseen
from squeezeproof.tables.words import Verdict

# Snakemake's report shows a blank frame for embedded pages above about 1.5 MB.
LARGEST = 1_400_000
ROWS = (200, 100, 50, 20, 5)
SENTENCES = 12
# Paragraphs of the page, and lines of its summary.
CARDS, BRIEF = 24, 8
PURPOSE = {BASE: "as shipped", CONTROL: "because of compression: trained alike"}
SIGNS = {
    Verdict.MORE: "▲",
    Verdict.LESS: "▼",
    Verdict.EQUIVALENT: "=",
    Verdict.NOT_SHOWN: "○",
    Verdict.TRANSFERS_WORSE: "◁",
    Verdict.FOUND_LESS: "△",
}
SPELLED = (Verdict.TRANSFERS_WORSE, Verdict.FOUND_LESS)
# Of the answers.
AT_ONCE = (
    "Losses, and differences from the base, have intervals that are corrected for the number of comparisons: those "
    "under one kind of attack hold at once. Accuracies have intervals that hold each by itself."
)
# Of the verdicts, below answers whose intervals are others.
BY_ITSELF = (
    "Each interval holds by itself; the verdict, and the interval by which an answer weighs the difference, are "
    "corrected for the number of comparisons."
)
LEGEND = (
    ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items() if verdict not in SPELLED)
    + f", {SIGNS[Verdict.TRANSFERS_WORSE]} images made for another model transfer worse, {SIGNS[Verdict.FOUND_LESS]} "
    "the attack found less: no gradients led it, it is weak, or a model is broken, which proves nothing in a model's "
    f"favour. Difference in accuracy in points, and its interval. {BY_ITSELF} * The images were made for one of the "
    "two models, which favours the other."
)


def page(
    templates: Path,
    study: dict[str, Any],
    tables: Mapping[str, pd.DataFrame],
    audit: Sequence[Finding],
    shown: Any,
    provenance: Mapping[str, str],
    figures: Sequence[Any] = (),
) -> str:
    """The page as HTML below LARGEST bytes: of long tables the first rows are shown.

    Args:
        templates: folder of page.html, summary.html and style.css.
        study: `name`, `question`, `doubts`, `margin` (a share), `numbers`: name -> text of what was run, and
            `warnings`: a Grouped for models that are not what they are called, and where versions of packages differ.
        tables: `answers`, `robust_accuracy` and `verdicts`, and `unsupported` where something is.
        audit: findings (`audit.findings.read_findings`).
        shown: name -> table of texts (`tables.files.read_texts`), in the order of the page.
        provenance: name -> text.
        figures: Embedded ones, in the order of the page.
    """
    verdicts, shown = tables["verdicts"], [readable(name, table) for name, table in shown.items() if len(table)]
    style = render(templates / "style.css")
    unsupported = tables.get("unsupported", NONE)
    matrix = verdict_matrix(verdicts, unsupported) if len(verdicts) else None
    findings = worst_findings(audit)
    found = cards(tables["answers"], tables["robust_accuracy"])
    told = {
        **{"study": study, "style": style, "totals": totals(tables["answers"]), "margin": f"{100 * study['margin']:g}"},
        **{"words": WORDS, "cards": found[:CARDS], "counted": counted(verdicts, study["margin"]), "legend": LEGEND},
        "at_once": AT_ONCE,
        "more": f"and {len(found) - CARDS} more in tables/answers.csv" if len(found) > CARDS else "",
        **{"sentences": sentences(verdicts, SENTENCES), "audited": audited(audit), "provenance": provenance},
    }
    text = ""
    for rows in ROWS:
        text = render(
            templates / "page.html",
            **told,
            warnings=_warnings(study)[:rows],
            figures=figures if rows > ROWS[-1] else (),
            matrix=matrix and matrix.head(rows),
            findings=findings and findings.head(rows),
            tables=[table.head(rows) for table in shown],
        )
        if len(text.encode()) < LARGEST:
            break
    return text


def summary(
    templates: Path,
    study: dict[str, Any],
    tables: Mapping[str, pd.DataFrame],
    audit: Sequence[Finding],
    figures: Sequence[Any] = (),
) -> str:
    """The page in brief, for the front of Snakemake's report, which cuts off the top of more than a screen."""
    found = cards(tables["answers"], tables["robust_accuracy"])
    return render(
        templates / "summary.html",
        study=study,
        totals=totals(tables["answers"]),
        warnings=_warnings(study)[:3],
        # The figure has them all.
        cards=[] if figures else found[:BRIEF],
        figures=figures,
        at_once=AT_ONCE,
        audited=audited(audit),
    )


def _warnings(study: dict[str, Any]) -> list[Grouped]:
    """What is not known goes before what is known and not as it should be."""
    return [*(Grouped(f"In doubt: {doubt}") for doubt in study["doubts"]), *study["warnings"]]


def counted(verdicts: pd.DataFrame, margin: float) -> list[str] | str:
    """How many comparisons have which verdict, of each kind, and what was beyond the study's reach."""
    shown = verdicts[verdicts["compression"] != CONTROL]
    if shown.empty:
        return "The study compares no compressed model with its base."
    groups = shown.groupby(["against", "about"], sort=False)
    order = sorted(groups.groups, key=lambda group: (group[0] == CONTROL, group[1] == About.MODELS))
    text = " ".join(_counted(groups.get_group(group), *group, margin) for group in order)
    favoured = headline(shown[shown["against"] == BASE])["favours"].astype(str).str.strip().ne("").sum()
    if favoured:
        where = _comparisons(int(favoured))
        text += f" In {where} the images were made for one of the two models, which favours the other."
    if shown["seeds"].max() == 1:
        text += " One seed says nothing of other trainings."
    if not shown["isolates_compression"].astype(str).eq("True").any():
        text += f" {NOT_ISOLATED}"
    return text


def _counted(verdicts: pd.DataFrame, against: str, about: str, margin: float) -> str:
    counts = verdicts["verdict"].value_counts()
    number = {verdict: int(counts.get(verdict, 0)) for verdict in SIGNS}
    seeds, less = int(verdicts["seeds"].max()), number[Verdict.FOUND_LESS]
    searched = (
        f"in {less} the attack found less (no gradients led it, it is weak, or a model is broken), " if less else ""
    )
    return (
        f"{_comparisons(len(verdicts))} of a compressed model with its {against} under attack ({PURPOSE[against]}), "
        f"verdicts on {about}: {number[Verdict.MORE]} more robust, {number[Verdict.LESS]} less robust, "
        f"{number[Verdict.EQUIVALENT]} equivalent within {100 * margin:g} points, in "
        f"{number[Verdict.TRANSFERS_WORSE]} images made for another model transfer worse, {searched}"
        f"{number[Verdict.NOT_SHOWN]} without a difference shown, which is no evidence of equality. With {seeds} "
        f"seed{'s' * (seeds > 1)} and {verdicts['n'].max()} images, {unseen(verdicts['detectable'].median())} (median)."
    )


def _comparisons(count: int) -> str:
    return f"{count} comparison{'s' * (count != 1)}"


def sentences(verdicts: pd.DataFrame, most: int) -> Any:
    """The shown differences in words, those of trainings where there are several seeds: because of compression first,
    white-box first, then by size; at most `most`, and how many more there are.
    """
    verdicts = headline(verdicts[verdicts["compression"] != CONTROL])
    shown = verdicts[verdicts["verdict"].isin([Verdict.MORE, Verdict.LESS])]
    shown = shown.assign(size=-shown["difference"].abs(), transfer=shown["source"] != ITSELF)
    shown = shown.assign(mixed=shown["isolates_compression"].astype(str) != "True")
    shown = shown.sort_values(["mixed", "transfer", "size"], kind="stable")
    attacks = attack_displays(verdicts)
    lines = [sentence(row, attacks[row.attack]) for row in shown.head(most).itertuples()]
    if len(shown) > most:
        lines.append(f"and {len(shown) - most} more in verdicts.csv")
    return lines


def sentence(row: Any, attack: str) -> str:
    """One verdict in words: `..., filter 60 %: less robust than its base to PGD, eps 0.1 (...): −7.3 points ...`."""
    favoured = {"compressed": "made for its base, which favours it", "base": "made for it, which favours its base"}
    source = f"images {favoured[row.favours]}" if row.favours else _source(row)
    parts = f"clean images {points(row.clean_difference)}"
    if row.both_right:
        parts += f", images that both classify rightly {points(row.difference_both_right)}"
    if row.explained_by:
        parts += f": mostly {row.explained_by}"
    said = f"{_model(row)}: {row.verdict} than its {row.against} to {attack}"
    return f"{said} ({source}; verdict on {row.about}): {_difference(row)}; {parts}"


def verdict_matrix(verdicts: pd.DataFrame, unsupported: pd.DataFrame = NONE) -> Readable:
    """A row per data set, compressed model, reference, source and kind of verdict, a column per attack; the models that
    a network does not support come last.
    """
    attacks = attack_displays(verdicts)
    cells = {}
    for row in records(verdicts):
        key = (display_name(row.dataset), _model(row), row.against, _source(row), row.about)
        sign = SIGNS[row.verdict] + ("*" if row.favours else "")
        cells.setdefault(key, {})[row.attack] = f"{sign} {_difference(row, unit='')}"
    columns = ["data set", "model", "against its", "images", "verdict on", *attacks.values()]
    rows = [[*key, *(found.get(attack, "") for attack in attacks)] for key, found in cells.items()]
    rows += [
        [display_name(row.dataset), _model(row), "", f"not supported: {row.reason}", "", *[""] * len(attacks)]
        for row in unsupported[unsupported["part"] == COMPRESSION].itertuples()
    ]
    return Readable("verdicts", "verdicts", columns, rows, [False] * 5 + [True] * len(attacks))


def _model(row: Any) -> str:
    return model_in_words(*(getattr(row, axis) for axis in MODEL))


def _source(row: Any) -> str:
    if row.source == ITSELF:
        return "each attacked itself"
    name = (
        "base"
        if row.source_compression == "none"
        else f"{row.source_compression} {level(row.source_ratio, row.source_bits)}"
    )
    model = f"{display_name(row.source_architecture)}, {row.source_training} training, {name}"
    return f"images of {model}{OTHER_SEED * (row.seed_relation == 'other')}"


def _difference(row: Any, unit: str = " points") -> str:
    return f"{points(row.difference)}{unit} [{points(row.low)}, {points(row.high)}]"


def audited(audit: Sequence[Finding]) -> str:
    """The state of the audit in a sentence."""
    cells = {verdict: {_cell(row) for row in audit if row.verdict == verdict} for verdict in (FAILURE, WARNING)}
    passed = sum(row.verdict == "pass" for row in audit)
    failed = len(cells[FAILURE])
    text = f"{passed} checks passed. "
    text += f"Cells that failed, and are in no other table or figure: {failed}. " if failed else "No cell failed. "
    return text + (f"Cells with a warning: {len(cells[WARNING])}." if cells[WARNING] else "No cell has a warning.")


def worst_findings(audit: Sequence[Finding]) -> Readable | None:
    """A table of every failure, and of the warnings and the notes of one check the first; None where there are none."""
    failures = [[row] for row in audit if row.verdict == FAILURE]
    groups = failures
    for verdict in (WARNING, NOTE):
        raised = {}
        for row in audit:
            if row.verdict == verdict:
                raised.setdefault(row.check, []).append(row)
        groups += [raised[check] for check in sorted(raised)]
    if not groups:
        return None
    columns = ["verdict", "check", "cells", "such as", "what is wrong there and what to do"]
    lines = [
        [row.verdict, f"{row.check}: {row.name}", str(len(set(map(_cell, group)))), _place(row), row.message]
        for row, group in ((group[0], group) for group in groups)
    ]
    return Readable("audit", "audit", columns, lines, [False, False, True, False, False])


def _place(row: Any) -> str:
    named = zip(("", "crafted on ", "scored on ", ""), (row.attack, row.source, row.target, row.dataset), strict=True)
    return ", ".join(f"{how}{name}" for how, name in named if name not in ("", EVERY))


def _cell(row: Any) -> tuple[str, str, str, str]:
    return row.dataset, row.source, row.target, row.attack
