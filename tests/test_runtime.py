"""What runs in a job: torch, its memory, and the process that ends with it."""

import ast
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FAULTS = """
import resource, sys, torch
from squeezeproof.models.networks import cnn3
from squeezeproof.runtime import set_up
if sys.argv[1] == "set up":
    set_up({"threads": 1, "device": "cpu"})
model, images = cnn3(in_channels=1, num_classes=10, image_size=28), torch.rand(128, 1, 28, 28)
for turn in range(10):
    if turn == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model.zero_grad()
    model(images).sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5)
"""


def page_faults(how):
    """Of a training step of CNN-3, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_tensors_are_not_cleared_by_the_kernel_again():
    # Thousands at each step, none where memory is kept; a machine that is short of it takes some back.
    assert 10 * page_faults("set up") < page_faults("as it stands")


HUGE = """
import torch
from squeezeproof.runtime import set_up
set_up({"threads": 1, "device": "cpu"})
large = torch.ones(32, 2**20)
print(sum(int(line.split()[1]) for line in open("/proc/self/smaps") if line.startswith("AnonHugePages")))
"""
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not PAGES.exists() or "[never]" in PAGES.read_text(), reason="no huge pages here")
def test_large_tensors_lie_in_huge_pages():
    command = [sys.executable, "-c", HUGE]
    done = subprocess.run(command, cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True)
    assert int(done.stdout) > 64 * 1024  # kB, of 128 MiB


def scripts():
    return [path for path in sorted((ROOT / "workflow_scripts").glob("*.py")) if "with job(" in path.read_text()]


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.stem)
def test_nothing_follows_the_job_in_a_script(path):
    last = ast.parse(path.read_text()).body[-1]
    assert isinstance(last, ast.With) and ast.unparse(last.items[0].context_expr.args[0]) == "snakemake"
    assert ast.unparse(last.items[0].context_expr.func) == "job"


JOB = """
from types import SimpleNamespace
from squeezeproof.errors import InputError
from squeezeproof.jobs import job
snakemake = SimpleNamespace(rule="r", log=["r.log"], config={"allow_factories": []})
with job(snakemake):
    %s
raise SystemExit(3)
"""


def run_job(statement, folder):
    """(exit status, output, errors) of a process whose script is a job of one statement."""
    path = f"import sys; sys.path.insert(0, {str(ROOT / 'workflow_scripts')!r})"
    command = [sys.executable, "-c", path + JOB % statement]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_process_of_a_job_ends_with_it_and_loses_no_output(tmp_path):
    assert run_job("print('written', end='')", tmp_path) == (0, "written", "")
    assert "done in" in (tmp_path / "r.log").read_text()


def test_a_job_that_fails_tells_why_and_ends_as_failed(tmp_path):
    assert run_job("raise InputError('no such thing')", tmp_path) == (1, "", "r: no such thing\n")


def test_a_job_that_is_interrupted_says_so_without_a_traceback(tmp_path):
    assert run_job("raise KeyboardInterrupt", tmp_path) == (130, "", "")
    assert "interrupted; the same command" in (tmp_path / "r.log").read_text()
