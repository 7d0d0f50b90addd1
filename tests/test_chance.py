"""A model that chance explains is told (check 22)."""

import numpy as np
import pytest

from squeezeproof.audit.findings import FAILURE, PASS, WARNING
from squeezeproof.audit.models import works

KEY = "digits", "*", "base", "*"


def found(labels, right):
    """The finding on a model that labels the first `right` of the images rightly, and the others as the next class."""
    labels = np.asarray(labels)
    clean = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % 10)
    return works(KEY, clean, labels)


@pytest.mark.parametrize(
    ("images", "share", "verdict"),
    [
        (500, 0.9, PASS), (20, 0.9, PASS), (10, 0.9, PASS), (500, 0.12, WARNING), (20, 0.2, WARNING),
        (10_000, 0.12, PASS), (500, 0.1, FAILURE), (500, 0.05, FAILURE),
    ],
)  # fmt: skip
def test_a_model_that_chance_explains_is_told(images, share, verdict):
    one = found(np.arange(images) % 10, round(share * images))
    assert one.verdict == verdict
    assert ("chance may explain that" in one.message) == (verdict == WARNING)
