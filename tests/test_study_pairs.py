"""Which sources and targets an evaluation pairs, and what is crafted and scored on them."""

import pytest
from plan_examples import BASE, PRUNED, plan

from squeezeproof.study.evaluations import Evaluation
from squeezeproof.study.json_schema import choices, properties
from squeezeproof.study.pairs import OTHER, SAME

FROM_ONE_SOURCE = {
    (): "3a0 3a1 3b0 3b1 8a0 8a1 8b0 8b1",
    ("white-box",): "3a0",
    ("transfer",): "3a1 3b0 3b1 8a0 8a1 8b0 8b1",
    ("same-seed",): "3a0 3b0 8a0 8b0",
    ("other-seed",): "3a1 3b1 8a1 8b1",
    ("same-architecture",): "3a0 3a1 3b0 3b1",
    ("other-architecture",): "8a0 8a1 8b0 8b1",
    ("same-training",): "3a0 3a1 8a0 8a1",
    ("other-training",): "3b0 3b1 8b0 8b1",
    ("transfer", "same-seed"): "3b0 8a0 8b0",
    ("other-seed", "other-architecture", "other-training"): "8b1",
}


@pytest.mark.parametrize(("where", "targets"), FROM_ONE_SOURCE.items(), ids=lambda value: str(value)[:40])
def test_conditions_keep_the_pairs_that_meet_them_all(where, targets):
    study = plan(
        {
            "seeds": [0, 1],
            "architectures": {"cnn3": {}, "cnn8": {}},
            "trainings": {"a": {"epochs": 1}, "b": {"epochs": 1}},
            "compressions": None,
            "evaluations": {"one": {"sources": "cnn3.a.*.s0", "where": list(where)}},
        }
    )
    assert list(study.pairs) == [
        ("digits", f"cnn{code[0]}.{code[1]}.none.none.s{code[2]}", "cnn3.a.none.none.s0") for code in targets.split()
    ]


def test_every_condition_of_the_schema_is_known_and_tried():
    assert set(choices(properties(Evaluation)["where"]["items"])) == {*SAME, *OTHER}
    assert {*SAME, *OTHER} == {where[0] for where in FROM_ONE_SOURCE if len(where) == 1}


@pytest.mark.parametrize(
    ("sources", "targets", "expected"),
    [
        ("base", "compressed", [(BASE, target) for target in PRUNED]),
        ("compressed", "base", [(source, BASE) for source in PRUNED]),
        ("base", "base", [(BASE, BASE)]),
        ("*.weight-98.*", "*.none.none.*", [(PRUNED[1], BASE)]),
        (["*-90.*", "base"], "base", [(BASE, BASE), (PRUNED[0], BASE)]),
        (PRUNED[0], PRUNED[0], [(PRUNED[0], PRUNED[0])]),
        ("*", "*", [(source, target) for source in [BASE, *PRUNED] for target in [BASE, *PRUNED]]),
    ],
)
def test_sources_and_targets_are_aliases_or_patterns(sources, targets, expected):
    study = plan({"evaluations.all": {"sources": sources, "targets": targets}})
    assert [(source, target) for _, target, source in study.pairs] == expected


def test_evaluations_are_united_and_sets_are_crafted_once():
    study = plan(
        {
            "evaluations": {
                "weak": {"targets": "base", "attacks": "fgsm-eps0.2"},
                "all": {"targets": ["base", "*-90.*"]},
                "again": {"targets": "*-90.*", "attacks": ["pgd-*", "fgsm-eps0.1"]},
            }
        }
    )
    assert study.pairs == {
        ("digits", BASE, BASE): ["fgsm-eps0.2", "fgsm-eps0.1", "pgd-eps8of255"],
        ("digits", PRUNED[0], BASE): ["fgsm-eps0.1", "fgsm-eps0.2", "pgd-eps8of255"],
    }
    assert study.sets == {("digits", BASE): ["fgsm-eps0.2", "fgsm-eps0.1", "pgd-eps8of255"]}


def test_evaluation_stays_within_its_data_sets():
    study = plan(
        {"datasets": {"digits": {}, "mnist": {}}, "evaluations": {"one": {"datasets": "mn*", "targets": "base"}}}
    )
    assert list(study.pairs) == [("mnist", BASE, BASE)]
    assert list(study.sets) == [("mnist", BASE)]


def test_models_never_cross_data_sets():
    pairs = plan({"datasets": {"digits": {}, "mnist": {}}, "evaluations.all.where": "white-box"}).pairs
    assert sorted(pairs) == [("digits", BASE, BASE), ("mnist", BASE, BASE)]


def test_evaluated_models_are_the_pairs_models_and_their_bases_in_plan_order():
    study = plan(
        {
            "seeds": [0, 1],
            "evaluations": {"one": {"sources": "*-98.*.s1", "targets": "*-90.*.s1"}},
        }
    )
    assert [name for _, name in study.evaluated_models] == [
        "cnn3.standard.none.none.s1",
        "cnn3.standard.weight-90.short.s1",
        "cnn3.standard.weight-98.short.s1",
    ]
