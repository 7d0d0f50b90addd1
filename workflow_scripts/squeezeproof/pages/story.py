"""The study as a page that a person reads first: question, what was run, verdicts, audit, tables, provenance.

Every sentence is made from a table, and says no more than the table does.
"""

from squeezeproof.analysis.names import MODEL, attack_displays, display_name, level, model_in_words
from squeezeproof.analysis.verdicts import EQUIVALENT, ITSELF, LESS, MORE, NOT_SHOWN
from squeezeproof.analysis.wide import OTHER_SEED
from squeezeproof.audit.findings import EVERY, FAILURE, WARNING
from squeezeproof.pages.render import render
from squeezeproof.tables.formats import Readable, readable

# Snakemake's report shows a blank frame for embedded pages above about 1.5 MB.
LARGEST = 1_400_000
ROWS = (200, 100, 50, 20, 5)
SENTENCES = 40
BRIEF = {"Models", "Adversarial sets", "Cells", "Seeds", "Test images"}
SIGNS = {MORE: "▲", LESS: "▼", EQUIVALENT: "=", NOT_SHOWN: "○"}
LEGEND = (
    f"{SIGNS[MORE]} more robust, {SIGNS[LESS]} less robust, {SIGNS[EQUIVALENT]} equivalent, {SIGNS[NOT_SHOWN]} no "
    "difference shown. Compressed minus base accuracy in points, and its interval. * The images were made for one of "
    "the two models, which favours the other."
)


def page(templates, study, verdicts, audit, tables, provenance):
    """The page as HTML below LARGEST bytes: of long tables the first rows are shown.

    Args:
        templates: folder of page.html, summary.html and style.css.
        study: `name`, `question`, `margin` (a share), and `numbers`: name -> text of what was run.
        verdicts: the table `verdicts`.
        audit: findings (`audit.findings.read_findings`).
        tables: name -> table of texts (`tables.files.read_texts`), in the order of the page.
        provenance: name -> text.
    """
    shown = [readable(name, table) for name, table in tables.items() if len(table)]
    style = (templates / "style.css").read_text(encoding="utf-8")
    matrix, findings = verdict_matrix(verdicts) if len(verdicts) else None, worst_findings(audit)
    for rows in ROWS:
        text = render(
            templates / "page.html",
            study=study,
            style=style,
            counted=counted(verdicts, study["margin"]),
            sentences=sentences(verdicts, SENTENCES),
            matrix=matrix and matrix.head(rows),
            legend=LEGEND,
            audited=audited(audit),
            findings=findings and findings.head(rows),
            tables=[table.head(rows) for table in shown],
            provenance=provenance,
        )
        if len(text.encode()) < LARGEST:
            break
    return text


def summary(templates, study, verdicts, audit):
    """The page in brief, for the front of Snakemake's report, which cuts off the top of more than a screen."""
    return render(
        templates / "summary.html",
        study=study,
        numbers={name: text for name, text in study["numbers"].items() if name in BRIEF},
        counted=counted(verdicts, study["margin"]),
        sentences=sentences(verdicts, 3),
        audited=audited(audit),
    )


def counted(verdicts, margin):
    """How many comparisons have which verdict."""
    if verdicts.empty:
        return "The study compares no compressed model with its base."
    counts = verdicts["verdict"].value_counts()
    number = {verdict: int(counts.get(verdict, 0)) for verdict in SIGNS}
    text = (
        f"{len(verdicts)} comparisons of a compressed model with its base under attack: {number[MORE]} more robust, "
        f"{number[LESS]} less robust, {number[EQUIVALENT]} equivalent within {100 * margin:g} points, "
        f"{number[NOT_SHOWN]} without a difference shown, which is no evidence of equality."
    )
    favoured = int((verdicts["favours"].astype(str).str.strip() != "").sum())
    if favoured:
        text += f" In {favoured} of them the images were made for one of the two models, which favours the other."
    if verdicts["seeds"].max() == 1:
        text += " One seed says nothing of other trainings."
    return text


def sentences(verdicts, most):
    """The shown differences in words: white-box first, then by size; at most `most`, and how many more there are."""
    shown = verdicts[verdicts["verdict"].isin([MORE, LESS])]
    shown = shown.assign(size=-shown["difference"].abs(), transfer=shown["source"] != ITSELF)
    shown = shown.sort_values(["transfer", "size"], kind="stable")
    attacks = attack_displays(verdicts)
    lines = [sentence(row, attacks[row.attack]) for row in shown.head(most).itertuples()]
    if len(shown) > most:
        lines.append(f"and {len(shown) - most} more in verdicts.csv")
    return lines


def sentence(row, attack):
    """One verdict in words: `..., filter 60 %: less robust to PGD, eps 0.1 (...): −7.3 points [−10.2, −4.5]`."""
    favoured = {"compressed": "made for its base, which favours it", "base": "made for it, which favours its base"}
    source = f"images {favoured[row.favours]}" if row.favours else _source(row)
    return f"{_model(row)}: {row.verdict} to {attack} ({source}): {_difference(row)}"


def verdict_matrix(verdicts):
    """A row per data set, compressed model and source, a column per attack."""
    attacks = attack_displays(verdicts)
    cells = {}
    for row in verdicts.itertuples():
        key = (display_name(row.dataset), _model(row), _source(row))
        sign = SIGNS[row.verdict] + ("*" if row.favours else "")
        cells.setdefault(key, {})[row.attack] = f"{sign} {_difference(row, unit='')}"
    columns = ["data set", "model", "images", *attacks.values()]
    rows = [[*key, *(found.get(attack, "") for attack in attacks)] for key, found in cells.items()]
    return Readable("verdicts", "verdicts", columns, rows, [False] * 3 + [True] * len(attacks))


def _model(row):
    return model_in_words(*(getattr(row, axis) for axis in MODEL))


def _source(row):
    if row.source == ITSELF:
        return "each attacked itself"
    name = (
        "base"
        if row.source_compression == "none"
        else f"{row.source_compression} {level(row.source_ratio, row.source_bits)}"
    )
    model = f"{display_name(row.source_architecture)}, {row.source_training} training, {name}"
    return f"images of {model}{OTHER_SEED * (row.seed_relation == 'other')}"


def _difference(row, unit=" points"):
    bounds = f"[{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
    return f"{100 * row.difference:+.1f}{unit} {bounds}".replace("-", "−")


def audited(audit):
    """The state of the audit in a sentence."""
    cells = {verdict: {_cell(row) for row in audit if row.verdict == verdict} for verdict in (FAILURE, WARNING)}
    passed = sum(row.verdict == "pass" for row in audit)
    failed = len(cells[FAILURE])
    text = f"{passed} checks passed. "
    text += f"Cells that failed, and are in no other table or figure: {failed}. " if failed else "No cell failed. "
    return text + (f"Cells with a warning: {len(cells[WARNING])}." if cells[WARNING] else "No cell has a warning.")


def worst_findings(audit):
    """A table of every failure, and of the warnings of one check the first; None where there are none."""
    failures = [[row] for row in audit if row.verdict == FAILURE]
    warnings = {}
    for row in audit:
        if row.verdict == WARNING:
            warnings.setdefault(row.check, []).append(row)
    groups = [*failures, *(warnings[check] for check in sorted(warnings))]
    if not groups:
        return None
    columns = ["verdict", "check", "cells", "such as", "what is wrong there and what to do"]
    lines = [
        [row.verdict, f"{row.check}: {row.name}", str(len(set(map(_cell, group)))), _place(row), row.message]
        for row, group in ((group[0], group) for group in groups)
    ]
    return Readable("audit", "audit", columns, lines, [False, False, True, False, False])


def _place(row):
    named = zip(("", "crafted on ", "scored on ", ""), (row.attack, row.source, row.target, row.dataset), strict=True)
    return ", ".join(f"{how}{name}" for how, name in named if name not in ("", EVERY))


def _cell(row):
    return row.dataset, row.source, row.target, row.attack
