"""Entries are found where they lie, and a job's digest has the modules and declarations of those that it uses."""

import inspect
import subprocess
import sys

import pytest
from conftest import ROOT

from squeezeproof.entries import registry
from squeezeproof.study.code import LIBRARY
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
EVERY = list(registry.every())


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: f"{entry.key}: {entry.label()}")
def test_an_entry_is_declared_whole_in_the_module_of_its_name(entry):
    assert entry.__module__.rpartition(".")[2] == entry.label()
    assert inspect.getdoc(entry).endswith((".", "]."))
    for attribute in filter(lambda name: getattr(entry, name, ""), ("function", "fit")):
        assert callable(entry.imported(attribute))


def test_every_folder_of_entries_is_a_section():
    folders = {path.parent.name for path in (LIBRARY / "entries").glob("*/__init__.py")}
    assert folders == {entry.__module__.split(".")[-2] for entry in EVERY}


def test_finding_and_checking_loads_no_torch():
    code = (
        "import sys; from squeezeproof.entries import registry; list(registry.every()); "
        "from squeezeproof.study.plan import Study; assert not {'torch', 'numpy', 'pandas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "workflow_scripts")


def test_asking_for_one_entry_imports_no_other():
    code = (
        "import sys; from squeezeproof.entries import registry; registry.attacks()['pgd']; "
        "assert not {name for name in sys.modules if name.startswith('squeezeproof.entries.attacks.')} - "
        "{'squeezeproof.entries.attacks.pgd'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "workflow_scripts")


@pytest.mark.parametrize(
    ("section", "settings", "found"),
    [
        ("attacks", {"method": "bim"}, ["attacks.pgd"]),
        ("attacks", {"method": "uap"}, ["attacks.fitted", "attacks.uap"]),
        (
            "attacks",
            {"method": "suite", "stages": [{"method": "fgsm"}, {"method": "cw"}]},
            ["attacks.carlini_wagner", "attacks.fgsm"],
        ),
        ("attacks", {"method": "autoattack"}, ["attacks.apgd", "attacks.fab", "attacks.square"]),
        ("architectures", {"kind": "wrn"}, ["models.wide_resnet"]),
        ("architectures", {"kind": "custom"}, []),
        ("compressions", {"method": "weight"}, ["compression.weights"]),
        ("datasets", {"kind": "mnist"}, ["datasets.downloads"]),
        ("trainings", {"optimizer": "sgd", "adversary": {"method": "pgd"}}, ["training.adversaries"]),
    ],
)
def test_modules_of_an_entry(section, settings, found):
    library = [name for name in registry.modules_of(section, settings) if not name.startswith("torch")]
    assert library == [f"squeezeproof.{name}" for name in found]


def digest(models=("cnn8.standard.none.none",), **entries):
    study = Study(CONFIG)
    return used_code(study, "craft.py", models=[("digits", f"{name}.s0") for name in models], **entries)


def test_an_ensemble_uses_the_networks_of_its_members():
    names = ("both.ensemble.none.none", "cnn8.standard.none.none", "vgg19.standard.none.none")
    assert len({digest([name]) for name in names}) == 3
    assert digest(names[:1]) == digest(names[1:])


def test_a_job_s_digest_follows_what_its_entries_declare(monkeypatch):
    attack, square = {"method": "autoattack"}, {"method": "square"}
    before = digest(attacks=[attack]), digest(attacks=[square])
    standard = registry.attacks()["autoattack"].standard
    monkeypatch.setattr(registry.attacks()["autoattack"], "standard", standard[:3])
    assert digest(attacks=[attack]) != before[0] and digest(attacks=[square]) == before[1]


def test_a_module_that_declares_another_name_is_refused():
    section = registry.Section("attacks", registry.Attack)
    section._names = ["pgd", "suites"]
    with pytest.raises(ModuleNotFoundError):
        section["suites"]
    section.base = registry.Optimizer
    with pytest.raises(TypeError, match="declares 0 entries with optimizer: pgd, not one"):
        section["pgd"]


def test_what_leads_an_attack_is_said_once():
    follows = {name: attack.follows() for name, attack in registry.attacks().items()}
    assert set(follows.values()) == {"gradients", "logits", "labels", ""}
    led = {"pgd": "gradients", "suite": "gradients", "autoattack": "gradients", "square": "logits", "rays": "labels"}
    assert {name: follows[name] for name in led} == led
    # It asks for labels to fit its network, before it sees the images that it attacks.
    assert follows["substitute"] == "labels"
    noise = {name for name, kind in follows.items() if not kind}
    assert "noise" in noise and all(registry.attacks()[name].blind for name in noise)
    assert {name for name, attack in registry.attacks().items() if attack.needs == "nothing"} <= noise
