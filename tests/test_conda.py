"""`--sdm conda` with a stand-in for conda that makes a virtual environment where conda would solve one."""

import os
import stat
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

# Answers what Snakemake asks of conda. In its environments every start of Python writes down what was started.
CONDA = f"""#!{sys.executable}
import json, subprocess, sys
from pathlib import Path

prefix = Path(__file__).resolve().parents[1]
asked = sys.argv[1:]
if asked == ["info", "--json"]:
    print(json.dumps({{"conda_prefix": str(prefix), "platform": "linux-64"}}))
elif asked == ["--version"]:
    print("conda 24.7.1")
elif asked[:2] == ["config", "--get"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif asked[:2] == ["env", "create"]:
    value = lambda option: next(
        after.strip('"\\'') for before, after in zip(asked, asked[1:] + [""]) if before == option
    )
    target = Path(value("--prefix"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", target], check=True)
    site = next(target.glob("lib/python*/site-packages"))
    (site / "sitecustomize.py").write_text(
        f"import sys\\nopen({{str(target / 'used')!r}}, 'a').write(' '.join(sys.orig_argv) + '\\\\n')\\n"
    )
    (target / "asked.yaml").write_text(Path(value("--file")).read_text())
elif asked[0] != "clean":
    sys.exit(f"the stand-in knows no conda {{' '.join(asked)}}")
"""


@pytest.fixture
def conda(tmp_path, monkeypatch):
    """A folder with `bin/conda` and `bin/activate`, first on PATH."""
    bins = tmp_path / "conda/bin"
    bins.mkdir(parents=True)
    (bins / "conda").write_text(CONDA)
    (bins / "conda").chmod((bins / "conda").stat().st_mode | stat.S_IEXEC)
    (bins / "activate").write_text('. "$1/bin/activate"\n')
    monkeypatch.setenv("PATH", f"{bins}{os.pathsep}{os.environ['PATH']}")
    return bins.parent


def environments(workspace):
    """Name of an environment -> its folder, of those that were created."""
    made = workspace.path.glob(".snakemake/conda/*/asked.yaml")
    return {yaml.safe_load(path.read_text())["name"]: path.parent for path in made}


def test_every_environment_of_the_plan_is_created_from_its_file_and_jobs_run_inside(fresh, conda):
    fresh.run("--sdm", "conda", "--conda-create-envs-only")
    made = environments(fresh)
    assert {"squeezeproof-torch", "squeezeproof-report"} <= made.keys()
    for name, folder in made.items():
        expected = ROOT / "envs" / f"{name.removeprefix('squeezeproof-')}.yaml"
        assert (folder / "asked.yaml").read_bytes() == expected.read_bytes()

    fresh.run("--sdm", "conda", "--until", "prepare")
    assert list(fresh.path.glob("data/prepared/*/train.safetensors"))
    assert "prepare.py" in (environments(fresh)["squeezeproof-torch"] / "used").read_text()
    # A second run finds them made.
    assert fresh.planned("--sdm", "conda", "--until", "prepare") == {}


def test_without_conda_the_error_says_so(fresh, tmp_path):
    environment = os.environ | {"PATH": "/usr/bin:/bin"}
    command = fresh.command("--sdm", "conda", "--conda-create-envs-only")
    done = subprocess.run(command, cwd=fresh.path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "conda" in done.stderr and "Traceback" not in done.stderr
