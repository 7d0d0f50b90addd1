"""Check 19: what was measured on a fake-quantized model holds for the int8 model that is deployed."""

from typing import Any

from squeezeproof.audit.findings import EVERY, Finding, judge

AGREEMENT = 0.99


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
    bad = not metadata["agreement"] >= AGREEMENT
    return judge((dataset, EVERY, model, EVERY), 19, metadata["agreement"], AGREEMENT, message, bad=bad)
