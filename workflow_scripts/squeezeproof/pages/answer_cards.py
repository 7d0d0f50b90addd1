"""The table of answers as paragraphs, one per compressed model, and what their words mean."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from squeezeproof.analysis.answers import CARE, KEEP, STOP, UNKNOWN
from squeezeproof.analysis.names import MODEL, attack_displays, display_name, short_names
from squeezeproof.analysis.verdicts import ITSELF
from squeezeproof.statistics.crossed import About
from squeezeproof.tables.table import points
from squeezeproof.tables.words import Threat

# Answer -> class of the page's style, and the sign before it, for those who see no colours.
LOOKS = {KEEP: ("keep", "✓"), CARE: ("care", "!"), STOP: ("stop", "✗"), UNKNOWN: ("unknown", "?")}
WORDS = {
    "clean images": "The test images as they are, before any attack.",
    Threat.WHITE_BOX: "The attacker knows the very model that is attacked, and follows its gradients.",
    Threat.TRANSFER: "Images that were made to fool one model are shown to another. What resists them may still fall.",
    "robust accuracy": "Share of the test images that still get their true label after the attack.",
    "Linf": "The attack may change every pixel by at most eps.",
    "L2": "The attack may change the image by at most eps in Euclidean length.",
    "eps": "The attack's budget, of pixels in [0, 1].",
    "base": "The model before compression.",
    "control": "The base after the same further training, without the compression.",
    "margin": "The difference in accuracy that the study calls negligible.",
    "interval": "Where the true value lies with 95 % confidence, unless the study asks for another level: [low, high]. "
    "Those of differences from the base, and the losses that decide an answer, are corrected for the number of "
    "comparisons: under one kind of attack they hold at once, and are wider than each would be by itself.",
    "seed": "Where a training starts from. Several seeds are several trainings of one recipe.",
    "points": "Differences of accuracies in per cent.",
    "the audit": "Checks of every result before it is shown; those that fail are in no table.",
}  # fmt: skip
# Of the parts of a difference, beside the difference itself.
APART = "the intervals of these two hold each by itself"
TERMS = re.compile(rf"(?<![\w-])({'|'.join(sorted(map(re.escape, WORDS), key=len, reverse=True))})(?![\w-])", re.I)


@dataclass(frozen=True)
class Card:
    """What to do with a compressed model: a title, an answer with its LOOKS, and what is said of it, as HTML:
    `sentences` (name, text), and `notes`.
    """

    title: str
    answer: str
    look: str
    sign: str
    sentences: list[tuple[str, Any]]
    notes: list[str]


def _queried(row: Any, attacks: Any) -> Iterator[str]:
    """What white-box access to its base adds to queries of a model whose gradients nobody followed."""
    if not isinstance(row.queries_attack, str) or not row.queries_attack:
        return
    asked, made = 100 * row.queries_accuracy, 100 * row.gradients_accuracy
    text = f"Queries of the model itself leave it {asked:.1f} % at worst ({attacks[row.queries_attack]})"
    if made == made:
        adds = f"adds {asked - made:.1f} points" if asked > made else "adds nothing"
        text += f"; images made for its base by gradients leave it {made:.1f} % ({attacks[row.gradients_attack]})"
        text += f": white-box access to its base {adds}"
    yield f"{text}."


def cards(answers: pd.DataFrame, robust: pd.DataFrame) -> list[Card]:
    """A Card per compressed model, in the order of the table.

    Args:
        answers, robust: the tables `answers` and `robust_accuracy`.
    """
    attacks = attack_displays(robust)
    of_models = answers[answers["about"].eq(About.MODELS)]
    names, several = short_names(of_models), of_models["dataset"].nunique() > 1
    others = {_key(row): row for row in answers[answers["about"].ne(About.MODELS)].itertuples()}
    found, seen = [], set()
    for row in of_models.itertuples():
        title = f"{display_name(row.dataset)}: {names[row.Index]}" if several else names[row.Index]
        told, noted = _sentences(row, attacks), _notes(row, others.get(_key(row)), attacks)
        told = [(name, explained(f"{text}.", seen)) for name, text in told]
        found.append(Card(title, row.answer, *LOOKS[row.answer], told, [explained(text, seen) for text in noted]))
    return found


def totals(answers: pd.DataFrame) -> str:
    """How many compressed models have which answer, in a sentence."""
    of_models = answers[answers["about"].eq(About.MODELS)]
    if of_models.empty:
        return "The study has no compressed model."
    counts = of_models["answer"].value_counts()
    said = ", ".join(f"{counts[answer]} {answer}" for answer in LOOKS if answer in counts)
    return f"{len(of_models)} compressed model{'s' * (len(of_models) > 1)}: {said}."


def explained(text: str, seen: set[str]) -> Markup:
    """HTML of a text in which those of WORDS that were not yet `seen` tell what they mean when the pointer rests on
    them; these are added to `seen`.
    """

    def abbreviation(match: re.Match[str]) -> str:
        word = next(word for word in WORDS if word.lower() == match[1].lower())
        if word in seen:
            return match[1]
        seen.add(word)
        return f'<abbr title="{escape(WORDS[word])}">{match[1]}</abbr>'

    return Markup(TERMS.sub(abbreviation, str(escape(text))))


def _key(row: Any) -> tuple[Any, ...]:
    return row.dataset, *(getattr(row, axis) for axis in MODEL)


def _sentences(row: Any, attacks: Any) -> Iterator[tuple[str, str]]:
    """(name, text) of what a reader must know."""
    numbers = [f"clean images {_accuracy(row, 'clean')}"] if row.clean_accuracy == row.clean_accuracy else []
    if row.attack:
        made = "" if row.crafted_on == ITSELF else f" on images made for {row.crafted_on} (transfer)"
        lower = isinstance(row.least_attack, str) and row.least_attack not in ("", row.attack)
        worst = "the worst attack that leaves its base something" if row.no_stake and row.threat else "the worst attack"
        numbers.insert(0, f"under {attacks[row.attack]}{made}, {worst}, {_accuracy(row, 'robust')}")
        # A reader takes the first number for what the model resists.
        if lower:
            numbers.insert(0, f"under {attacks[row.least_attack]}, the worst attack, {_accuracy(row, 'least')}")
    yield from [("Accuracy", "; ".join(numbers))] if numbers else []
    yield "Why", row.reasons
    yield "Would change the answer", row.changes


def _notes(row: Any, trainings: Any, attacks: Any) -> Iterator[str]:
    if row.threat:
        yield f"Threat model: {row.threat}."
    yield from _queried(row, attacks)
    if row.no_stake:
        yield f"Under {row.no_stake} the base keeps next to nothing, so there is nothing to lose."
    attacked = isinstance(row.attack, str) and row.attack
    if attacked and row.crafted_on != ITSELF and row.robust_difference == row.robust_difference:
        yield (
            f"Against its base on those images {_change(row, 'robust_difference')} points: they were not made for it, "
            f"and what it resists of them proves nothing in its favour."
        )
    elif attacked and row.by_training == row.by_training:
        parts = (f"{_change(row, part)} by {part.removeprefix('by_')}" for part in ("by_training", "by_compression"))
        whole = _change(row, "robust_difference")
        yield f"Against its base under {attacks[row.attack]} {whole} points = {' and '.join(parts)}; {APART}."
    if trainings is not None:
        yield f"Another training of the same recipe: {trainings.answer}; {trainings.reasons}."


def _accuracy(row: Any, kind: str) -> str:
    values = (100 * getattr(row, name) for name in (f"{kind}_accuracy", f"{kind}_low", f"{kind}_high"))
    base = 100 * getattr(row, f"base_{kind}_accuracy")
    beside = f" (base {base:.1f})" if base == base else ""
    return "{:.1f}\N{NO-BREAK SPACE}% [{:.1f},\N{NO-BREAK SPACE}{:.1f}]".format(*values) + beside


def _change(row: Any, name: str) -> str:
    value, low, high = (points(getattr(row, f"{name}{end}")) for end in ("", "_low", "_high"))
    return f"{value} [{low},\N{NO-BREAK SPACE}{high}]"
