"""Names of a config stand for functions of the library, and a job's digest has the modules of those that it uses."""

from importlib import import_module

import pytest

from squeezeproof.entries import registry
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


@pytest.mark.parametrize("section", ["attacks", "architectures", "compressions", "datasets"])
def test_every_function_is_where_its_entry_says(section):
    for entry in getattr(registry, section)().values():
        for name in filter(None, [entry.function, getattr(entry, "fit", "")]):
            module, _, function = name.partition(":")
            assert getattr(import_module(module), function).__module__ == module
            assert LIBRARY.parent.joinpath(*module.split(".")).with_suffix(".py").is_file()


@pytest.mark.parametrize(
    ("section", "settings", "found"),
    [
        ("attacks", {"method": "bim"}, ["attacks.pgd"]),
        ("attacks", {"method": "uap"}, ["attacks.fitted", "attacks.uap"]),
        ("attacks", {"method": "suite", "stages": [{"method": "fgsm"}, {"method": "cw"}]}, None),
        (
            "attacks",
            {"method": "autoattack"},
            ["attacks.apgd", "attacks.fab", "attacks.square", "entries.attacks.autoattack"],
        ),
        ("architectures", {"kind": "wrn"}, ["models.wide_resnet"]),
        ("architectures", {"kind": "custom"}, []),
        ("compressions", {"method": "weight"}, ["compression.weights"]),
        ("datasets", {"kind": "mnist"}, ["datasets.downloads"]),
        ("trainings", {"optimizer": "adam", "adversary": None}, ["entries.optimizers.adam", "torch.optim"]),
    ],
)
def test_modules_of_an_entry(section, settings, found):
    found = ["attacks.carlini_wagner", "attacks.fgsm", "entries.attacks.suite"] if found is None else found
    assert registry.modules_of(section, settings) == sorted(
        name if name.startswith("torch") else f"squeezeproof.{name}" for name in found
    )


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
