"""Attacks in a config: suites, stop_on_success, minimum-norm attacks and what does not go together."""

import pytest
from entry_examples import SECTIONS, required
from study_examples import changed

from squeezeproof.attacks.registry import FITS
from squeezeproof.attacks.suite import stages
from squeezeproof.entries import registry
from squeezeproof.entries.attack import UNTOLD
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.study.schema import check_config

SMALL = """
study: small
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 4}}
compressions: {weight: {ratio: 0.9}}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
"""
KINDS = SECTIONS["attacks"]


def plan(changes=()):
    return Study(changed(SMALL, changes))


def problems_of(changes):
    with pytest.raises(ConfigError) as caught:
        plan(changes)
    return caught.value.problems


def test_what_learns_first_and_what_is_a_suite_is_no_stage():
    assert {name for name, kind in KINDS.items() if not kind.may_be_stage()} == {*FITS, "suite", "autoattack"}


def test_a_minimum_norm_attack_goes_by_its_name_alone_and_with_a_budget_by_both():
    study = plan({"attacks": {"deepfool": {}, "mine": {"method": "cw"}, "fab": {"eps": ["8/255", 0.5]}}})
    assert list(study.attacks) == ["deepfool", "mine", "fab-eps8of255", "fab-eps0.5"]
    assert study.attacks["deepfool"].settings["eps"] is None
    assert study.attacks["fab-eps0.5"].settings["eps"] == 0.5


@pytest.mark.parametrize("method", [name for name, kind in KINDS.items() if "eps" not in required(kind)])
def test_only_minimum_norm_attacks_do_without_a_budget(method):
    assert method in ("fab", "fab_t", "cw", "deepfool")


def test_the_stages_of_a_suite_are_complete_settings_in_order():
    entry = {"eps": [0.1], "norm": "l2", "stages": ["fgsm", {"method": "pgd", "steps": 3}, "square"]}
    study = plan({"attacks": {"suite": entry}})
    parts = stages(study.attacks["suite-eps0.1"].settings)
    assert [part["method"] for part in parts] == ["fgsm", "pgd", "square"]
    assert parts[1]["steps"] == 3 and parts[2]["queries"] == 5000
    for part in parts:
        assert part.keys() == KINDS[part["method"]].names().keys() - {*UNTOLD}
        assert (part["eps"], part["norm"], part["stop_on_success"]) == (0.1, "l2", False)


def test_autoattack_differs_from_the_defaults_only_where_the_paper_does():
    for part in KINDS["autoattack"].standard:
        defaults = KINDS[part["method"]].defaults()
        # By AutoAttack's number of queries Square's windows are AutoAttack's by default, too: tests/test_square.py.
        assert {**{key: defaults[key] for key in part}, **({"reference": True} if "reference" in part else {})} == part


def test_an_entry_that_is_no_suite_is_its_only_stage():
    study = plan({"attacks": {"pgd": {"eps": 0.1}}})
    (part,) = stages(study.attacks["pgd-eps0.1"].settings)
    assert part == {key: value for key, value in study.attacks["pgd-eps0.1"].settings.items() if key not in UNTOLD}


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        ("pdg", "attacks.suite.stages[1].method: 'pdg' is unknown, did you mean pgd?"),
        ({"method": "pgd", "eps": 0.1}, "attacks.suite.stages[1].eps: unknown"),
        ({"method": "pgd", "stop_on_success": True}, "attacks.suite.stages[1].stop_on_success: unknown"),
        ({"steps": 3}, "attacks.suite.stages[1]"),
        ({"method": "pgd", "steps": 0}, "attacks.suite.stages[1].steps: 0 is not in [1, 100000]"),
        ("suite", "attacks.suite.stages[1].method: 'suite' is unknown"),
        ("uap", "attacks.suite.stages[1].method: 'uap' is unknown"),
        (7, "attacks.suite.stages[1]: 7 is neither a name nor a mapping"),
    ],
)
def test_a_wrong_stage_is_named(stage, problem):
    entry = {"eps": 0.1, "stages": ["fgsm", stage]}
    (found,) = problems_of({"attacks": {"suite": entry}})
    assert found.startswith(problem)


def test_stages_are_checked_once_and_for_all():
    config = changed(SMALL, {"attacks": {"suite": {"eps": 0.1, "stages": ["fgsm"]}}})
    checked = check_config(config)
    assert check_config(checked) == checked


def test_a_set_with_stop_on_success_is_scored_on_its_source_alone():
    attacks = {"pgd": {"eps": [0.1, 0.2], "stop_on_success": True}}
    (problem,) = problems_of({"attacks": attacks})
    assert problem.startswith("evaluations.all: pgd-eps0.1 has stop_on_success: true")
    assert "where: [white-box]" in problem
    study = plan({"attacks": attacks, "evaluations": {"all": {"sources": "*", "where": ["white-box"]}}})
    assert len(study.pairs) == 2
    both = {**attacks, "fgsm": {"eps": 0.1}}
    evaluations = {"all": {"attacks": "fgsm*"}, "own": {"sources": "*", "where": ["white-box"]}}
    assert len(plan({"attacks": both, "evaluations": evaluations}).pairs) == 3


def test_only_attacks_that_are_fitted_read_the_training_split():
    attacks = {"fgsm": {"eps": 0.1}, "mine": {"method": "uap", "eps": 0.1}, "substitute": {"eps": 0.1}}
    study = plan({"attacks": attacks})
    assert [name for name in study.attacks if study.fits_on_training_images(name)] == ["mine-eps0.1"]


CONTRADICTIONS = [
    ({"apgd_t": {"eps": 0.1}}, "attacks.apgd_t: apgd_t needs at least 4 classes, datasets.mine has 3"),
    ({"autoattack": {"eps": 0.1}}, "attacks.autoattack: autoattack needs at least 4 classes, datasets.mine has 3"),
    ({"apgd": {"eps": 0.1, "loss": "dlr"}}, "attacks.apgd.loss: dlr needs at least 3 classes, datasets.mine has 2"),
    (
        {"suite": {"eps": 0.1, "stages": ["fgsm", {"method": "apgd", "loss": "dlr"}]}},
        "attacks.suite.stages[1].loss: dlr needs at least 3 classes, datasets.mine has 2",
    ),
]


@pytest.mark.parametrize(("attacks", "problem"), CONTRADICTIONS)
def test_differences_of_logits_need_three_or_four_classes(tmp_path, attacks, problem):
    for name in "abc"[: int(problem[-1])]:
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "0.png").touch()
    dataset = {"kind": "image_folder", "root": str(tmp_path), "size": 28}
    assert problems_of({"datasets": {"mine": dataset}, "attacks": attacks}) == [problem]
    (tmp_path / "train" / "d").mkdir()
    (tmp_path / "train" / "d" / "0.png").touch()
    plan({"datasets": {"mine": dataset}, "attacks": attacks})


@pytest.mark.parametrize(
    ("attacks", "problem"),
    [
        (
            {"suite": {"eps": 0.1, "stages": ["cw"]}},
            "attacks.suite.stages[0]: cw is for l2 alone, the suite's norm is linf; write norm: l2",
        ),
        (
            {"suite": {"eps": 0.1, "stages": [{"method": "pgd", "restarts": 2, "random_start": False}]}},
            "attacks.suite.stages[0].restarts: 2 equal runs from one start; write random_start: true",
        ),
        ({"deepfool": {"norm": "linf", "eps": 8}}, "attacks.deepfool.eps: 8 is not in (0, 1]"),
        (
            {"substitute": {"eps": 0.1, "seeds": 300}},
            "attacks.substitute.seeds: 300 leaves none of the 300 test images of datasets.digits",
        ),
        (
            {"pgd": {"norm": "l2", "eps": 128}},
            "attacks.pgd.eps: 128 is not in (0, 28], the l2 distance from black to white; pixels are in [0, 1], did "
            "you mean 128/255?",
        ),
        ({"pgd": {"norm": "l2", "eps": 1e30}}, "attacks.pgd.eps: 1e+30 is not in (0, 28], the l2 distance"),
        (
            {"theirs": {"method": "torchattacks.EADL1", "eps": 1000}},
            "attacks.theirs.eps: 1000 is not in (0, 784], the l1 distance",
        ),
        (
            {"theirs": {"method": "torchattacks.JSMA", "eps": 785}},
            "attacks.theirs.eps: 785 is more than the 784 values of an image; write at most 784",
        ),
        ({"cw": {"norm": "linf"}}, "attacks.cw.norm: 'linf' is unknown"),
        ({"cw": {"steps": 1}}, "attacks.cw.steps: 1 is not in [2, 100000]"),
    ],
)
def test_attacks_that_cannot_be_run_are_refused(attacks, problem):
    (found,) = problems_of({"attacks": attacks, "datasets": {"digits": {"test": 300}}})
    assert found.startswith(problem)


@pytest.mark.parametrize(("mode", "stops"), [("whitebox", True), ("transfer", False)])
def test_the_old_key_mode_still_works_and_is_told(mode, stops):
    study = plan({"attacks": {"pgd": {"eps": 0.1, "mode": mode}}, "evaluations.all.where": ["white-box"]})
    assert study.attacks["pgd-eps0.1"].settings["stop_on_success"] is stops
    assert "mode" not in study.attacks["pgd-eps0.1"].settings
    (notice,) = study.notices
    assert notice.startswith(f"attacks.pgd.mode: {mode} is now stop_on_success: {str(stops).lower()}")
    assert plan({"attacks": {"pgd": {"eps": 0.1}}}).notices == []


@pytest.mark.parametrize(
    "wrong", [{"mode": "white"}, {"mode": ["whitebox"]}, {"mode": "whitebox", "stop_on_success": True}]
)
def test_what_the_old_key_never_said_is_refused(wrong):
    (problem,) = problems_of({"attacks": {"pgd": {"eps": 0.1, **wrong}}})
    assert problem.startswith("attacks.pgd.mode: unknown")


SUITES = {
    "neither": ({}, "missing"),
    "both": ({"stages": "fgsm", "suite": "worst-case"}, "both are given"),
    "an empty list": ({"stages": []}, "missing"),
}


@pytest.mark.parametrize("settings, said", SUITES.values(), ids=SUITES)
def test_a_suite_has_stages_or_a_name(settings, said):
    problem = f"attacks.suite.stages: {said}; write the attacks in order, or suite: worst-case"
    assert problems_of({"attacks": {"suite": {"eps": 0.1, **settings}}}) == [problem]


def test_a_suite_by_name_is_planned_and_its_cost_is_that_of_its_stages():
    attacks = plan({"attacks": {"suite": {"eps": 0.1, "suite": "worst-case"}}}).attacks
    settings = attacks["suite-eps0.1"].settings
    kinds = registry.attacks()
    parts = kinds["suite"].parts(settings)
    assert len(parts) == 8
    backwards = [kinds[part["method"]].passes_of(part)[1] for part in parts]
    assert kinds["suite"].passes_of(settings)[1] == sum(backwards) > 3000
