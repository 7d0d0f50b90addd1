"""`--touch` passes nothing off as what other settings, inputs or code make."""

import shutil

import pytest
from conftest import TABLES


def change_the_settings(study):
    study.config["attacks"]["pgd"]["steps"] = 4
    return "adversarial/digits/cnn8.standard.none.none.s0/pgd-eps0.1.safetensors"


def change_the_code(study):
    path = study.path / "workflow_scripts/squeezeproof/attacks/fgsm.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")
    return "adversarial/digits/cnn8.standard.none.none.s0/fgsm-eps0.1.safetensors"


def change_an_input(study):
    [path] = study.results.glob("adversarial/digits/*/pgd-eps0.1.safetensors")
    shutil.copyfile(path.with_name("fgsm-eps0.1.safetensors"), path)
    return "audit/digits/cnn8.standard.none.none.s0."


@pytest.mark.parametrize("change", [change_the_settings, change_the_code, change_an_input])
def test_what_is_stale_is_not_touched(study, change):
    named = change(study)
    planned = study.planned()
    assert planned
    output = study.run("--touch", ok=False)
    assert f"--touch: results/tiny/{named}" in output and "leave out --touch" in output and "Traceback" not in output
    assert study.planned() == planned


def test_what_is_only_missing_or_unrecorded_is_touched(study, finished):
    shutil.rmtree(study.path / ".snakemake/metadata")
    for path in study.results.glob("models/digits/*.safetensors"):
        path.touch()
    assert study.planned(TABLES)
    study.run("--touch", TABLES)
    assert study.planned(TABLES) == {}
    assert study.tables() == finished.tables()
