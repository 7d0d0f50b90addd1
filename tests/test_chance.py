"""A model that chance explains is told (check 22)."""

import numpy as np
import pytest

from squeezeproof.audit.findings import FAILURE, PASS, WARNING
from squeezeproof.audit.knowing import works
from squeezeproof.guessing import judged

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


def unbalanced(few, right):
    """The finding on a model of 95 images of class 0 and 5 of class 5, of which it has `right` of the first class and
    `few` of the second right, and takes the others for the other class."""
    labels = np.repeat([0, 5], [95, 5])
    clean = np.concatenate([np.repeat([0, 5], [right, 95 - right]), np.repeat([5, 0], [few, 5 - few])])
    return works(KEY, clean, labels)


@pytest.mark.parametrize(("few", "right", "verdict"), [
    (4, 70, PASS), (5, 95, PASS), (3, 70, WARNING), (2, 70, WARNING), (1, 76, FAILURE), (0, 94, FAILURE),
    (0, 95, FAILURE),
])  # fmt: skip
def test_of_unbalanced_classes_a_model_is_judged_by_what_it_knows(few, right, verdict):
    """It may be right less often than one that answers with the largest class alone, and know more."""
    one = unbalanced(few, right)
    assert one.verdict == verdict
    said = "predicts one class for every image" if right == 95 and not few else "answers that had nothing to do with"
    assert verdict == PASS or said in one.message


def test_answers_that_have_nothing_to_do_with_the_images_are_as_often_right_as_said():
    random = np.random.default_rng(0)
    labels, answers = np.repeat([0, 1, 2], [70, 20, 10]), np.repeat([0, 1, 3], [50, 10, 40])
    found = judged(answers, labels)
    shares = [(random.permutation(answers) == labels).mean() for _ in range(4000)]
    assert found.unrelated == pytest.approx(np.mean(shares), abs=0.003)
    assert found.error == pytest.approx(np.std(shares), rel=0.05)
    assert judged(labels, labels).beyond > found.beyond and judged(labels[:1], labels[:1]).error == 0
