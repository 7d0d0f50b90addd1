"""A new attack, compression, architecture, adversary, optimizer or kind of data sets is one module and nothing else.

The modules of tests/drills/ are copied into a copy of the project, and a study there uses them all.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Workspace

from squeezeproof.store.tensors import read_metadata

DRILLS = Path(__file__).with_name("drills")
MODULES = sorted(path.relative_to(DRILLS) for path in DRILLS.glob("*/*.py"))
STUDY = {
    "study": "drills",
    "datasets": {"stripes": {}},
    "architectures": {"linear": {}},
    "trainings": {
        "standard": {
            "epochs": 3,
            "batch_size": 20,
            "optimizer": "adagrad",
            "lr_decay": 0.01,
            "adversary": {"method": "jitter", "eps": 0.05},
        }
    },
    "compressions": {"first": {"ratio": 0.5}},
    "attacks": {"corners": {"eps": 0.2}, "half": {"method": "corners", "eps": 0.2, "share": 0.5}},
    "evaluations": {"all": {"sources": "base"}},
    "compute": {"device": "cpu"},
}
BASE = "linear.standard.none.none.s0"
UNTIL = ("--until", "write_tables")
ENTRY = "from squeezeproof.entries import registry; entry = registry.{section}()['{name}']; "


def add(workspace, module):
    shutil.copy(DRILLS / module, workspace.path / "workflow_scripts/squeezeproof/entries" / module)


@pytest.fixture(scope="module")
def drilled(tmp_path_factory):
    """The finished study of a copy of the project with every module of tests/drills/."""
    workspace = Workspace.create(tmp_path_factory.mktemp("drills") / "study", STUDY)
    for module in MODULES:
        add(workspace, module)
    workspace.run(*UNTIL)
    return workspace


def table(workspace, name):
    return pd.read_csv(workspace.results / f"tables/{name}.csv")


def asked(workspace, code):
    """What a process that has the copy's library prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace.path / "workflow_scripts", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_there_is_a_drill_for_every_section():
    sections = {path.parent.name for path in (ROOT / "workflow_scripts/squeezeproof/entries").glob("*/__init__.py")}
    # A library of attacks comes with a table of its functions, which its own tests hold.
    assert {module.parent.name for module in MODULES} == sections - {"libraries"}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_alone_is_found_described_and_checked(module, tmp_path):
    workspace = Workspace.create(tmp_path / "study", STUDY)
    add(workspace, module)
    code = ENTRY.format(section=module.parent.name, name=module.stem)
    code += (
        "from squeezeproof.study.editor_schema import editor_schema; "
        "print(entry.__doc__.strip() in str(editor_schema()) or entry.label() in str(editor_schema()), "
        "callable(entry.imported()))"
    )
    assert asked(workspace, code) == "True True"


def test_a_new_attack_is_crafted_scored_and_shown_by_its_name(drilled):
    assert set(table(drilled, "robust_accuracy")["attack"]) == {"corners-eps0.2", "half-eps0.2"}
    settings = read_metadata(drilled.results / f"adversarial/stripes/{BASE}/half-eps0.2.safetensors")["settings"]
    assert settings["share"] == 0.5 and settings["norm"] == "linf"
    said = "from squeezeproof.analysis.names import display_name; print(display_name('corners'))"
    assert asked(drilled, said) == "Corners"


def test_a_new_compression_compresses(drilled):
    sizes = table(drilled, "compression").set_index("compression")
    assert sizes.loc["first", "sparsity"] == pytest.approx(0.5, abs=0.01)


def test_a_new_architecture_adversary_and_optimizer_train_on_a_new_kind_of_data_set(drilled):
    accuracy = table(drilled, "clean_accuracy")
    assert set(accuracy["dataset"]) == {"stripes"} and accuracy["accuracy"].min() > 0.9
    history = pd.read_csv(next((drilled.results / "models/stripes").glob(f"{BASE}*.csv")))
    assert history["eps"].tolist() == pytest.approx([0.05] * 3)


def test_another_new_attack_makes_nothing_run_again(drilled):
    folder = drilled.path / "workflow_scripts/squeezeproof/entries/attacks"
    text = (folder / "corners.py").read_text()
    (folder / "edges.py").write_text(text.replace("corners", "edges").replace("Corners", "Edges"))
    assert drilled.planned(*UNTIL) == {}
