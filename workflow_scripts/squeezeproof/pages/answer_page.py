"""The answer on two models as one HTML page: the verdict, the numbers behind it, what was tried and what was not.

Every sentence is made from the answer, and says no more than it does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.analysis.faced import COMPRESSED, budget_display
from squeezeproof.analysis.pairs import BASE
from squeezeproof.analysis.replacement import TOGETHER, Answer, attack_name, bounds, falls, wider
from squeezeproof.analysis.verdicts import ITSELF
from squeezeproof.audit.findings import Finding
from squeezeproof.pages.answer_cards import LOOKS
from squeezeproof.pages.render import render
from squeezeproof.pages.story import audited, worst_findings
from squeezeproof.tables.table import points
from squeezeproof.tables.words import TESTED, Verdict

TEMPLATE = Path(__file__).with_name("answer.html")
# Points to either side of zero that a scale may have.
SCALES = (5, 10, 20, 50, 100)
ABSENT = "–"


def page(
    answer: Answer,
    tried: Sequence[str],
    not_tried: Sequence[str],
    audit: Sequence[Finding],
    told: Mapping[str, str],
    margin: float,
    question: str | None = None,
    sizes: Sequence[Sequence[str]] = (),
    notes: Mapping[str, Sequence[str]] | None = None,
    doubts: Sequence[str] = (),
) -> str:
    """The page as HTML that needs no other file.

    Args:
        answer: a squeezeproof.analysis.replacement.Answer.
        tried, not_tried: sentences (`analysis.tried`).
        audit: findings on both models.
        told: name -> text of what was compared and how.
        margin: difference in accuracy, a share, within which the two count as equivalent.
        question: the page's first line.
        sizes: rows of `pages.sizes.sizes`.
        notes: name of a model -> what was understood of its file.
        doubts: what is not known of the models or images, each a sentence or two.
    """
    rows: list[dict[str, Any]] = [{"name": "Clean images", "verdict": "", "falls": False, **answer.clean}]
    for row in answer.together.to_dict("records"):
        rows.append({"name": budget_display(row["norm"], row["eps"]), "falls": falls(row, answer.classes), **row})
    reach = 100 * max(margin, *(abs(row[bound]) for row in rows for bound in ("low", "high")))
    scale = next((most for most in SCALES if most >= reach), SCALES[-1])
    kind, sign = LOOKS[answer.verdict]
    return render(
        TEMPLATE,
        question=question or "May the compressed model replace its base?",
        kind=kind,
        sign=sign,
        answer=answer,
        doubts=doubts,
        lines=[_line(row, scale) for row in rows],
        scale=scale,
        margin={"left": _place(-margin, scale), "width": 100 * margin / scale * 100, "points": f"{100 * margin:g}"},
        attacks=_attacks(answer.table),
        transfers=Verdict.TRANSFERS_WORSE in set(answer.table["verdict"]),
        tested=TESTED if any(map(wider, answer.table.to_dict("records"))) else "",
        searches=Verdict.FOUND_LESS in set(answer.table["verdict"]),
        tried=tried,
        not_tried=not_tried,
        audited=audited(audit),
        findings=worst_findings(audit),
        told=told,
        sizes=sizes,
        notes={name: listed for name, listed in (notes or {}).items() if listed},
    )


def in_roles(findings: Sequence[Finding], base: str, compressed: str) -> list[Finding]:
    """Findings that call the models of these names `base` and `compressed`, as the rest of the page does."""
    roles = {base: BASE, compressed: COMPRESSED}
    return [
        replace(one, source=roles.get(one.source, one.source), target=roles.get(one.target, one.target))
        for one in findings
    ]


def named(model: str, file: str | None) -> str:
    """A model by the user's file that it comes from, if any, and by its name in the study."""
    return f"{file} ({model} in the tables)" if file else model


def _line(row: Any, scale: float) -> dict[str, Any]:
    """A row of the figure: texts, and places in per cent of its width."""
    low, high, middle = (_place(row[key], scale) for key in ("low", "high", "difference"))
    return {
        "name": row["name"],
        "base": f"{100 * row['base_accuracy']:.1f}",
        "compressed": f"{100 * row['compressed_accuracy']:.1f}",
        "difference": points(row["difference"]),
        "bounds": bounds(row),
        **{"verdict": f"{row['verdict']}; {TESTED}" if wider(row) else row["verdict"], "falls": row["falls"]},
        **{"left": low, "width": high - low, "middle": middle},
    }


def _place(share: float, scale: float) -> float:
    """Where on the scale a difference is, in per cent of its width."""
    return round(50 + 50 * max(-1.0, min(1.0, 100 * share / scale)), 2)


def _attacks(table: pd.DataFrame) -> list[list[str]]:
    """A row per attack and budget: accuracy of either model on what was crafted on itself and on the other."""
    found = []
    alone = table[table["attack"] != TOGETHER]
    groups: Any = alone.groupby(["norm", "eps", "attack"], sort=False, dropna=False)
    for (_, eps, attack), rows in groups:
        by = {row["crafted_on"]: row for row in rows.to_dict("records")}
        cells = [_accuracy(by, source, target) for source in (BASE, COMPRESSED) for target in (BASE, COMPRESSED)]
        own = by.get(ITSELF)
        difference = [f"{points(own['difference'])} {bounds(own)}", own["verdict"]] if own else [ABSENT, ""]
        found.append([attack_name(attack, eps), *cells, *difference])
    return found


def _accuracy(rows: Mapping[str, Any], source: str, target: str) -> str:
    # Of an attack that ends where it succeeds there is no row of one source, and no other model is scored on it.
    row = rows.get(source, rows.get(ITSELF) if source == target else None)
    return f"{100 * row[f'{target}_accuracy']:.1f}" if row else ABSENT
