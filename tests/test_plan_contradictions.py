"""Values of a config that contradict each other are refused before anything runs."""

import pytest
from plan_examples import BASE, assert_sound, plan

from squeezeproof.entries import registry
from squeezeproof.study.errors import ConfigError


def problems_of(changes):
    with pytest.raises(ConfigError) as caught:
        plan(changes)
    return caught.value.problems


NO_MODEL = "matches no model that the study builds"
TAKEN = "the name is taken"
SMALLEST = registry.architectures()["cnn3"].minimum_size
NO_PAIR = "no (source, target) pair meets where"


CASES = [
    ({"evaluations.all.sources": "cnn4*"}, f"evaluations.all.sources: 'cnn4*' {NO_MODEL}"),
    ({"evaluations.all.targets": ["base", "x"]}, f"evaluations.all.targets: 'x' {NO_MODEL}"),
    (
        {"evaluations.all.targets": "cnn3.standard.weight-99.short.s0"},
        f"evaluations.all.targets: 'cnn3.standard.weight-99.short.s0' {NO_MODEL}, did you mean cnn3.standard.",
    ),
    (
        {"compressions": None, "evaluations.all.targets": "compressed"},
        f"evaluations.all.targets: 'compressed' {NO_MODEL}",
    ),
    ({"evaluations.all.attacks": "pgd"}, "evaluations.all.attacks: 'pgd' matches none; allowed: fgsm-eps0.1, "),
    ({"evaluations.all.attacks": "pgd-8of255"}, "evaluations.all.attacks: 'pgd-8of255' matches none, did you mean"),
    ({"evaluations.all.datasets": "digit"}, "evaluations.all.datasets: 'digit' matches none, did you mean digits?"),
    ({"evaluations.all.where": "other-seed"}, f"evaluations.all: {NO_PAIR}"),
    ({"evaluations.all.where": ["white-box", "transfer"]}, f"evaluations.all: {NO_PAIR}"),
    (
        {"variants": {"compressions": "weight"}},
        "variants[0].compressions: 'weight' matches none, did you mean weig",
    ),
    ({"variants": [{}, {"finetunings": "shrot"}]}, "variants[1].finetunings: 'shrot' matches none, did you mean "),
    ({"variants": {"architectures": "CNN3"}}, "variants[0].architectures: 'CNN3' matches none"),
    ({"variants": {"trainings": "standart"}}, "variants[0].trainings: 'standart' matches none, did you mean stan"),
    ({"variants": {"datasets": "mnist"}}, "variants[0].datasets: 'mnist' matches none; allowed: digits"),
    ({"trainings.none": {"epochs": 1}}, f"trainings.none: {TAKEN}"),
    ({"finetunings.none": {"epochs": 1}}, f"finetunings.none: {TAKEN}"),
    ({"compressions.none": {"method": "weight", "ratio": 0.5}}, f"compressions.none: {TAKEN}"),
    (
        {"compressions.weight.ratio": [0.5, 0.50000000000001]},
        "compressions.weight: ratio 0.5 gives the name weight-50, which compressions.weight gives too",
    ),
    (
        {"compressions": {"a": {"method": "weight", "ratio": 1e-12}, "a-1e": {"method": "weight", "ratio": 0.1}}},
        "compressions.a-1e: ratio 0.1 gives the name a-1e-10, which compressions.a gives too",
    ),
    ({"attacks.fgsm.eps": [0.1, 0.1000000000001]}, "attacks.fgsm: eps 0.1 gives the name fgsm-eps0.1, which"),
    (
        {"attacks.fgsm.eps": [0.5, 8]},
        "attacks.fgsm.eps: 8 is not in (0, 1]; pixels are in [0, 1], did you mean 8/255?",
    ),
    ({"attacks.fgsm.eps": "510/255"}, "attacks.fgsm.eps: 510/255 is not in (0, 1]; pixels are in [0, 1]"),
    ({"attacks.pgd.restarts": 2, "attacks.pgd.random_start": False}, "attacks.pgd.restarts: "),
    (
        {"datasets.digits.size": SMALLEST - 1},
        f"architectures.cnn3: cnn3 needs images of at least {SMALLEST} pixels, datasets.digits has {SMALLEST - 1}",
    ),
    ({"datasets.mnist": {"validation": 60000}}, "datasets.mnist.validation: 60000 leaves none of the 60000"),
    ({"datasets.mnist": {"train": 9}}, "datasets.mnist.train: 9 is less than an image for each of the 10 classes"),
    (
        {"datasets.mnist": {"train": 60001}},
        "datasets.mnist.train: 60001 with 0 for validation is more than the 60000",
    ),
    ({"datasets.mnist": {"train": 59999, "validation": 2}}, "datasets.mnist.train: 59999 with 2 for validation is"),
    ({"datasets.mnist": {"test": 10001}}, "datasets.mnist.test: 10001 is more than the 10000 test images"),
    ({"attacks.pgd.alpha": 2}, "attacks.pgd.alpha: 2 is a step across the whole ball of eps: "),
    ({"attacks.pgd.alpha": "200/255"}, "attacks.pgd.alpha: 200/255 is a step across the whole ball of eps: "),
    ({"trainings.standard.crop": 28}, "trainings.standard.crop: 28 pads the images of datasets.digits, 28 pixels"),
    (
        {"trainings.standard.adversary": {"method": "pgd", "eps": "8/255", "alpha": 2}},
        "trainings.standard.adversary.alpha: 2 is a step across the whole ball of eps: 8/255; write less, did you "
        "mean 2/255?",
    ),
    ({"attacks.clean": {"method": "deepfool"}}, f"attacks.clean: {TAKEN}"),
    ({"trainings.ensemble": {"epochs": 1}}, f"trainings.ensemble: {TAKEN}"),
    ({"trainings.standard.schedule": "step"}, "trainings.standard.schedule: step needs milestones, such as "),
    ({"finetunings.short.schedule": "step"}, "finetunings.short.schedule: step needs milestones, such as "),
    ({"trainings.standard.milestones": [2]}, "trainings.standard.milestones: "),
    ({"trainings.standard.nesterov": True}, "trainings.standard.nesterov: "),
    (
        {"trainings.standard": {"epochs": 1, "optimizer": "rmsprop", "momentum": 0.9, "nesterov": True}},
        "trainings.standard.nesterov: ",
    ),
    ({"finetunings.short": {"epochs": 1, "optimizer": "adam", "momentum": 0.9}}, "finetunings.short.momentum: "),
]


@pytest.mark.parametrize(("changes", "problem"), CASES)
def test_contradiction_is_one_problem_with_its_path(changes, problem):
    [found] = problems_of(changes)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "changes",
    [
        {"attacks.pgd": {"eps": 8, "norm": "l2"}},
        {"attacks.pgd": {"eps": 1, "restarts": 2}},
        {"attacks.nearest": {"method": "art.SignOPTAttack", "eps": 0.05, "alpha": 0.2}},
        {"attacks.pgd": {"eps": 0.1, "loss": "dlr"}},
        {"datasets.mnist": {"train": 59998, "validation": 2, "test": 10000}},
        {"datasets.mnist": {"train": None, "validation": 59999}},
        {"datasets.digits.size": SMALLEST},
        {"trainings.standard": {"epochs": 4, "schedule": "step", "milestones": 2}},
        {"trainings.standard": {"epochs": 4, "momentum": 0.9, "nesterov": True}},
        {"trainings.standard": {"epochs": 4, "optimizer": "rmsprop", "momentum": 0.9}},
        {"architectures.none": {"kind": "cnn8"}},
        {"architectures.mine": {"kind": "custom", "factory": "package:make"}, "datasets.digits.size": SMALLEST},
    ],
    ids=str,
)
def test_value_at_its_limit_is_allowed(changes):
    assert_sound(plan(changes))


@pytest.mark.parametrize("classes", [2, 3, None], ids=["two", "three", "not there yet"])
def test_difference_of_logits_ratio_needs_three_classes_on_disk(tmp_path, classes):
    for index in range(classes or 0):
        (tmp_path / "train" / f"class{index}").mkdir(parents=True)
        (tmp_path / "train" / f"class{index}" / "0.png").touch()
        (tmp_path / "train" / ".hidden").mkdir(exist_ok=True)
        (tmp_path / "train" / "readme.txt").touch()
    changes = {
        "datasets.mine": {"kind": "image_folder", "root": str(tmp_path), "size": 28},
        "attacks.pgd.loss": "dlr",
    }
    if classes == 2:
        assert problems_of(changes) == ["attacks.pgd.loss: dlr needs at least 3 classes, datasets.mine has 2"]
    else:
        assert_sound(plan(changes))


def test_all_contradictions_are_reported_at_once():
    problems = problems_of(
        {
            "datasets.digits": {"size": 20, "test": 1000},
            "trainings.none": {"epochs": 1, "schedule": "step"},
            "attacks.pgd": {"eps": [2, 3]},
            "compressions.weight.ratio": [0.5, 0.50000000000001],
            "variants": {"finetunings": "long"},
            "evaluations.all.sources": ["x", "y"],
        }
    )
    assert [problem.partition(": ")[0] for problem in problems] == [
        "compressions.weight",
        "datasets.digits.test",
        "architectures.cnn3",
        "trainings.none",
        "trainings.none.schedule",
        "attacks.pgd.eps",
        "attacks.pgd.eps",
        "variants[0].finetunings",
        "evaluations.all.sources",
        "evaluations.all.sources",
    ]


def test_a_milestone_that_never_comes_is_refused():
    changes = {"trainings.standard": {"epochs": 10, "schedule": "step", "milestones": [5, 10]}}
    assert problems_of(changes) == ["trainings.standard.milestones: 10 never comes, the epochs end at 10"]


@pytest.mark.parametrize("section", ["datasets", "architectures", "trainings", "compressions", "attacks"])
def test_published_names_must_be_entries_of_the_study(section):
    changes = {"published": {"table": "numbers.csv", section: {"THEIRS": "wieght"}}}
    (problem,) = problems_of(changes)
    assert problem.startswith(f"published.{section}.THEIRS: 'wieght' is no entry of {section}")


@pytest.mark.parametrize(
    ("section", "ours", "problem"),
    [
        ("trainings", "standard/shrot", "'shrot' is no entry of finetunings, did you mean short?"),
        ("attacks", "suite/3", "'3' is no stage of suite, which has 2; write suite/1, say"),
        ("attacks", "suite/first", "'first' is no stage of suite, which has 2; write suite/1, say"),
        ("attacks", "suite/2", None),
        ("trainings", "standard/short", None),
    ],
)
def test_published_names_reach_fine_tunings_and_stages(section, ours, problem):
    suite = {
        "method": "suite",
        "eps": 0.1,
        "stop_on_success": True,
        "stages": [{"method": "apgd"}, {"method": "square"}],
    }
    changes = {
        "attacks.suite": suite,
        "evaluations": {"own": {"sources": "*", "where": ["white-box"]}},
        "published": {"table": "numbers.csv", section: {"THEIRS": ours}},
    }
    if problem is None:
        plan(changes)
    else:
        assert problems_of(changes) == [f"published.{section}.THEIRS: {problem}"]


# A quantization after a pruning

AFTER = {"method": "quantization", "bits": [8, 4], "after": "weight-98.none"}


def test_a_quantization_may_start_from_a_pruned_model():
    study = plan({"compressions": {"weight": {"ratio": 0.98}, "int": AFTER}, "variants": [{"compressions": ["int-*"]}]})
    quantized = study.model("digits", BASE.replace("none.none", "int-8.short"))
    parent = study.parent(quantized)
    assert parent.name == BASE.replace("none.none", "weight-98.none")
    assert study.parent(parent) == quantized.base == parent.base
    # Nobody selected the pruned model; it is built all the same, and before what is made from it.
    names = [model.name for model in study.models.values()]
    assert names.index(parent.name) < names.index(quantized.name)
    described = study.describe("digits", quantized.name)
    assert (described["ratio"], described["bits"]) == (0.98, 8)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"after": "weight-98"}, "'weight-98' names no fine-tuning; write weight-98.none, or weight-98. and an entry"),
        ({"after": "weight-97.none"}, "'weight-97' is no pruning at one of its ratios, did you mean weight-98?"),
        ({"after": "int-8.none"}, "'int-8' is no pruning at one of its ratios"),
        ({"after": "weight-98.shrot"}, "'shrot' is no entry of finetunings, did you mean short?"),
        ({"bits": [1, 8]}, "weight-98 has weights that are zero, and 1 bit has none; write bits of 2 or more"),
    ],
)
def test_what_a_quantization_cannot_come_after(change, problem):
    entries = {"weight": {"ratio": 0.98}, "int": {**AFTER, **change}}
    (found, *_) = problems_of({"compressions": entries})
    assert found.startswith(f"compressions.int.after: {problem}")


INT8 = {"int": {"method": "quantization", "bits": 8}}
QUERIES = {"fgsm": {"eps": 0.1}, "square": {"eps": [0.1, 0.2]}, "cw": {}, "rays": {"eps": 0.1}}


@pytest.mark.parametrize(
    ("efficiency", "problem"),
    [
        ({"attacks": ["fgsm*"]}, "fgsm-eps0.1 follows gradients, which an int8 model does not give"),
        ({"attacks": ["squre"]}, "'squre' matches none"),
        ({"attacks": ["square*"], "formats": ["onnx"]}, "no int8 model; add int8 to efficiency.formats"),
        ({"attacks": ["square*"], "models": ["base"]}, "no int8 model; add a quantization of 8 bits"),
    ],
)
def test_attacks_on_int8_models_follow_no_gradients_and_have_such_models(efficiency, problem):
    changes = {"compressions": INT8, "attacks": QUERIES, "evaluations.all.attacks": "fgsm*", "efficiency": efficiency}
    [found] = problems_of(changes)
    assert found.startswith("efficiency.attacks: ") and problem in found


def test_attacks_on_int8_models_are_of_their_own():
    changes = {"compressions": INT8, "attacks": QUERIES, "evaluations.all.attacks": "fgsm*"}
    study = plan({**changes, "efficiency": {"attacks": ["square*", "rays*"]}})
    assert study.int8_attacks == ["square-eps0.1", "square-eps0.2", "rays-eps0.1"]
    assert not {"square-eps0.1", "rays-eps0.1"} & {name for attacks in study.sets.values() for name in attacks}
    assert plan({**changes, "efficiency": {}}).int8_attacks == plan(changes).int8_attacks == []
    reaching = {**changes, "attacks.square.targeted": "random", "efficiency": {"attacks": ["square-eps0.1"]}}
    assert "square-eps0.1 reaches for a class" in problems_of(reaching)[0]
