"""What two models do on the images that attacks crafted on one of them, and what that can speak for; no torch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squeezeproof.analysis.answers import ITERATED, strength_of
from squeezeproof.analysis.names import eps_display
from squeezeproof.audit.findings import EVERY, WARNING, WEAK, Finding
from squeezeproof.entries import registry
from squeezeproof.study.entities import Instance
from squeezeproof.study.instances import needs_gradients

COMPRESSED = "compressed"
# The check that white-box attacks are at least as strong as transfer.
TRANSFER = 14
WEAK_ATTACKS = "the audit warns that attacks on the compressed model are weak"


@dataclass(frozen=True)
class Faced:
    """Both models on the images that one attack crafted on one of them.

    Attributes:
        source: `base` or `compressed`, the model that was attacked.
        settings: of the attack, and `entry`, what a config calls it.
        right: `base` and `compressed` -> whether that model labels the images rightly, bool [N]; of an attack that ends
            where it succeeds, the source alone: its images say nothing of the other model.
        scored: bool [N], the images that count.
    """

    source: str
    settings: dict[str, Any]
    right: dict[str, np.ndarray]
    scored: np.ndarray

    @property
    def budget(self) -> tuple[str, float | None]:
        return self.settings["norm"], self.settings["eps"]

    @property
    def follows_gradients(self) -> bool:
        """Whether the attack follows the gradients of the model that it attacks."""
        entry = self.settings["entry"]
        return needs_gradients(Instance(entry, entry, self.settings))

    @property
    def strength(self) -> int:
        """Of `answers.strength_of`, by the gradients that the settings ask for."""
        return strength_of(self.settings["method"], self.passes[1])

    @property
    def passes(self) -> tuple[float, float]:
        """(forward, backward) passes per image that the settings ask for."""
        return registry.attacks()[self.settings["method"]].passes_of(self.settings)


def followed_gradients(faced: Sequence[Faced]) -> list[str]:
    """The models whose gradients an attack followed, in the order in which they were attacked."""
    return list(dict.fromkeys(one.source for one in faced if one.follows_gradients))


def concerning(
    findings: Sequence[Finding], dataset: str, models: Collection[str], followed: Collection[str]
) -> list[Finding]:
    """The findings on two models.

    Args:
        models: their names in the findings.
        followed: those whose gradients an attack followed. That transfer breaks more of another than attacks without
            gradients do is no sign of a weak attack.
    """
    places = {EVERY, *models}
    return [
        finding
        for finding in findings
        if finding.dataset in (dataset, EVERY)
        and {finding.source, finding.target} <= places
        and (finding.check != TRANSFER or finding.target in followed)
    ]


def by_strength(faced: Sequence[Faced]) -> list[str]:
    """The entries of some attacks, the weakest first: by declared strength, then by gradients and queries per image."""
    found: dict[str, tuple[float, ...]] = {}
    for one in faced:
        key = one.strength, *one.passes[::-1]
        found[one.settings["entry"]] = max(key, found.get(one.settings["entry"], key))
    return sorted(found, key=lambda entry: found[entry])


def budgets(faced: Sequence[Faced]) -> list[tuple[str, float | None]]:
    """The norms and radii of some attacks, in order."""
    return sorted({one.budget for one in faced}, key=lambda budget: (budget[0], budget[1] or 0))


def weak_attack(finding: Finding, compressed: str) -> bool:
    """Whether a finding warns that attacks on the compressed model are weaker than they could be."""
    places = {finding.source, finding.target}
    return (
        compressed in places and places <= {compressed, EVERY} and finding.verdict == WARNING and finding.check in WEAK
    )


def tells(faced: Sequence[Faced]) -> bool:
    """Whether an attack followed the gradients of the compressed model for several steps."""
    return any(one.source == COMPRESSED and one.strength >= ITERATED for one in faced)


def unproved(faced: Sequence[Faced], doubt: str) -> dict[str, str]:
    """Budget in words -> why nothing that the compressed model resists there speaks for it.

    Args:
        doubt: why what it resists at any budget does not speak for it, as WEAK_ATTACKS; empty where it may.
    """
    reasons = {}
    for budget in budgets(faced):
        if not tells([one for one in faced if one.budget == budget]):
            reasons[budget_display(*budget)] = "no attack followed the compressed model's gradients for several steps"
        elif doubt:
            reasons[budget_display(*budget)] = doubt
    return reasons


def budget_display(norm: str, eps: float | None) -> str:
    """A ball in words, such as `Linf, eps 8/255`."""
    return norm.capitalize() if eps is None or eps != eps else f"{norm.capitalize()}, eps {eps_display(eps)}"
