"""Configs and factories of strangers do what they are for, or are refused by name."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import yaml
from conftest import ROOT, TINY
from fuzz_targets import HOSTILE, SPECS
from hostile_examples import problems_of, write_checkpoint
from study_examples import merged

from squeezeproof import factories
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import load_model
from squeezeproof.study.plan import Study

# --- Names and paths in configs

NAMES = [name for name in HOSTILE if not name.isalpha()] + [
    "a/b",
    "a\\b",
    "C:",
    "a,b",
    "$HOME",
    "!x",
    "#x",
    "%s",
    "a\tb",
]
SECTIONS = ["datasets", "architectures", "trainings", "finetunings", "compressions", "attacks"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_that_a_shell_a_path_or_a_wildcard_would_read_are_refused(name):
    assert any(problem.startswith("study: ") for problem in problems_of({"study": name}))
    for section in SECTIONS:
        [entry, *_] = TINY[section].values()
        assert any("a name is a letter followed by" in problem for problem in problems_of({section: {name: entry}}))


@pytest.mark.parametrize(
    "table",
    ["/etc/passwd", "../x.csv", "a/../../x.csv", "a/..", "..", "~/x.csv", "$(id).csv", "{study}.csv", "a b.csv",
     "x.csv\n", "-x.csv", "", "http://x/y.csv", "a\\..\\x.csv", "x" * 300],
)  # fmt: skip
def test_a_table_of_published_numbers_stays_in_the_working_directory(table):
    [problem] = problems_of({"published": {"table": table}})
    assert problem.startswith("published.table: ") and "stays in the working directory" in problem


@pytest.mark.parametrize("table", ["x.csv", "studies/published/wang2018.csv", "./a..b/c.csv", ".hidden/x"])
def test_a_table_in_the_working_directory_is_allowed(table):
    assert Study(merged(TINY, {"published": {"table": table}})).published["table"] == table


# --- Configs that are bombs


def laughs():
    """Ten levels of ten aliases each: ten thousand million values in 700 bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 11)]
    return yaml.safe_load("\n".join(lines))["a10"]


def nested():
    value = []
    for _ in range(5000):
        value = [value]
    return value


def circular():
    value = []
    value.append(value)
    return value


BOMBS = {
    "aliases": laughs, "nested": nested, "circular": circular, "long text": lambda: "x" * 10**7,
    "long key": lambda: {"x" * 10**7: 1}, "digits": lambda: 10**10_000, "list": lambda: [0] * 10**6,
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("place", ["study", "question", "seeds", "arguments"])
def test_a_config_that_is_a_bomb_is_refused_in_few_words(bomb, place):
    value = BOMBS[bomb]()
    custom = {"kind": "custom", "factory": "mine:net", "arguments": {"x": value}}
    changes = {"architectures": {"mine": custom}} if place == "arguments" else {place: value}
    [problem] = problems_of(changes)
    assert len(problem) < 500


# --- Factories

PYTHONS = ["os:system", "subprocess:run", "builtins:eval", "posix:system", "importlib.util:module_from_spec", "pdb:run"]
INSTALLED = ["torch.hub:load", "torch:load", "numpy:load", "yaml:load", "snakemake.shell:shell"]


@pytest.mark.parametrize("factory", PYTHONS)
def test_pythons_own_functions_are_no_networks_whatever_the_config_says(factory):
    package = factory.partition(":")[0].partition(".")[0]
    custom = {"architectures": {"mine": {"kind": "custom", "factory": factory}}, "allow_factories": [package]}
    [problem] = problems_of(custom)
    assert problem.startswith("architectures.mine.factory: ") and "part of Python itself" in problem


@pytest.mark.parametrize("factory", INSTALLED)
def test_an_installed_package_is_called_only_where_the_config_says_so(factory):
    package = factory.partition(":")[0].partition(".")[0]
    custom = {"architectures": {"mine": {"kind": "custom", "factory": factory}}}
    [problem] = problems_of(custom)
    assert problem.startswith("architectures.mine.factory: ") and f"allow_factories: [{package}]" in problem
    Study(merged(TINY, {**custom, "allow_factories": package}))


def test_a_module_that_is_nowhere_is_told_where_to_put_or_how_to_name_it(tmp_path):
    """Nobody is told to trust a package that is not there."""
    told = factories.refusal("nowhere:make", root=tmp_path)
    assert "put nowhere.py there, or name it as it lies there: folder.nowhere:function" in told
    (tmp_path / "my").mkdir()
    (tmp_path / "my/nowhere.py").touch()
    told = factories.refusal("nowhere:make", root=tmp_path)
    assert "my.nowhere:function" in told and "allow_factories" not in told
    assert factories.refusal("my.nowhere:make", root=tmp_path) is None
    assert "name a function of your own there that calls it, or write" in factories.refusal(
        "torch.hub:load", root=tmp_path
    )


@pytest.mark.parametrize("name", ["", "a.b", "a b", "../a", "os;id", 3])
def test_allowed_packages_are_names(name):
    assert all(problem.startswith("allow_factories") for problem in problems_of({"allow_factories": [name]}))


def test_a_plan_imports_no_factory(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    config = merged(TINY, {"architectures": {"mine": {"kind": "custom", "factory": "mine:net"}}})
    code = (
        "import json, sys; from squeezeproof.study.plan import Study; Study(json.loads(sys.argv[1]));"
        "assert 'mine' not in sys.modules and 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow_scripts'}:{tmp_path}"}
    subprocess.run([sys.executable, "-c", code, json.dumps(config)], env=environment, cwd=tmp_path, check=True)


@pytest.mark.parametrize("factory", [*PYTHONS, *INSTALLED])
def test_a_checkpoint_that_names_a_foreign_factory_calls_nothing(tmp_path, factory, monkeypatch):
    write_checkpoint(tmp_path / "model", {"kind": "custom", "factory": factory, "arguments": {}})
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(InputError, match="cannot be rebuilt from its specification") as caught:
        load_model(tmp_path / "model")
    assert f"factory {factory}: " in str(caught.value)


def test_a_module_of_the_working_directory_that_another_hides_is_not_called(tmp_path, monkeypatch):
    """The file is there, but Python finds an installed package of its name first."""
    (tmp_path / "safetensors.py").write_text("")
    monkeypatch.chdir(tmp_path)
    spec = {**SPECS[0], "architecture": {"kind": "custom", "factory": "safetensors:safe_open", "arguments": {}}}
    with pytest.raises(InputError, match="hides the module of that name under the working directory"):
        build(spec, seed=0)


def test_own_modules_are_called_from_packages_too(tmp_path, monkeypatch):
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets" / "small.py").write_text(
        "from torch import nn\ndef net(*, in_channels, num_classes, image_size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    spec = {**SPECS[0], "architecture": {"kind": "custom", "factory": "mynets.small:net", "arguments": {}}}
    assert build(spec, seed=0)(torch.zeros(1, 1, 8, 8)).shape == (1, 2)


def test_a_job_learns_from_its_config_what_is_allowed(tmp_path, monkeypatch):
    from squeezeproof.jobs import job

    monkeypatch.setattr(factories, "_allowed", set())
    for names in ([], ["one"], ["two", "three"]):
        with job(SimpleNamespace(rule="train", log=[str(tmp_path / "log")], config={"allow_factories": names})):
            pass
    assert factories._allowed == {"one", "two", "three"}


def test_a_dollar_sign_in_the_name_of_a_class_is_no_formula(tmp_path):
    import matplotlib.pyplot as plt

    from squeezeproof.figures.style import save

    figure, axes = plt.subplots()
    axes.set_title(r"$\frac{ $ and <b>&amp;")
    save(figure, [tmp_path / "figure.svg", tmp_path / "figure.png"])
    assert "<b>" not in (tmp_path / "figure.svg").read_text()
