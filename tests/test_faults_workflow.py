"""Faults of whole runs of the real Snakemake: a message, nothing finished lost, and tables equal to the byte after all.

The jobs themselves go through the matrix of tests/test_faults.py.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from squeezeproof.study import outputs
from squeezeproof.study.interrupts import SENTENCE
from squeezeproof.study.plan import Study

pytestmark = pytest.mark.slow

BASE, PRUNED = "cnn8.standard.none.none.s0", "cnn8.standard.weight-50.standard.s0"
# Rule -> what it makes, of which one file is asked for again.
OUTPUTS = {
    "prepare": "data/prepared/*/train.safetensors",
    "train": f"results/tiny/models/digits/{BASE}.safetensors",
    "compress": f"results/tiny/models/digits/{PRUNED}.safetensors",
    "craft": f"results/tiny/adversarial/digits/{BASE}/pgd-eps0.1.safetensors",
    "predict": f"results/tiny/predictions/digits/{PRUNED}/{BASE}.safetensors",
    "audit_sets": f"results/tiny/audit/digits/{BASE}.sets.csv",
    "write_audit": "results/tiny/tables/audit.csv",
    "write_tables": "results/tiny/tables/over_seeds.csv",
    "write_verdicts": "results/tiny/tables/verdicts.csv",
}


def output_of(study, rule):
    [path] = study.path.glob(OUTPUTS[rule])
    return path


def assert_undisturbed(study, finished):
    assert study.tables() == finished.tables()
    assert not [path for path in study.path.rglob("*") if path.name.endswith((".tmp", ".resume"))]


def scripts_of(study, script):
    """Ids of the processes that run a script of this workspace."""
    folder, found = str(study.path / ".snakemake" / "scripts").encode(), []
    for path in Path("/proc").iterdir():
        try:
            command = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if folder in command and f".{script}.py".encode() in command:
            found.append(int(path.name))
    return found


# --- SIGKILL


@pytest.mark.parametrize("rule", OUTPUTS)
def test_a_killed_job_is_reported_and_the_next_run_ends_the_same(study, finished, rule):
    # What comes last is not there in an unfinished run.
    name = output_of(study, rule).relative_to(study.path).as_posix()
    shutil.rmtree(study.results / "tables")
    process = study.start("--forcerun", name)
    study.wait_for(process, lambda: scripts_of(study, rule))
    time.sleep(random.Random(rule).random() * 2)
    for victim in scripts_of(study, rule):
        os.kill(victim, signal.SIGKILL)
    process.wait(timeout=600)
    study.run()
    assert (study.path / name).exists()
    assert_undisturbed(study, finished)


@pytest.mark.parametrize("attempt", range(3))
def test_a_killed_snakemake_is_unlocked_and_goes_on(finished, study, attempt):
    shutil.rmtree(study.results)
    process = study.start()
    time.sleep(random.Random(attempt).uniform(2, 40))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    made = {path: path.stat().st_mtime_ns for path in study.results.rglob("*.safetensors")}
    study.run("--unlock")
    study.run()
    assert_undisturbed(study, finished)
    kept = [path for path, written in made.items() if path.stat().st_mtime_ns == written]
    # The file of a job that was under way when it was killed is made again.
    assert len(kept) >= len(made) - 2


# --- Ctrl-C, and SIGTERM to Snakemake alone or, as `timeout` sends it, to all processes


@pytest.mark.parametrize(
    ("send", "number", "times"),
    [
        (os.killpg, signal.SIGINT, 1),
        (os.killpg, signal.SIGINT, 2),
        (os.kill, signal.SIGTERM, 1),
        (os.killpg, signal.SIGTERM, 1),
    ],
    ids=["Ctrl-C", "Ctrl-C twice", "SIGTERM", "SIGTERM to all processes"],
)
def test_it_ends_a_run_in_a_sentence_and_the_same_command_goes_on(study, finished, send, number, times, tmp_path):
    shutil.rmtree(study.results / "predictions")
    shutil.rmtree(study.results / "tables")
    with (tmp_path / "screen.txt").open("w") as screen:
        process = subprocess.Popen(
            study.command(), cwd=study.path, stdout=screen, stderr=subprocess.STDOUT, start_new_session=True
        )
    study.wait_for(process, lambda: scripts_of(study, "predict"))
    for _ in range(times):
        send(process.pid, number)
        time.sleep(0.2)
    assert process.wait(timeout=60) == 1
    output = (tmp_path / "screen.txt").read_text()
    assert output.count(SENTENCE) == 1
    assert not {"FAILED", "Traceback", "Exception", "Error"} & set(re.findall(r"\w+", output)), output
    assert not scripts_of(study, "predict")
    study.run()
    assert_undisturbed(study, finished)


# --- Damaged outputs


@pytest.mark.parametrize("how", ["truncated", "flipped"])
@pytest.mark.parametrize("rule", OUTPUTS)
def test_a_damaged_output_is_named_and_made_again(study, finished, rule, how):
    path = output_of(study, rule)
    content = path.read_bytes()
    half = bytearray(content)
    half[-len(content) // 3] ^= 4
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else half)
    output = study.run(ok=False)
    assert path.relative_to(study.path).as_posix() in output
    assert "run again" in output or "--forcerun" in output
    assert "Traceback" not in output
    path.unlink()
    study.run()
    assert_undisturbed(study, finished)


# --- Lost outputs


def pieces(study):
    """Rule -> the outputs of one of its jobs."""
    plan = outputs.jobs(Study(study.config))
    return {job.rule: [study.path / path for path in job.outputs] for job in plan if not job.temporary}


def test_whatever_piece_is_lost_is_planned_and_nothing_before_it(study):
    order = list(pieces(study))
    for rule, [path, *_] in pieces(study).items():
        content, times = path.read_bytes(), path.stat()
        path.unlink()
        planned = study.planned()
        assert planned.get(rule) == 1, path
        # The jobs of a study are listed in the order in which they can run.
        earlier = {"prepare", "train", "compress", "craft", "predict"} & set(order[: order.index(rule)])
        assert not planned.keys() & earlier, path
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert study.planned() == {}


@pytest.mark.parametrize("lost", ["a piece of every kind", "all but models", "everything but models and sets"])
def test_lost_pieces_come_again_as_they_were(study, finished, lost):
    if lost == "a piece of every kind":
        for path in (path for paths in pieces(study).values() for path in paths):
            path.unlink()
    else:
        kept = {"models", "adversarial"} if "sets" in lost else {"models"}
        for folder in study.results.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    study.run()
    assert_undisturbed(study, finished)
    assert all((study.path / path).is_file() for path in outputs.targets(Study(study.config)))


# --- Disks


def tmpfs(folder, options):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")


@pytest.fixture
def small_disk(fresh):
    """Makes the results of a study that was not run a file system of a given size."""
    results = fresh.path / "results"
    results.mkdir()
    yield lambda options: tmpfs(results, options)
    subprocess.run(["umount", "-l", str(results)], check=True)


@pytest.mark.parametrize("size", ["60k", "200k", "400k"])
def test_a_full_disk_is_named_and_with_more_space_the_run_goes_on(fresh, finished, small_disk, size):
    small_disk(f"size={size}")
    output = fresh.run(ok=False)
    assert "No space left on device" in output
    made = list(fresh.results.glob("models/digits/*.safetensors"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(fresh.path / "results")], check=True)
    before = {path: path.stat().st_mtime_ns for path in made}
    fresh.run("--unlock")
    fresh.run()
    assert_undisturbed(fresh, finished)
    assert sum(path.stat().st_mtime_ns == written for path, written in before.items()) >= len(before) - 1


def test_read_only_results_are_named_and_nothing_is_lost(fresh, finished, small_disk):
    small_disk("size=64m,ro")
    output = fresh.run(ok=False)
    assert "results: lies on a read-only file system" in output and "nothing was run" in output
    subprocess.run(["mount", "-o", "remount,rw", str(fresh.path / "results")], check=True)
    fresh.run()
    assert_undisturbed(fresh, finished)


# --- Two runs at once, and clocks


def test_a_second_run_is_refused_and_says_why(study, finished):
    shutil.rmtree(study.results / "tables")
    process = study.start()
    study.wait_for(process, lambda: list((study.path / ".snakemake" / "locks").glob("*")))
    output = study.run(ok=False)
    assert "cannot be locked" in output and "--unlock" in output
    assert process.wait(timeout=600) == 0
    assert_undisturbed(study, finished)


@pytest.mark.parametrize("days", [-4000, -1, 1, 4000])
def test_a_clock_that_jumped_for_every_file_reruns_nothing(study, days):
    for path in study.path.rglob("*"):
        moved = path.stat().st_mtime_ns + days * 86400 * 10**9
        os.utime(path, ns=(moved, moved), follow_symlinks=False)
    assert study.planned() == {}


@pytest.mark.parametrize("days", [-4000, 1])
@pytest.mark.parametrize("rule", ["train", "craft", "predict", "write_tables"])
def test_a_clock_that_jumped_for_one_file_reruns_at_most_what_depends_on_it(study, finished, rule, days):
    """Snakemake goes by the checksums of small files, and by the times of large ones."""
    path = output_of(study, rule)
    moved = path.stat().st_mtime + days * 86400
    os.utime(path, (moved, moved))
    assert not {"prepare", "train", rule} & study.planned().keys()
    study.run()
    assert_undisturbed(study, finished)
