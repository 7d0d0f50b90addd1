"""Check 5 of attacks that hardly look: Square of few queries is stripes, which may help a model as noise may."""

import numpy as np
import pytest
from attack_fixtures import settings

from squeezeproof.audit.cells import Cell, below_clean
from squeezeproof.audit.sets import cumulative
from squeezeproof.entries import registry

FEW, ENOUGH = {"queries": 1, "restarts": 1}, {"queries": 5, "restarts": 2}
KEY = ("digits", "a", "*", "square")


@pytest.mark.parametrize(
    ("told", "gained", "lost", "verdict"),
    [
        (FEW, 0, 9, "pass"), (FEW, 1, 0, "pass"), (FEW, 9, 9, "pass"), (FEW, 15, 2, "warning"),
        (ENOUGH, 0, 9, "pass"), (ENOUGH, 1, 0, "failure"), (ENOUGH, 15, 2, "failure"),
    ],
)  # fmt: skip
def test_a_rise_of_accuracy_is_a_failure_of_attacks_that_search(told, gained, lost, verdict):
    clean, scored = np.arange(200) < 100, np.ones(200, dtype=bool)
    correct = clean.copy()
    correct[100 : 100 + gained], correct[:lost] = True, False
    cell = Cell("digits", "a", "a", "square", settings("square", **told), correct, scored)
    assert below_clean(cell, clean).verdict == verdict


@pytest.mark.parametrize(("told", "verdict"), [(FEW, "pass"), (ENOUGH, "failure")])
def test_a_set_of_few_queries_may_leave_more_images_right_than_there_were(told, verdict):
    labels = np.arange(50) % 10
    clean, after = np.where(np.arange(50) < 5, -1, labels), np.where(np.arange(50) < 4, -1, labels)
    arrays = {"labels": labels, "predictions": after, "clean_predictions": clean}
    metadata = {"stages": [{"standing": 46}], "settings": settings("square", **told)}
    assert cumulative(KEY, metadata, arrays, "").verdict == verdict
    # What is recorded otherwise is wrong of any attack.
    assert cumulative(KEY, {**metadata, "stages": [{"standing": 45}]}, arrays, "").verdict == "failure"


def test_a_suite_searches_where_one_of_its_stages_does():
    suite, stages = registry.attacks()["suite"], [settings("noise"), settings("square", **FEW)]
    assert not suite.never_helps(settings("suite", stages=stages))
    assert suite.never_helps(settings("suite", stages=[*stages, settings("fgsm")]))
    assert registry.attacks()["autoattack"].never_helps(settings("autoattack"))
    assert not registry.attacks()["noise"].never_helps(settings("noise"))
