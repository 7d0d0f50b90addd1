"""The study as a page that a person reads first: question, what was run, verdicts, audit, tables, provenance.

Every sentence is made from a table, and says no more than the table does.
"""

from html import escape

from squeezeproof.analysis.names import MODEL, attack_in_words, model_in_words, written
from squeezeproof.analysis.verdicts import EQUIVALENT, ITSELF, LESS, MORE, NOT_SHOWN
from squeezeproof.audit.findings import EVERY, FAILURE, WARNING
from squeezeproof.tables.formats import Readable, readable, to_html
from squeezeproof.tables.wide import OTHER_SEED

# Snakemake's report shows a blank frame for embedded pages above about 1.5 MB.
LARGEST = 1_400_000
ROWS = (200, 100, 50, 20, 5)
SENTENCES = 40
BRIEF = {"Models", "Adversarial sets", "Cells", "Seeds", "Test images"}
SIGNS = {MORE: "▲", LESS: "▼", EQUIVALENT: "=", NOT_SHOWN: "○"}


def page(facts, verdicts, audit, tables, provenance):
    """The page as HTML below LARGEST bytes: of long tables the first rows are shown.

    Args:
        facts: `name`, `question`, `margin` (a share), and `numbers`: name -> text of what was run.
        verdicts: the table `verdicts`.
        audit: findings (`audit.findings.read_findings`).
        tables: name -> table of text (`formats.read_table`), in the order of the page.
        provenance: name -> text.
    """
    shown = {name: readable(name, table) for name, table in tables.items() if len(table)}
    for rows in ROWS:
        text = _page(facts, verdicts, audit, shown, provenance, rows)
        if len(text.encode()) < LARGEST:
            break
    return text


def summary(facts, verdicts, audit):
    """The page in brief, for the front of Snakemake's report, which cuts off the top of more than a screen."""
    numbers = "; ".join(f"{name}: {text}" for name, text in facts["numbers"].items() if name in BRIEF)
    return "\n".join(
        [
            f"<p><b>{escape(facts['name'])}</b>: {escape(facts['question'])}</p>",
            f"<p>{escape(numbers)}.</p>",
            f"<p>{counted(verdicts, facts['margin'])}</p>",
            _list(sentences(verdicts, 3)),
            f"<p>{audited(audit)}</p>",
        ]
    )


def _page(facts, verdicts, audit, tables, provenance, rows):
    sections = [
        ("What was run", _definitions(facts["numbers"])),
        ("Verdicts", _verdicts(facts, verdicts, rows)),
        ("Audit", f"<p>{audited(audit)}</p>{_findings(audit, rows)}"),
        *((table.title.capitalize(), to_html(table.head(rows))) for table in tables.values()),
        ("Provenance", _definitions(provenance)),
    ]
    body = "\n".join(_section(title, text) for title, text in sections)
    title = escape(facts["name"])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n'
        f'<p class="question">{escape(facts["question"])}</p>\n{body}\n</main></body></html>\n'
    )


def _section(title, text):
    anchor = escape(title.lower().replace(" ", "-").replace(":", ""))
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>\n{text}</section>'


def _verdicts(facts, verdicts, rows):
    if verdicts.empty:
        return f"<p>{counted(verdicts, facts['margin'])}</p>"
    legend = (
        f"{SIGNS[MORE]} more robust, {SIGNS[LESS]} less robust, {SIGNS[EQUIVALENT]} equivalent, {SIGNS[NOT_SHOWN]} no "
        "difference shown. Compressed minus base accuracy in points, and its interval. * The images were made for one "
        "of the two models, which favours the other."
    )
    matrix = to_html(verdict_matrix(verdicts).head(rows))
    shown = _list(sentences(verdicts, SENTENCES))
    return f'<p>{counted(verdicts, facts["margin"])}</p>\n{shown}\n{matrix}<p class="note">{legend}</p>'


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
    lines = [sentence(row) for row in shown.head(most).itertuples()]
    if len(shown) > most:
        lines.append(f"and {len(shown) - most} more in verdicts.csv")
    return lines


def sentence(row):
    """One verdict in words: `..., filter 60 %: less robust to PGD, eps 0.1 (...): −7.3 points [−10.2, −4.5]`."""
    favoured = {"compressed": "made for its base, which favours it", "base": "made for it, which favours its base"}
    source = f"images {favoured[row.favours]}" if row.favours else _source(row)
    return f"{_model(row)}: {row.verdict} to {attack_in_words(row.attack)} ({source}): {_difference(row)}"


def verdict_matrix(verdicts):
    """A row per data set, compressed model and source, a column per attack."""
    attacks = list(dict.fromkeys(verdicts["attack"]))
    cells = {}
    for row in verdicts.itertuples():
        key = (written(row.dataset), _model(row), _source(row))
        sign = SIGNS[row.verdict] + ("*" if row.favours else "")
        cells.setdefault(key, {})[row.attack] = f"{sign} {_difference(row, unit='')}"
    columns = ["data set", "model", "images", *map(attack_in_words, attacks)]
    rows = [[*key, *(found.get(attack, "") for attack in attacks)] for key, found in cells.items()]
    return Readable("verdicts", columns, rows, [False] * 3 + [True] * len(attacks))


def _model(row):
    return model_in_words(*(getattr(row, axis) for axis in MODEL))


def _source(row):
    if row.source == ITSELF:
        return "each attacked itself"
    architecture, training, compression, *_ = row.source.split(".")
    name = "base" if compression == "none" else compression
    return f"images of {written(architecture)}, {training} training, {name}{OTHER_SEED * (row.source_seed == 'other')}"


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


def _findings(audit, rows):
    """Every failure, and of the warnings of one check the first."""
    failures = [[row] for row in audit if row.verdict == FAILURE]
    warnings = {}
    for row in audit:
        if row.verdict == WARNING:
            warnings.setdefault(row.check, []).append(row)
    groups = [*failures, *(warnings[check] for check in sorted(warnings))]
    if not groups:
        return ""
    columns = ["verdict", "check", "cells", "such as", "what is wrong there and what to do"]
    lines = [
        [row.verdict, f"{row.check}: {row.name}", str(len(set(map(_cell, group)))), _place(row), row.message]
        for row, group in ((group[0], group) for group in groups)
    ]
    table = Readable("audit", columns, lines, [False, False, True, False, False]).head(rows)
    return f"{to_html(table)}\n<p>tables/audit.csv has all.</p>"


def _place(row):
    named = zip(("", "crafted on ", "scored on ", ""), (row.attack, row.source, row.target, row.dataset), strict=True)
    return ", ".join(f"{how}{name}" for how, name in named if name not in ("", EVERY))


def _cell(row):
    return row.dataset, row.source, row.target, row.attack


def _definitions(facts):
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>\n" for name, text in facts.items())
    return f"<dl>\n{rows}</dl>"


def _list(lines):
    return "<ul>\n" + "".join(f"<li>{escape(line)}</li>\n" for line in lines) + "</ul>" if lines else ""


STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #ffffff; --line: #d4d4d4; --soft: #5c5c5c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #16181b; --line: #3c4046; --soft: #a8adb4; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem 1.2rem 3rem; }
h1 { font-size: 1.6rem; margin: .4rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.question { font-size: 1.15rem; } .note { color: var(--soft); font-size: .85rem; margin: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; } dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; white-space: nowrap; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td:last-child:not(.number) { white-space: normal; min-width: 12rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
"""
