"""Check 22: a model knows something of the images; no torch."""

import numpy as np

from squeezeproof.audit.findings import KNOWS, MODEL_BROKEN, WARNING, Finding, judge
from squeezeproof.guessing import judged
from squeezeproof.types import Key

# Standard errors up to which chance explains that a model is right more often than answers that know nothing.
CHANCE = 2.0


def works(key: Key, clean: np.ndarray, labels: np.ndarray) -> Finding:
    """Check 22: the model is right more often than if its answers had nothing to do with the images, and predicts more
    than one class.

    One that is not, such as one that lost its network, cannot be fooled; that it stands is no robustness. A warning
    where chance may explain that it is. The share of the largest class is no measure: a model that tells all classes
    may be right less often than that where one class has most of the images.

    Args:
        key: (data set, source, target, attack) of the cell.
        clean: the model's labels [N] of the clean images.
        labels: true labels [N]. Where they are all of one class, nothing tells what a model knows.
    """
    if constant(labels):
        message = (
            "the images are all of one class, of which a model that always answers so misses none: they tell nothing "
            "of what this one knows; give images of several classes"
        )
        return judge(key, KNOWS, 1, 2, message)
    found, single = judged(clean, labels), constant(clean)
    what = (
        "predicts one class for every image"
        if single
        else f"labels {found.accuracy:.1%} of the clean images right, where {found.unrelated_in_words}"
    )
    message = (
        f"{MODEL_BROKEN}{what}; standing under attack is no robustness; compress it less, train it again, or leave it "
        "out"
    )
    if not single and 0 < found.beyond <= CHANCE * found.error:
        near = (
            f"the model labels {found.accuracy:.1%} of {len(labels)} clean images right, where "
            f"{found.unrelated_in_words}: chance may explain that, and what it resists says little; train it longer, "
            f"or test on more"
        )
        return judge(key, KNOWS, found.accuracy, found.unrelated, near, bad=True, verdict=WARNING)
    return judge(key, KNOWS, found.accuracy, found.unrelated, message, bad=found.beyond <= 0 or single)


def constant(labels: np.ndarray) -> bool:
    """Whether all labels [N] are one class."""
    return len(np.unique(labels)) == 1
