"""Names of a config stand for functions of the library, and a job's digest has the modules of those that it uses."""

import pytest

from squeezeproof.attacks.suite import STANDARD
from squeezeproof.catalog import AUTOATTACK, NAMES, Functions, modules_of
from squeezeproof.study.code import LIBRARY, code_digest
from squeezeproof.study.plan import Study
from squeezeproof.study.uses import used_code

CONFIG = {
    "study": "uses",
    "datasets": {"digits": {"size": 28}},
    "architectures": {"cnn8": {}, "vgg19": {}},
    "trainings": {"standard": {"epochs": 1}},
    "attacks": {"fgsm": {"eps": 0.1}},
    "ensembles": {"both": {"members": ["cnn8.standard.none.none", "vgg19.standard.none.none"]}},
    "evaluations": {"all": {}},
}


@pytest.mark.parametrize(("section", "name"), [(section, name) for section in NAMES for name in NAMES[section]])
def test_a_name_stands_for_a_function(section, name):
    function, module = Functions(section)[name], NAMES[section][name].partition(":")[0]
    assert callable(function) and function.__module__ == module
    assert LIBRARY.parent.joinpath(*module.split(".")).with_suffix(".py").is_file()


def test_autoattack_is_what_its_stages_are():
    assert tuple(stage["method"] for stage in STANDARD) == AUTOATTACK


@pytest.mark.parametrize(
    ("section", "settings", "found"),
    [
        ("attacks", {"method": "bim"}, ["attacks.pgd"]),
        ("attacks", {"method": "uap"}, ["attacks.fitted", "attacks.uap"]),
        ("attacks", {"method": "suite", "stages": [{"method": "fgsm"}, {"method": "cw"}]}, None),
        ("attacks", {"method": "autoattack"}, ["attacks.apgd", "attacks.fab", "attacks.square"]),
        ("architectures", {"kind": "wrn"}, ["models.wide_resnet"]),
        ("architectures", {"kind": "custom"}, []),
        ("compressions", {"method": "weight"}, ["compression.weights"]),
        ("datasets", {"kind": "mnist"}, ["datasets.downloads"]),
    ],
)
def test_modules_of_an_entry(section, settings, found):
    found = ["attacks.carlini_wagner", "attacks.fgsm"] if found is None else found
    assert modules_of(section, settings) == [f"squeezeproof.{name}" for name in found]


def test_an_ensemble_uses_the_networks_of_its_members():
    study = Study(CONFIG)
    both, cnn, vgg = (
        used_code(study, "predict.py", models=[("digits", f"{name}.s0")])
        for name in ("both.ensemble.none.none", "cnn8.standard.none.none", "vgg19.standard.none.none")
    )
    assert len({both, cnn, vgg}) == 3
    assert both == code_digest("predict.py", "squeezeproof.models.networks", "squeezeproof.models.vgg")


def test_two_jobs_that_use_the_same_code_have_one_digest():
    study, models = Study(CONFIG), [("digits", "cnn8.standard.none.none.s0")]
    first, second, other = (
        used_code(study, "craft.py", models=models, attacks=[{"method": method}]) for method in ("pgd", "bim", "fgsm")
    )
    assert first == second != other
