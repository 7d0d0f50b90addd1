"""What `make prune` lists and removes: all that no plan names, and nothing else."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import prune
import pytest
import yaml
from conftest import ROOT, TABLES, TINY

from squeezeproof.errors import InputError
from squeezeproof.study.outputs import named_paths
from squeezeproof.study.plan import Study
from squeezeproof.study.prune import stale_data, stale_results

BASE = "cnn8.standard.none.none.s0"


def tiny(**changes):
    return Study(copy.deepcopy(TINY) | changes)


def write(path, text="12345"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def files(folder="."):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file() or path.is_symlink()}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with every file that the tiny study names, and what belongs to them."""
    monkeypatch.chdir(tmp_path)
    study = tiny()
    for path in named_paths(study):
        write(path)
    write("results/tiny/models/digits/cnn8.standard.none.none.s0.safetensors.resume")
    write("results/tiny/predictions/digits/cnn8.standard.none.none.s0/cnn8.standard.none.none.s0.safetensors.kept")
    write("results/tiny/report.html")
    return study


def test_a_finished_study_has_nothing_to_prune(place):
    assert stale_results(place) == [] and stale_data([place]) == []


def test_what_no_plan_names_is_listed_with_its_size_and_stays(place):
    before = files()
    added = [
        write("results/tiny/adversarial/digits/cnn8.standard.none.none.s0/pgd-eps0.2.safetensors", "123"),
        write("results/tiny/logs/craft/digits/cnn8.standard.none.none.s0/pgd-eps0.2.log"),
        write("results/tiny/models/digits/.cnn8.standard.none.none.s0.safetensors.17.tmp"),
        write("results/tiny/models/digits/gone.safetensors.resume"),
        write("results/tiny/predictions/digits/gone.safetensors.kept"),
        write("results/tiny/tables/gone.csv.sha256"),
    ]
    assert stale_results(place) == sorted((path, 3 if "adversarial" in path else 5) for path in added)
    assert files() == before | set(added)


def test_removal_takes_what_was_listed_and_the_folders_that_it_leaves_empty(place):
    before = files()
    write("results/tiny/predictions/digits/gone/deep/er.safetensors")
    write("data/prepared/gone.0123/train.safetensors")
    removed = stale_results(place, remove=True) + stale_data([place], remove=True)
    assert [path for path, _ in removed] == [
        "results/tiny/predictions/digits/gone/deep/er.safetensors",
        "data/prepared/gone.0123/train.safetensors",
    ]
    assert files() == before
    assert not Path("results/tiny/predictions/digits/gone").exists() and not Path("data/prepared/gone.0123").exists()


def test_nothing_outside_the_two_folders_is_looked_at(place):
    outside = [
        write("results/tiny-2/gone.safetensors"),
        write("results/gone.safetensors"),
        write("data/raw/gone.gz"),
        write("data/gone.txt"),
        write("gone.txt"),
    ]
    assert stale_results(place, remove=True) == [] and stale_data([place], remove=True) == []
    assert set(outside) <= files()


def test_links_are_removed_and_not_followed(place, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    kept = write(elsewhere / "folder/kept.safetensors")
    Path("results/tiny/models/linked").symlink_to(elsewhere / "folder")
    Path("results/tiny/models/file").symlink_to(kept)
    Path("data/prepared/dangling").symlink_to(elsewhere / "nowhere")
    found = [path for path, _ in [*stale_results(place, remove=True), *stale_data([place], remove=True)]]
    assert found == ["results/tiny/models/file", "results/tiny/models/linked", "data/prepared/dangling"]
    assert Path(kept).read_text() == "12345"
    assert not Path("results/tiny/models/linked").is_symlink()


@pytest.mark.parametrize("folder", ["results/tiny", "data/prepared"])
def test_a_folder_that_is_a_link_is_refused(place, folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("elsewhere") / "moved"
    write(Path(folder) / "gone/gone.safetensors")
    shutil.move(folder, target)
    Path(folder).symlink_to(target)
    with pytest.raises(InputError, match=f"{folder}: is a link"):
        stale_results(place, remove=True)
        stale_data([place], remove=True)
    assert (target / "gone/gone.safetensors").exists()


def test_a_study_that_never_ran_has_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert stale_results(tiny(), remove=True) == [] and stale_data([tiny()], remove=True) == []


def test_a_file_that_cannot_be_removed_is_named(place, monkeypatch):
    path = write("results/tiny/gone.safetensors")

    def refuse(name, *, dir_fd):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(InputError, match=f"{path}: cannot be removed .Permission denied.; make it writable"):
        stale_results(place, remove=True)


# The command


@pytest.fixture
def command(place):
    """main() of the command in `place`, whose config.yaml is the tiny study and whose studies/ has another."""
    Path("config.yaml").write_text(yaml.safe_dump(TINY))
    write("studies/other.yaml", yaml.safe_dump(TINY | {"study": "other", "datasets": {"digits": {"test": 50}}}))
    write("studies/other-small.yaml", yaml.safe_dump({"study": "other-small", "datasets": {"digits": {"test": 20}}}))
    return lambda *, remove: prune.main(["config.yaml"], remove, Path.cwd())


def key(test):
    return tiny(datasets={"digits": {"test": test}}).datasets["digits"].key("test")


def test_prepared_data_of_other_studies_and_of_their_overlays_stays(command, capsys):
    needed = [write(f"data/prepared/{key(test)}/test.safetensors") for test in (50, 20)]
    gone = write(f"data/prepared/{key(30)}/test.safetensors")
    command(remove=True)
    assert set(needed) <= files() and gone not in files()
    said = capsys.readouterr().out
    assert gone in said and not any(path in said for path in needed)


def test_prepared_data_that_results_of_an_unknown_study_may_be_made_from_stays(command, capsys):
    write("results/check-a-123456/models/digits/base.given.none.none.s0.safetensors")
    unclear = write(f"data/prepared/{key(30)}/test.safetensors", "1234")
    gone = write("data/prepared/others.01234567/test.safetensors")
    command(remove=True)
    assert unclear in files() and gone not in files()
    said = capsys.readouterr().out
    assert (
        f"4  {unclear}" in said
        and "that stay: results/check-a-123456, whose study is not known here, may be made from them" in said
    )
    # The results gone, nothing has the data.
    shutil.rmtree("results/check-a-123456")
    command(remove=True)
    assert unclear not in files()


def test_results_that_cannot_be_looked_into_keep_all_data(command):
    gone = write(f"data/prepared/{key(30)}/test.safetensors")
    Path("results/away").symlink_to("nowhere")
    with pytest.raises(SystemExit, match=r"results/away: what it needs of data/prepared is not known \(No such file"):
        command(remove=True)
    assert gone in files()


def test_results_of_known_studies_keep_no_data_that_these_no_longer_name(command):
    write("results/other/models/digits/base.given.none.none.s0.safetensors")
    gone = write(f"data/prepared/{key(30)}/test.safetensors")
    command(remove=True)
    assert gone not in files()


def test_listing_says_how_to_remove(command, capsys):
    path = write("results/tiny/gone.safetensors")
    command(remove=False)
    said = capsys.readouterr().out
    assert f"5  {path}" in said and "YES=1 removes them." in said
    assert path in files()


def test_nothing_is_removed_while_a_run_is_under_way(command):
    path = write("results/tiny/gone.safetensors")
    write(".snakemake/locks/0.output.lock")
    with pytest.raises(SystemExit, match="a run is under way"):
        command(remove=True)
    assert path in files()
    command(remove=False)


def test_nothing_is_removed_where_another_study_cannot_be_read(command):
    paths = {write("results/tiny/gone.safetensors"), write("data/prepared/gone.0123/test.safetensors")}
    write("studies/broken.yaml", "study: broken\ndatsets: {}\n")
    with pytest.raises(SystemExit, match=r"broken.yaml: what it needs of data/prepared is not known"):
        command(remove=True)
    assert paths <= files()


def test_a_config_with_problems_ends_in_them(command):
    Path("config.yaml").write_text("study: tiny\n")
    with pytest.raises(SystemExit, match="The study config has"):
        command(remove=True)


def test_every_study_of_the_repository_can_be_asked_for_its_data():
    names = {study.name for study in prune.other_studies(ROOT)}
    assert {"demo", "vora2023", "vora2023-small"} <= names


# The real workflow


def pruned(workspace, *arguments):
    """The paths that the command prints in a workspace, whose config.yaml is its study."""
    workspace.command()
    command = [sys.executable, workspace.path / "workflow_scripts/tools/prune.py", *arguments, "config.yaml"]
    done = subprocess.run(command, cwd=workspace.path, capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines() if len(line.split()) == 2}


def test_a_finished_run_leaves_only_what_its_plan_names(study):
    assert pruned(study) == set()


def test_the_cells_of_a_removed_attack_go_and_nothing_runs_again_for_it(study):
    before = files(study.path)
    del study.config["attacks"]["pgd"]
    study.run(TABLES)
    stale = pruned(study)
    assert f"results/tiny/adversarial/digits/{BASE}/pgd-eps0.1.safetensors" in stale
    assert all("pgd-eps0.1" in path for path in stale)
    assert pruned(study, "--yes") == stale
    assert not any("pgd-eps0.1" in path for path in files(study.path / "results"))
    kept = {path for path in before if "pgd-eps0.1" not in path and not path.startswith(".snakemake/")}
    assert kept <= files(study.path) | {"config.yaml"}
    assert study.planned(TABLES) == {} and pruned(study) == set()
