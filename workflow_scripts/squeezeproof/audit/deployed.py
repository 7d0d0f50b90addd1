"""Check 19: what was measured on a fake-quantized model holds for the int8 model that is deployed."""

from pathlib import Path
from typing import Any

import numpy as np

from squeezeproof.audit.findings import EVERY, Finding, judge, not_applicable
from squeezeproof.entries import registry
from squeezeproof.store.predictions import NOT_SCORED, read_predictions

AGREEMENT = 0.99
# Attacked images lie nearer to the boundary than clean ones, where rounding decides more of them.
UNDER_ATTACK = 0.95


def audit_integer(dataset: str, model: str, metadata: dict[str, Any]) -> Finding:
    """The finding on a quantized model, for every set it is scored on.

    Args:
        metadata: of `deployment.integer.export_integer`.
    """
    share = f"{1 - metadata['agreement']:.2%} of {metadata['images']} test images"
    message = (
        f"the int8 model gives other labels than the simulated one to {share}, so its "
        f"robustness may differ: calibrate with mse or a percentile, or write first_last: keep"
    )
    return judge((dataset, EVERY, model, EVERY), 19, metadata["agreement"], AGREEMENT, message)


def audit_attacked(integers: str | Path, simulated: str | Path) -> list[Finding]:
    """The finding on every attack of one source: how many of its images an int8 model labels as the simulated one.

    Args:
        integers, simulated: paths of the predictions of the two on the same sets.
    """
    _, found, metadata = read_predictions(integers)
    _, expected, _ = read_predictions(simulated)
    findings = []
    for attack, settings in metadata["attacks"].items():
        key = metadata["dataset"], metadata["source"], metadata["target"], attack
        if registry.attacks()[settings["method"]].minimum_norm:
            reason = "a minimum-norm attack ends at the boundary of the simulated model, where any other differs"
            findings.append(not_applicable(key, 19, reason))
            continue
        scored = expected[attack] != NOT_SCORED
        agreement = float(np.mean(found[attack][scored] == expected[attack][scored]))
        message = (
            f"the int8 model gives other labels than the simulated one to {1 - agreement:.2%} of the attacked images: "
            f"read the accuracy of the int8 model in tables/deployed.csv, not that of the simulated one"
        )
        findings.append(judge(key, 19, agreement, UNDER_ATTACK, message))
    return findings
