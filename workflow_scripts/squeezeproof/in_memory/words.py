"""What a study tells its reader to do, as who calls `check` can do it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from squeezeproof.analysis.answers import FOLLOW
from squeezeproof.analysis.replacement import Answer
from squeezeproof.audit.findings import Finding
from squeezeproof.entries import registry

# What would change an answer, in the words of a study -> the same of a call.
CHANGES = {
    FOLLOW: (
        "an attack on the model itself that takes several steps, as those of attacks=None do (PGD, APGD); in place of "
        "a function that gives no gradients, the network that it was made of, as a torch.nn.Module, fake-quantized "
        "where the function computes in int8"
    ),
    "what tables/audit.csv says to do, and a new run": "what the audit's findings say to do, and a new call",
}
# How a finding on a model whose passes differ ends.
EXPECTATION = "write expectation: 10 for every attack on it"
PASSES = 10


def answer_in_words(answer: Answer) -> Answer:
    """The same answer, with changes that a caller can make."""
    changes = answer.changes
    for of_study, of_call in CHANGES.items():
        changes = changes.replace(of_study, of_call)
    return replace(answer, changes=changes)


def findings_in_words(findings: Sequence[Finding], attacks: Mapping[str, dict[str, Any]]) -> list[Finding]:
    """The same findings, with what a caller can write.

    Args:
        attacks: name -> settings of the attacks of the call.
    """
    advice = _with_expectation(attacks)
    return [replace(finding, message=finding.message.replace(EXPECTATION, advice)) for finding in findings]


def _with_expectation(attacks: Mapping[str, dict[str, Any]]) -> str:
    """How to let every attack of a call see the mean of several passes."""
    known = registry.attacks()
    taking = [name for name in attacks if "expectation" in known[name].model_fields]
    given = {name: {**attacks[name], "expectation": PASSES} for name in taking} or {"pgd": {"expectation": PASSES}}
    others = " and ".join(name for name in attacks if name not in taking)
    without = f", without {others}, which takes no expectation itself" if others else ""
    return f"let every attack see the mean of several passes{without}: attacks={given!r}"
