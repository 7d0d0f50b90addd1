"""Check 36: training and test images have their classes in the same order; no torch."""

from collections.abc import Mapping

import numpy as np

from squeezeproof.audit.findings import EVERY, Finding, judge

# Test images of a class, and the share of them with one other label from which it counts as mistaken for that class.
OF_A_CLASS, MISTAKEN = 10, 0.5


def round_of_classes(dataset: str, clean: Mapping[str, np.ndarray], labels: np.ndarray) -> Finding:
    """The finding on a data set: no class goes by the name of another that goes by its name, directly or in a round.

    A weak model takes one class for another. That all models do so in a round is the order of the classes.

    Args:
        clean: model -> its labels [N] of the clean images.
        labels: true labels [N].
    """
    shared = sorted(set.intersection(*(_round(predicted, labels) for predicted in clean.values())))
    message = (
        f"every model takes the classes {', '.join(map(str, shared))} for one another: look whether training and test "
        f"images have their classes in the same order"
    )
    return judge((dataset, EVERY, EVERY, EVERY), 36, len(shared), 0, message)


def _round(predicted: np.ndarray, labels: np.ndarray) -> set[int]:
    """The classes that are mistaken for another one, from which such mistakes lead back to them."""
    taken = {}
    for label in np.unique(labels):
        names, counts = np.unique(predicted[labels == label], return_counts=True)
        if counts.sum() >= OF_A_CLASS and counts.max() > MISTAKEN * counts.sum():
            taken[int(label)] = int(names[counts.argmax()])
    found = set()
    for label, now in taken.items():
        for _ in taken:
            if now == label:
                found.add(label)
                break
            now = taken.get(now, now)
    return {label for label in found if taken[label] != label}
