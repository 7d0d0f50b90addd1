"""The benchmarks time what they say: each contestant in a process of its own, ours the measure of the others."""

import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from conftest import ROOT
from contestants import counting, failing, working_or_failing

sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "workflow_scripts/tools"))

import measured
import queries
import write_reference
from rounds import contest


def write(path, rows):
    # The other libraries that it imports take seconds, in every process that collects tests.
    import attacks

    attacks.write(path, rows)


def test_contestants_have_processes_of_their_own_and_are_measured_by_the_first():
    rows = contest(counting, {"short": ("short", 200_000), "long": ("long", 2_000_000)}, rounds=3)
    assert [row["contestant"] for row in rows] == ["short", "long"]
    assert len({os.getpid(), *(row["process"] for row in rows)}) == 3
    assert rows[0]["ratio"] == rows[0]["ratio_low"] == rows[0]["ratio_high"] == 1
    assert 2 < rows[1]["ratio_low"] <= rows[1]["ratio"] <= rows[1]["ratio_high"]


def test_a_contestant_that_fails_tells_why():
    with pytest.raises(RuntimeError, match="no such library"):
        contest(failing, {"none": ()}, rounds=1)


def test_a_contest_goes_on_without_one_that_fails_where_it_may(capsys):
    arguments = {"ours": (True,), "theirs": (False,), "others": (True,)}
    rows = contest(working_or_failing, arguments, rounds=1, without_failed=True)
    assert [row["contestant"] for row in rows] == ["ours", "others"]
    told = capsys.readouterr().out
    assert "theirs is left out" in told and "no such library" in told
    with pytest.raises(RuntimeError, match="no such library"):
        contest(working_or_failing, {"ours": (False,)}, rounds=1, without_failed=True)


def test_a_benchmark_goes_on_with_its_own_run_alone_and_keeps_the_other_rows(tmp_path):
    path, run = tmp_path / "attacks.csv", {"commit": "1234567", "rounds": 3}
    row = {"model": "cnn3", "attack": "fgsm", "library": "SqueezeProof", "seconds": 1.0, "ratio": 1.0}
    assert measured.finished(path, run) == set()
    write(path, [row, {**row, "attack": "cw"}])
    assert measured.finished(path, run) == set()
    write(path, [{**row, "seconds": 2.0, **run}])
    assert measured.finished(path, run) == {("cnn3", "fgsm")}
    assert (
        measured.finished(path, {**run, "rounds": 5}) == measured.finished(path, {**run, "commit": "7654321"}) == set()
    )
    table = pd.read_csv(path).set_index("attack")
    assert table["seconds"].to_dict() == {"fgsm": 2.0, "cw": 1.0} and table["commit"].notna().to_dict() == {
        "fgsm": True,
        "cw": False,
    }


def test_the_page_says_which_speed_ups_are_older_than_the_benchmark(tmp_path, monkeypatch):
    path = tmp_path / "attacks.csv"
    row = {"attack": "fgsm", "method": "fgsm", "library": "SqueezeProof", "seconds": 1.0, "ratio": 1.0}
    write(path, [{"model": "cnn3", **row}, {"model": "vit", **row, "commit": "0012345", "rounds": 3}])
    monkeypatch.setattr(write_reference, "SPEED", path)
    assert list(write_reference.measured()) == [
        "Speed-ups on vit: medians of 3 rounds at commit 0012345.",
        "Speed-ups on cnn3 are older: all contestants shared one process.",
    ]


def test_what_queries_found_is_robust_accuracy_at_eps_and_the_median_norm_of_what_was_right():
    tensors = {
        "norm": torch.tensor([0.05, 0.1, 0.3, 0.0, 0.0], dtype=torch.float64),
        # Fooled within eps twice, fooled beyond it, never fooled, and wrong from the start.
        "predictions": torch.tensor([1, 1, 1, 0, 1]),
        "clean_predictions": torch.tensor([0, 0, 0, 0, 1]),
        "labels": torch.zeros(5, dtype=torch.int64),
    }
    assert queries.found(tensors, 0.1, nearest=False) == {"accuracy": 0.4, "median_norm": None}
    # Of 0.05, 0.1, 0.3 and infinite the upper median.
    assert queries.found(tensors, 0.1, nearest=True) == {"accuracy": 0.4, "median_norm": 0.3}


class Brightness(torch.nn.Module):
    """Two classes by the mean of an image, 0.5 between them."""

    def forward(self, pixels):
        mean = pixels.mean((1, 2, 3)) - 0.5
        return torch.stack([mean, -mean], 1)


def test_queries_are_counted_and_an_attack_that_takes_too_long_has_a_row_that_says_so(monkeypatch, tmp_path):
    images = torch.full((2, 1, 4, 4), 0.45)
    monkeypatch.setattr(queries, "digits", lambda split: (images, torch.tensor([1, 1])))
    rows = queries.measured("standard", Brightness(), "square", [20, 40], None)
    assert [(row["norm"], row["queries"]) for row in rows] == [("linf", 20), ("linf", 40), ("l2", 20), ("l2", 40)]
    # The mean is 0.05 from the border, the ball 0.1 wide: its first squares of 0.1 cross.
    assert [row["accuracy"] for row in rows[:2]] == [0, 0]
    assert all(row["asked"] <= row["queries"] + 2 for row in rows) and {row["images"] for row in rows} == {2}

    def never(*_, **__):
        while True:
            pass

    monkeypatch.setattr(queries, "craft", never)
    ended = queries.measured("standard", Brightness(), "rays", [20], 0.05)
    assert [row["failed"] for row in ended] == ["ended by this benchmark after 0.05 CPU seconds"]
    queries.write(tmp_path / "queries.csv", rows)
    queries.write(tmp_path / "queries.csv", ended)
    assert pd.read_csv(tmp_path / "queries.csv")["attack"].tolist() == ["square"] * 4 + ["rays"]


@pytest.mark.slow
def test_the_benchmark_of_the_gpu_runs_on_a_cpu_too(tmp_path):
    path = tmp_path / "gpu.csv"
    options = ["--device", "cpu", "--models", "cnn3", "--attacks", "fgsm", "--trainings", "--rounds", "1"]
    command = [sys.executable, ROOT / "benchmarks/gpu.py", *options, "--write", path]
    subprocess.run(command, check=True, capture_output=True)
    table = pd.read_csv(path)
    assert table["contestant"].head(2).tolist() == ["SqueezeProof", "bfloat16"]
    assert table["robust_accuracy"].between(0, 1).all() and table["change"].iloc[0] == 0
