"""Attacks of other libraries: their tables, and their settings in a config."""

import tomllib

import pytest
from conftest import ROOT
from library_fixtures import study
from write_libraries import written

from squeezeproof.entries import registry
from squeezeproof.study.errors import ConfigError


@pytest.mark.parametrize("name", registry.libraries())
def test_the_table_is_that_of_the_installed_version(name):
    with open(f"{registry.__file__.removesuffix('registry.py')}libraries/{name}.json") as file:
        assert file.read() == written(name)


def test_an_attack_has_its_own_parameters_and_their_defaults():
    (attack,) = study({"method": "torchattacks.NIFGSM", "eps": "8/255", "decay": 0.5, "steps": 20.0}).attacks.values()
    assert attack.name == "theirs-eps8of255"
    own = {"alpha": 2 / 255, "steps": 20, "decay": 0.5}
    assert {key: attack.settings[key] for key in own} == own
    assert attack.settings["norm"] == "linf" and isinstance(attack.settings["steps"], int)


def test_what_attacks_of_libraries_need_beside_is_an_extra():
    tables = [library.table()["attacks"].values() for library in registry.libraries().values()]
    needed = {package for rows in tables for row in rows for package in row.get("packages", {})}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert needed and extras["attacks-all"] == ["squeezeproof[attacks]", *sorted(needed)]


def test_a_minimum_norm_attack_needs_no_budget():
    assert study({"method": "torchattacks.DeepFool"}).attacks["theirs"].settings["eps"] is None


@pytest.mark.parametrize(
    ("attack", "problem"),
    [
        (
            {"method": "torchattacks.NIFSGM", "eps": 0.1},
            "method: 'torchattacks.NIFSGM' is unknown, did you mean torchattacks.NIFGSM?",
        ),
        ({"method": "torchattack.FGSM", "eps": 0.1}, "method: 'torchattack.FGSM' is unknown, did you mean"),
        ({"method": "torchattacks.LGV", "eps": 0.1}, "method: 'torchattacks.LGV' is not offered: it trains the source"),
        ({"method": "torchattacks.FGSM", "eps": 0.1, "stepz": 3}, "stepz: unknown"),
        ({"method": "torchattacks.PGD", "eps": 0.1, "steps": "many"}, "steps: 'many' is not of type integer"),
        # The libraries take all of these, and find that every model is robust.
        ({"method": "torchattacks.PGD", "eps": 0.1, "steps": 0}, "steps: 0 is not in [1, inf)"),
        ({"method": "torchattacks.PGD", "eps": 0.1, "steps": 2.5}, "steps: 2.5 is not of type integer"),
        ({"method": "torchattacks.APGD", "eps": 0.1, "n_restarts": -1}, "n_restarts: -1 is not in [1, inf)"),
        ({"method": "torchattacks.PGD", "eps": 0.1, "alpha": "-1/255"}, "alpha: -0.00392156862745 is not in (0, inf)"),
        ({"method": "foolbox.LinfPGD", "eps": 0.1, "steps": 0}, "steps: 0 is not in [1, inf)"),
        ({"method": "foolbox.LinfPGD", "eps": 0.1, "abs_stepsize": 0}, "abs_stepsize: 0 is not in (0, inf)"),
        ({"method": "art.ProjectedGradientDescent", "eps": 0.1, "max_iter": 0}, "max_iter: 0 is not in [1, inf)"),
        ({"method": "adv_lib.apgd", "eps": 0.1, "n_iter": 0}, "n_iter: 0 is not in [1, inf)"),
        ({"method": "torchattacks.CW", "norm": "l2", "kappa": -3}, "kappa: -3 is not in [0, inf)"),
        ({"method": "torchattacks.OnePixel", "eps": 1, "pixels": 0}, "pixels: 0 is not in (0, inf)"),
        ({"method": "torchattacks.NIFGSM", "eps": 0.1, "decay": -1}, "decay: -1 is not in [0, inf)"),
        ({"method": "torchattacks.PGD", "eps": 0.1, "random_start": 1}, "random_start: 1 is not of type boolean"),
        ({"method": "torchattacks.PGD", "eps": 0.1, "norm": "l2"}, "norm: 'l2' is unknown; allowed: linf"),
        ({"method": "torchattacks.PGD", "eps": 25}, "eps: 25 is not in (0, 1]; pixels are in [0, 1], did you mean"),
        ({"method": "torchattacks.APGD", "eps": 0.1, "loss": "bogus"}, "loss: 'bogus' is unknown; allowed: ce, dlr"),
        ({"method": "torchattacks.Pixle", "eps": 9, "pixel_mapping": "randm"}, "pixel_mapping: 'randm' is unknown, d"),
        ({"method": "adv_lib.pgd_linf", "eps": 0.1, "loss_function": "cross"}, "loss_function: 'cross' is unknown; a"),
        ({"method": "foolbox.L2DeepFoolAttack", "loss": 3}, "loss: 3 is unknown; allowed: logits, crossentropy"),
        ({"method": "art.AutoProjectedGradientDescent", "eps": 0.1, "loss_type": "ce"}, "loss_type: 'ce' is unknown"),
        # It takes any other number than 0 for 1.
        ({"method": "art.PixelAttack", "eps": 9, "es": 2}, "es: 2 is unknown; allowed: 0, 1"),
        ({"method": "torchattacks.JSMA", "eps": 0.5}, "eps: 0.5 is no number of changed values"),
        (
            {"method": "suite", "eps": 0.1, "stages": ["fgsm", {"method": "torchattacks.APGD", "losss": "ce"}]},
            "stages[1].losss: unknown, did you mean loss?",
        ),
        (
            {"method": "suite", "eps": 0.1, "stages": ["fgsm", "torchattacks.CW"]},
            "stages[1]: torchattacks.CW is for l2 alone, the suite's norm is linf; write norm: l2",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_config(attack, problem):
    with pytest.raises(ConfigError) as caught:
        study(attack)
    (found,) = caught.value.problems
    assert found.startswith(f"attacks.theirs.{problem}")


def test_numbers_that_mean_something_are_taken():
    attacks = {
        "torchattacks.JSMA": {"eps": 3, "theta": -1},
        "torchattacks.NIFGSM": {"eps": 0.1, "decay": 0},
        "art.ProjectedGradientDescent": {"eps": 0.1, "num_random_init": 0},
        "foolbox.LinfPGD": {"eps": 0.1, "abs_stepsize": None},
    }
    for method, given in attacks.items():
        (attack,) = study({"method": method, **given}).attacks.values()
        assert {key: attack.settings[key] for key in given if key != "eps"} == {
            key: value for key, value in given.items() if key != "eps"
        }


def test_another_version_or_other_code_of_a_library_is_another_attack(monkeypatch):
    entry = registry.attacks()["torchattacks.FGSM"]
    assert "squeezeproof.attacks.libraries.torchattacks" in list(entry.modules())
    before = entry.meaning({})
    monkeypatch.setattr(entry.library_of, "table", lambda: {"version": "9"})
    assert entry.meaning({}) != before
