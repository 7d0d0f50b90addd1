"""The log and the progress of a job, and the seeds of its random numbers."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from squeezeproof import jobs
from squeezeproof.attacks.checks import check_logits
from squeezeproof.errors import InputError
from squeezeproof.jobs import Progress, job
from squeezeproof.seeds import derive_seed

# --- Jobs


@pytest.fixture
def snakemake(tmp_path):
    return SimpleNamespace(rule="prepare", log=[str(tmp_path / "job.log")], config={"allow_factories": []})


@pytest.fixture
def handlers():
    """The handlers of the library's log, none of which a job may leave behind."""
    before = list(jobs.log.handlers)
    yield
    assert jobs.log.handlers == before


def test_a_job_logs_to_its_rules_file(snakemake, handlers):
    Path(snakemake.log[0]).write_text("an earlier attempt")
    with job(snakemake):
        logging.getLogger("squeezeproof").info("half of it")
    lines = Path(snakemake.log[0]).read_text().splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"\d\d:\d\d:\d\d half of it", lines[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d done in \d+\.\d s; CPU: \d+\.\d\d s to start, \d+\.\d\d s of work", lines[2])


def test_an_input_error_ends_a_job_with_its_message_alone(snakemake, handlers):
    with pytest.raises(SystemExit) as caught, job(snakemake):
        raise InputError("data/x.png: not an image")
    assert caught.value.code == "prepare: data/x.png: not an image"
    text = Path(snakemake.log[0]).read_text()
    assert re.fullmatch(r"\d\d:\d\d:\d\d ERROR: data/x\.png: not an image\n", text)


def test_an_error_of_a_model_names_what_the_job_is_of(snakemake, handlers):
    snakemake.rule, snakemake.wildcards = "craft", {"dataset": "digits", "source": "small.s0", "attack": "pgd"}
    with pytest.raises(SystemExit) as caught, job(snakemake):
        check_logits(torch.eye(3))
    told = "digits, small.s0, pgd: the model returns probabilities, attacks need logits: remove its softmax"
    assert caught.value.code == f"craft: {told}"
    assert Path(snakemake.log[0]).read_text().endswith(f"ERROR: {told}\n")


def test_every_message_about_the_model_of_a_job_is_of_the_kind_that_names_it():
    """What a job cannot name begins with the model, the network or its logits."""
    unnamed = re.compile(r'raise InputError\(\s*f?"the (model|network|int8 model|logits of class)\b')
    library = Path(jobs.__file__).parent
    found = [path.name for path in library.rglob("*.py") if unnamed.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_any_other_error_ends_a_job_with_its_traceback(snakemake, handlers):
    with pytest.raises(ZeroDivisionError), job(snakemake):
        1 / 0  # noqa: B018
    text = Path(snakemake.log[0]).read_text()
    assert "ERROR in rule prepare" in text and "Traceback" in text and "1 / 0" in text
    assert "done in" not in text


@pytest.mark.parametrize("status", [0, None, 3, "enough"])
def test_a_process_that_is_ended_by_what_a_job_calls_is_no_job_that_went_well(snakemake, handlers, status):
    with pytest.raises(SystemExit) as caught, job(snakemake):
        sys.exit(status)
    assert caught.value.code.startswith(f"prepare: code that it calls ended it, by sys.exit({status!r}); ")
    assert "ERROR: code that it calls ended it" in Path(snakemake.log[0]).read_text()


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
def test_a_job_whose_output_went_elsewhere_says_where(snakemake, handlers, tmp_path, monkeypatch, gone):
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(SystemExit) as caught, job(snakemake):
        os.chdir(elsewhere)
        if gone:
            elsewhere.rmdir()
    told = "a folder that is gone" if gone else str(elsewhere)
    assert (
        caught.value.code
        == f"prepare: code that it calls went to {told}, where its output is; let it go back to {tmp_path}"
    )
    assert Path.cwd() == tmp_path


def test_a_job_without_a_terminal_ends_well(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from types import SimpleNamespace; from squeezeproof.jobs import job\n"
        f"log, config = [{str(tmp_path / 'job.log')!r}], {{'allow_factories': []}}\n"
        "snakemake = SimpleNamespace(rule='prepare', log=log, config=config)\n"
        "with job(snakemake):\n    sys.stdout = sys.stderr = None\n"
    )
    library = str(Path(jobs.__file__).parents[1])
    assert subprocess.run([sys.executable, script], env={**os.environ, "PYTHONPATH": library}).returncode == 0


def test_an_interrupted_job_leaves_no_handler(snakemake, handlers):
    with pytest.raises(SystemExit, match="130"), job(snakemake):
        raise KeyboardInterrupt
    text = Path(snakemake.log[0]).read_text()
    assert "done in" not in text and "interrupted" in text


def test_jobs_do_not_write_into_each_others_logs(snakemake, tmp_path, handlers):
    with job(snakemake):
        pass
    before = Path(snakemake.log[0]).read_text()
    with job(SimpleNamespace(**vars(snakemake) | {"log": [str(tmp_path / "other.log")]})):
        jobs.log.info("of the other job")
    assert Path(snakemake.log[0]).read_text() == before
    assert "of the other job" in (tmp_path / "other.log").read_text()


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(jobs.time, "perf_counter", lambda: now.seconds)
    return now


def test_progress_is_logged_at_intervals_and_at_the_end(clock, caplog):
    caplog.set_level(logging.INFO, "squeezeproof")
    progress = Progress(8, "batches", interval=10)
    for _ in range(8):
        clock.seconds += 4
        progress.advance()
    assert caplog.messages == [
        "3 of 8 batches, 20 s left",
        "6 of 8 batches, 8 s left",
        "8 of 8 batches, 0 s left",
    ]


def test_progress_counts_several_at_once_and_takes_notes(clock, caplog):
    caplog.set_level(logging.INFO, "squeezeproof")
    progress = Progress(100, "images", interval=0)
    clock.seconds += 3
    progress.advance(25, "loss 0.5")
    progress.advance(75)
    assert caplog.messages == ["25 of 100 images, 9 s left, loss 0.5", "100 of 100 images, 0 s left"]


def test_progress_goes_on_from_what_an_earlier_job_did(clock, caplog):
    caplog.set_level(logging.INFO, "squeezeproof")
    progress = Progress(10, "epochs", interval=0, done=6)
    clock.seconds += 4
    progress.advance()
    assert caplog.messages == ["7 of 10 epochs, 12 s left"]


# --- Seeds


def test_seeds_are_fixed_for_all_time():
    assert derive_seed(0, "weights") == 5308020828624478041
    assert derive_seed(1, "cnn3", 2.5) == derive_seed("1", "cnn3", "2.5")


def test_seeds_differ_by_every_part_and_their_order():
    parts = [
        (),
        ("",),
        (0,),
        (1,),
        ("01",),
        (0, 1),
        (1, 0),
        (0, "weights"),
        (0, "training"),
        (0, 1, ""),
        ("a", "bc"),
        ("ab", "c"),
    ]
    seeds = [derive_seed(*part) for part in parts]
    # Nothing and one empty name are the same text.
    assert len(set(seeds)) == len(seeds) - 1
    assert all(0 <= seed < 2**63 for seed in seeds)
