"""The benchmarks time what they say: each contestant in a process of its own, ours the measure of the others."""

import os
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from rounds import contest


def counting(name, work):
    """A contestant that works for so many turns of a loop and tells its process."""
    return {"process": os.getpid()}, lambda: sum(range(work))


def failing():
    raise ValueError("no such library")


def test_contestants_have_processes_of_their_own_and_are_measured_by_the_first():
    rows = contest(counting, {"short": ("short", 2_000_000), "long": ("long", 20_000_000)}, rounds=3)
    assert [row["contestant"] for row in rows] == ["short", "long"]
    assert len({os.getpid(), *(row["process"] for row in rows)}) == 3
    assert rows[0]["ratio"] == rows[0]["ratio_low"] == rows[0]["ratio_high"] == 1
    assert 2 < rows[1]["ratio_low"] <= rows[1]["ratio"] <= rows[1]["ratio_high"]


def test_a_contestant_that_fails_tells_why():
    with pytest.raises(RuntimeError, match="no such library"):
        contest(failing, {"none": ()}, rounds=1)


@pytest.mark.slow
def test_the_benchmark_of_the_gpu_runs_on_a_cpu_too(tmp_path):
    path = tmp_path / "gpu.csv"
    options = ["--device", "cpu", "--models", "cnn3", "--attacks", "fgsm", "--trainings", "--rounds", "1"]
    command = [sys.executable, ROOT / "benchmarks/gpu.py", *options, "--write", path]
    subprocess.run(command, check=True, capture_output=True)
    table = pd.read_csv(path)
    assert table["contestant"].head(2).tolist() == ["SqueezeProof", "bfloat16"]
    assert table["robust_accuracy"].between(0, 1).all() and table["change"].iloc[0] == 0
