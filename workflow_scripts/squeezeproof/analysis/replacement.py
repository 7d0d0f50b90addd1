"""May a compressed model replace its base under a threat model? What both do on images crafted on either; no torch.

The answer is one of four, by the rule of `analysis.answers`. It rests on clean images and on all attacks together: an
image stands where it stands against every image that was made of it, on the base or on the compressed model, within a
budget. Both models face the same images, and each what an attack that ends where it succeeds made of it itself. Where
attacks could follow the gradients of one of the two alone, the images favour the other, and nothing is proved in its
favour.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from squeezeproof.analysis.answers import Evidence, Loss, answer, remedies
from squeezeproof.analysis.evidence import CLEAN_IMAGES, broken, corrected, counted
from squeezeproof.analysis.faced import (
    COMPRESSED,
    WEAK_ATTACKS,
    Faced,
    budget_display,
    budgets,
    by_strength,
    followed_gradients,
    tells,
    unproved,
    weak_attack,
)
from squeezeproof.analysis.names import attack_display
from squeezeproof.analysis.pairs import BASE, Pair
from squeezeproof.analysis.verdicts import ITSELF, verdicts
from squeezeproof.analysis.ways import OF_STUDY, Ways
from squeezeproof.audit.findings import FAILURE, WARNING, Finding
from squeezeproof.statistics.crossed import About, Mean, interval
from squeezeproof.tables.table import points, records, unseen
from squeezeproof.tables.words import TESTED, Comparison, Verdict
from squeezeproof.types import Described

BOTH = "both"
TOGETHER = "all attacks together"
COLUMNS = [
    "attack", "norm", "eps", "crafted_on", "base_accuracy", "compressed_accuracy", "difference", "low", "high",
    "verdict", "detectable", "n",
]  # fmt: skip
# What the pairs' descriptions of a model hold beside its name; none of it is known or told of models from elsewhere.
UNKNOWN: Described = {
    "dataset": "", "name": "", "variant": "", "architecture": "", "training": "", "compression": "external",
    "ratio": 0.0, "bits": 32, "finetuning": "", "seed": 0, "base": BASE, "control": "",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What the data allow to say, and no more.

    Attributes:
        verdict: KEEP, CARE, STOP or UNKNOWN (analysis.answers).
        headline: the verdict and its reasons, a sentence.
        changes: what would change it, clauses.
        sentences: the numbers behind it, one sentence for each budget and one for the clean images.
        classes: of the data.
        clean: base_accuracy, compressed_accuracy, difference, low, high and n on the clean images.
        table: a row per attack, budget and model that it was crafted on (COLUMNS), by budget and strength; `itself` for
            each model on what was crafted on itself, `both` for all attacks together. Its intervals are those that the
            answer rests on: they hold at once for all budgets of an attack (Bonferroni).
        unproved: budget in words -> why nothing that the compressed model resists there speaks for it.
    """

    verdict: str
    headline: str
    changes: str
    sentences: list[str]
    classes: int
    clean: dict[str, Any]
    table: pd.DataFrame
    unproved: dict[str, str]

    @property
    def together(self) -> pd.DataFrame:
        """The rows of `table` that the answer rests on, one per budget."""
        return self.table[self.table["attack"] == TOGETHER]


def replacement(
    clean: dict[str, np.ndarray],
    faced: Sequence[Faced],
    classes: int,
    statistics: dict[str, Any],
    audit: Sequence[Finding] = (),
    compressed: str = COMPRESSED,
    ways: Ways = OF_STUDY,
) -> Answer:
    """The Answer on two models.

    Args:
        clean: `base` and `compressed` -> whether that model labels the clean images rightly, bool [N].
        faced: every Faced; at each budget at least one attack on each of the models that was attacked at all.
        classes: of the data; 1 / classes is the accuracy of chance.
        statistics: alpha and margin, as a study has them.
        audit: findings on both models; after a failure nothing but the failure counts.
        compressed: the name of the compressed model in them.
        ways: what the reader can do.
    """
    reason = broken([finding for finding in audit if finding.target == compressed])
    weak = any(weak_attack(finding, compressed) for finding in audit)
    doubt = "the compressed model is broken" if reason else WEAK_ATTACKS if weak else ""
    pairs = [pair for budget in budgets(faced) for pair in _pairs(clean, faced, budget, bool(doubt))]
    judged = verdicts(pairs, statistics)
    alpha = statistics["alpha"]
    table = pd.DataFrame([_row(row, pairs, alpha) for row in judged.itertuples()], columns=COLUMNS)
    losses = [
        _loss(row, base, faced, alpha)
        for row, base in zip(records(judged), table["base_accuracy"], strict=True)
        if row.entry == TOGETHER
    ]
    table = table.assign(place=table["crafted_on"].map([BOTH, ITSELF, BASE, COMPRESSED].index))
    table = table.assign(turn=table["attack"].map([TOGETHER, *by_strength(faced)].index))
    table = table.sort_values(["norm", "eps", "turn", "place"], kind="stable", ignore_index=True)[COLUMNS]
    before = _clean(clean, statistics)
    numbers = (before[name] for name in ("difference", "low", "high", "n"))
    on_clean = Loss(CLEAN_IMAGES, "", *numbers, kept=before["base_accuracy"])
    found = _weighed(on_clean, losses, audit, reason)
    verdict, reasons = answer(found, statistics["margin"])
    headline = f"{verdict.capitalize()}: {'; '.join(reasons)}."
    changes = f"{'; '.join(remedies(found, statistics['margin'], None, ways=ways))}."
    together = table[table["attack"] == TOGETHER].to_dict("records")
    open_there = unproved(faced, doubt)
    sentences = [*(_sentence(row, classes, open_there) for row in together), _clean_sentence(before)]
    return Answer(verdict, headline, changes, sentences, classes, before, table, open_there)


def _loss(row: Any, base_accuracy: float, faced: Sequence[Faced], alpha: float) -> Loss:
    """What a verdict on all attacks together says, as the rule of the answers weighs it."""
    name = f"{TOGETHER} ({budget_display(row.norm, row.eps)})"
    here = [one for one in faced if one.source == COMPRESSED and one.budget == (row.norm, row.eps)]
    bounds = corrected(row, row.family_size, alpha)
    strength = max((one.strength for one in here), default=0)
    return Loss(name, row.verdict, row.difference, *bounds, row.n, strength=strength, kept=base_accuracy)


def _weighed(clean: Loss, losses: list[Loss], audit: Sequence[Finding], reason: str) -> Evidence:
    """The Evidence on a compressed model, which is broken where there is a `reason`. What an audit that failed says of
    its cells is not told here, so that none of them counts.
    """
    failures, warnings = (counted(audit, verdict) for verdict in (FAILURE, WARNING))
    if failures:
        return Evidence(broken=reason, failures=failures, warnings=warnings)
    return Evidence(clean, losses, broken=reason, warnings=warnings)


def _pairs(
    clean: dict[str, np.ndarray], faced: Sequence[Faced], budget: tuple[str, float | None], weak: bool
) -> Iterator[Pair]:
    """The pairs of one budget: each attack on each model itself, on the same images, and all together.

    Args:
        weak: whether attacks on the compressed model are weaker than they could be, or it is broken.
    """
    here = [one for one in faced if one.budget == budget]
    by_source = {source: {one.settings["entry"]: one for one in here if one.source == source} for source in clean}
    for entry in dict.fromkeys(one.settings["entry"] for one in here):
        on_base, on_compressed = (by_source[source].get(entry) for source in (BASE, COMPRESSED))
        if on_base is not None and on_compressed is not None:
            right = on_base.right[BASE], on_compressed.right[COMPRESSED]
            led = on_compressed.follows_gradients and not weak
            yield _pair(clean, on_base, COMPRESSED, Comparison.WHITE_BOX, *right, led)
        for one in filter(None, (on_base, on_compressed)):
            if len(one.right) == len(clean):
                right, led = (one.right[BASE], one.right[COMPRESSED]), one.follows_gradients and not weak
                yield _pair(clean, one, one.source, Comparison.SAME_SOURCE, *right, led)
    followed = followed_gradients(here)
    alike = set(followed) in (set(), {BASE, COMPRESSED})
    # Of attacks that were stronger on one model, the images favour the other.
    source, comparison = (COMPRESSED, Comparison.WHITE_BOX) if alike else (next(iter(followed)), Comparison.SAME_SOURCE)
    # The clean image lies in the ball, too.
    stands = [
        np.logical_and.reduce([clean[model], *(one.right[model] | ~one.scored for one in here if model in one.right)])
        for model in (BASE, COMPRESSED)
    ]
    scored = np.logical_or.reduce([one.scored for one in here])
    named = {"entry": TOGETHER, "method": TOGETHER, "norm": budget[0], "eps": budget[1]}
    yield _pair(clean, Faced(source, named, {}, scored), source, comparison, *stands, tells(here) and not weak)


def _pair(
    clean: dict[str, np.ndarray],
    one: Faced,
    source: str,
    comparison: Comparison,
    base_right: np.ndarray,
    compressed_right: np.ndarray,
    led: bool,
) -> Pair:
    target: Described = {**UNKNOWN, "name": COMPRESSED}
    attacked: Described = {**UNKNOWN, "name": source, "variant": source}
    settings = {key: one.settings[key] for key in ("entry", "method", "norm", "eps")}
    name = f"{one.settings['entry']} {one.settings['norm']} {one.settings['eps']}"
    outcomes = base_right, compressed_right, one.scored, clean[BASE], clean[COMPRESSED]
    return Pair(target, attacked, BASE, comparison, name, settings, *outcomes, led)


def _row(row: Any, pairs: Sequence[Pair], alpha: float) -> dict[str, Any]:
    """A row of Answer.table from one of the table of verdicts and the pair that it judges."""
    pair = next(
        pair
        for pair in pairs
        if pair.attack == row.attack
        and pair.comparison == row.comparison
        and (row.source == ITSELF or pair.source["name"] == row.source)
    )
    base, compressed = (right[pair.scored].mean() for right in (pair.reference_right, pair.compressed_right))
    own = {
        **{"attack": row.entry, "crafted_on": BOTH if row.entry == TOGETHER else row.source},
        **{"base_accuracy": base, "compressed_accuracy": compressed},
        **dict(zip(("low", "high"), corrected(row, row.family_size, alpha), strict=True)),
    }
    return {name: own[name] if name in own else getattr(row, name) for name in COLUMNS}


def _clean(clean: dict[str, np.ndarray], statistics: dict[str, Any]) -> dict[str, Any]:
    difference = clean[COMPRESSED].astype(int) - clean[BASE].astype(int)
    found = Mean.of(difference[None])
    low, high = interval(found, statistics["alpha"], About.MODELS)
    accuracies = {f"{model}_accuracy": float(right.mean()) for model, right in clean.items()}
    return {**accuracies, "difference": float(found.mean), "low": float(low), "high": float(high), "n": found.images}


def falls(row: Any, classes: int) -> bool:
    """Whether neither model does better than chance in a row of Answer.table."""
    return max(row["base_accuracy"], row["compressed_accuracy"]) <= 1 / classes


def wider(row: Any) -> bool:
    """Whether the verdict on a row says that the models differ, and its interval holds 0: Holm's test finds more than
    an interval for all comparisons at once.
    """
    undecided = ("", Verdict.EQUIVALENT, Verdict.NOT_SHOWN)
    return row["verdict"] not in undecided and row["low"] <= 0 <= row["high"]


def bounds(row: Any) -> str:
    """The interval of a row in points, such as `[−2.4, +0.1]`."""
    return f"[{points(row['low'])}, {points(row['high'])}]"


def attack_name(entry: str, eps: float | None) -> str:
    """An attack of the table as pages write it."""
    name = attack_display(entry, entry, eps)
    return name[:1].upper() + name[1:]


def _sentence(row: Any, classes: int, open_there: Mapping[str, str]) -> str:
    budget = budget_display(row["norm"], row["eps"])
    base, compressed = (f"{100 * row[f'{model}_accuracy']:.1f} %" for model in (BASE, COMPRESSED))
    text = (
        f"{budget}, {TOGETHER}: the base labels {base} of the images rightly, the "
        f"compressed model {compressed}: {points(row['difference'])} points {bounds(row)}, {row['verdict']}"
    )
    if row["verdict"] == Verdict.NOT_SHOWN:
        text += f"; {unseen(row['detectable'])} with {row['n']} image{'s' * (row['n'] > 1)}"
    if wider(row):
        text += f"; {TESTED}"
    if falls(row, classes):
        text += "; neither does better than chance"
    if budget in open_there and row["verdict"] != Verdict.LESS:
        text += f"; {open_there[budget]}, so that what it resists proves nothing in its favour"
    return f"{text}."


def _clean_sentence(clean: dict[str, Any]) -> str:
    return (
        f"Clean images: {100 * clean['base_accuracy']:.1f} % and {100 * clean['compressed_accuracy']:.1f} %: "
        f"{points(clean['difference'])} points {bounds(clean)}."
    )
