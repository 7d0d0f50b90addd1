"""Check 21: a compressed model is compressed as far as its name says."""

from typing import Any

from squeezeproof.audit.findings import EVERY, FAILURE, WARNING, Finding, judge
from squeezeproof.compression.achieved import FAR


def audit_compressed(dataset: str, model: str, metadata: dict[str, Any]) -> list[Finding]:
    """The finding on the checkpoint of a compressed model (`compression.achieved.achieved`), none for another."""
    told = metadata.get("achieved")
    if told is None:
        return []
    apart = abs(told["achieved"] - told["asked"])
    message = (
        f"{100 * told['achieved']:.4g} % {told['of']}, {100 * told['asked']:.4g} % were asked for: some layers are not "
        f"covered, or only in part, or their filters go in groups; read the achieved figures, not the ratio, or leave "
        f"this network out"
    )
    verdict = FAILURE if apart > told["tolerance"] + FAR else WARNING
    key = (dataset, EVERY, model, EVERY)
    return [judge(key, 21, apart, told["tolerance"], message, bad=apart > told["tolerance"], verdict=verdict)]
