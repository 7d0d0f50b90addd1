"""Whether the labels of test images are right, by what models that were trained apart say of them; no torch."""

from collections.abc import Collection, Mapping

import numpy as np

from squeezeproof.audit.findings import Finding, judge, listed, not_applicable
from squeezeproof.types import Key

# Wrong predictions that two models must share before it is more than chance.
SHARED_ERRORS = 20
# Share of the errors of models that were trained apart which all of them make alike.
SHARED = 0.7


def errors_in_common(key: Key, clean: Mapping[str, np.ndarray], labels: np.ndarray, apart: Collection[str]) -> Finding:
    """Check 26: models that were trained apart do not make the same errors.

    Networks trained from different starts share half of their errors or less. Where they agree on another label than
    the given one nearly every time, the given one is likely to be wrong.

    Args:
        key: of the data set.
        clean: model -> its labels [N] of the clean images.
        labels: true labels [N].
        apart: the models that were trained apart.
    """
    if len(apart) < 2:
        return not_applicable(key, 26, "a single base model; another seed or architecture would tell")
    predicted = np.stack(list(clean.values()))
    agreed = np.flatnonzero((predicted == predicted[0]).all(axis=0) & (predicted[0] != labels))
    errors = min(int((clean[model] != labels).sum()) for model in apart)
    # Of a few shared errors nothing follows.
    share = len(agreed) / errors if len(agreed) >= SHARED_ERRORS / 2 else 0.0
    message = (
        f"all models agree on another label for {len(agreed)} of the {len(labels)} test images ({listed(agreed)}), "
        f"{share:.0%} of the errors of the best: look whether their labels are right"
    )
    return judge(key, 26, share, SHARED, message)
