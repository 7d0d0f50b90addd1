"""What comparisons say of a claim."""

import pandas as pd
import pytest

from squeezeproof.analysis.claims import Count, count

KIND = {"about": "trainings", "against": "base", "compression": "weight", "ratio": 0.5}


def verdicts(*words, **changes):
    return pd.DataFrame([KIND | {"verdict": word} | changes for word in words])


def intervals(*pairs):
    return pd.DataFrame([KIND | {"low": low, "high": high} for low, high in pairs])


@pytest.mark.parametrize(("expects", "counts"), [("lower", (1, 3, 2)), ("not lower", (3, 1, 2)), ("higher", (2, 2, 2))])
def test_every_verdict_shows_or_contradicts_a_claim_or_decides_nothing(expects, counts):
    table = verdicts("less robust", "equivalent", "more robust", "transfers worse", "found less", "no difference shown")
    assert count(table, expects, {}) == [Count("trainings", "base", *counts)]


@pytest.mark.parametrize(("expects", "counts"), [("lower", (1, 2, 2)), ("not lower", (2, 1, 2)), ("higher", (1, 2, 2))])
def test_an_interval_tells_what_it_has_0_outside_of_or_lies_near(expects, counts):
    table = intervals((-0.05, -0.01), (0.01, 0.05), (-0.01, 0.01), (-0.05, 0.01), (-0.01, 0.05))
    assert count(table, expects, {}) == [Count("trainings", "base", *counts)]


def test_a_claim_may_be_about_another_column_with_an_interval():
    table = intervals((0.01, 0.05)).assign(growth=-0.1, growth_low=-0.2, growth_high=-0.05)
    assert count(table, "lower", {}) == [Count("trainings", "base", 0, 1, 0)]
    assert count(table, "lower", {}, "growth") == [Count("trainings", "base", 1, 0, 0)]


def test_a_speedup_is_none_where_its_interval_lies_near_1_and_stands_for_these_models():
    table = intervals((1.1, 1.2), (0.99, 1.01), (0.7, 0.9), (0.9, 1.1), (None, None)).drop(columns="about")
    assert count(table, "not higher", {}, "speedup") == [Count("these models", "base", 2, 1, 2)]


def test_kinds_of_comparisons_stand_apart_and_controls_and_other_rows_are_left_out():
    table = pd.concat(
        [
            verdicts("less robust"),
            verdicts("equivalent", against="control"),
            verdicts("equivalent", about="these models", ratio=0.9),
            verdicts("more robust", compression="control"),
        ]
    )
    found = {(one.about, one.against): one.shown for one in count(table, "lower", {"ratio": [0.5]})}
    assert found == {("trainings", "base"): 1, ("trainings", "control"): 0}


@pytest.mark.parametrize(
    ("counts", "answer"),
    [
        ((3, 0, 0), "holds"),
        ((3, 0, 1), "shown in some, undecided in others"),
        ((3, 1, 0), "holds in part"),
        ((3, 1, 5), "holds in part"),
        ((0, 1, 0), "contradicted"),
        ((0, 1, 1), "contradicted in some, undecided in others"),
        ((0, 0, 4), "cannot be told"),
    ],
)
def test_an_answer_is_no_stronger_than_what_was_counted(counts, answer):
    assert Count("trainings", "base", *counts).answer == answer
