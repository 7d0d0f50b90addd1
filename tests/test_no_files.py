"""A folder, or a link that leads nowhere, in the place of a job's file ends a plan in words."""

import os
import re

import pytest
from plan_examples import plan

from squeezeproof.study.no_files import LISTED, no_files
from squeezeproof.study.outputs import jobs

OTHER = {
    "a folder": (lambda path: path.mkdir(), "is a folder, and a file belongs there; move it away"),
    "a link to nowhere": (
        lambda path: path.symlink_to("gone"),
        "is a link to gone, which is not there; bring",
    ),
    "a link to a folder": (lambda path: path.symlink_to(path.parent), "is a folder, and a file belongs there"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "is a link to .*, which is not there"),
    "a pipe": (os.mkfifo, "is no file, and a file belongs there"),
}


@pytest.mark.parametrize("kind", ["outputs", "log", "benchmark"])
@pytest.mark.parametrize("other", OTHER)
def test_what_is_no_file_is_named(tmp_path, monkeypatch, other, kind):
    monkeypatch.chdir(tmp_path)
    study, (make, told) = plan({}), OTHER[other]
    place = next(job for job in jobs(study) if job.rule == "craft")
    name = place.outputs[0] if kind == "outputs" else getattr(place, kind)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    assert no_files(study) == []
    path.write_text("a file")
    assert no_files(study) == []
    path.rename(tmp_path / "file")
    path.symlink_to(tmp_path / "file")
    assert no_files(study) == []
    path.unlink()
    make(path)
    [problem] = no_files(study)
    assert problem.startswith(f"{name}: ") and re.search(told, problem)


@pytest.mark.parametrize("folder", ["results", "results/{study}", "results/{study}/tables", "data/prepared"])
def test_what_is_no_folder_is_named(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    study = plan({})
    folder = folder.format(study=study.name)
    path = tmp_path / folder
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    assert no_files(study) == [f"{folder}: is a file, and a folder belongs there; move it away"]
    path.unlink()
    path.symlink_to("/another/disk")
    [problem] = no_files(study)
    assert problem.startswith(f"{folder}: is a link to /another/disk, which is not there; bring that back")
    path.unlink()
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    assert no_files(study) == []


def test_many_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = plan({})
    for path in {path for job in jobs(study) for path in job.outputs}:
        (tmp_path / path).mkdir(parents=True)
    found = no_files(study)
    assert len(found) == LISTED + 1 and found[-1].startswith("... and ")


def test_a_run_says_so_before_anything_is_removed(study, finished):
    path = next(study.results.glob("models/digits/*.history.csv"))
    path.unlink()
    path.symlink_to("/nowhere")
    made = {file: file.stat().st_mtime_ns for file in study.results.rglob("*.safetensors")}
    told = f"{path.relative_to(study.path)}: is a link to /nowhere, which is not there"
    for arguments in (["-n"], []):
        output = study.run(*arguments, ok=False)
        assert told in output and "Traceback" not in output
    assert made == {file: file.stat().st_mtime_ns for file in study.results.rglob("*.safetensors")}
    path.unlink()
    study.run("format_tables")
    assert study.tables() == finished.tables()
