"""Ctrl-C and SIGTERM, once and twice: the run ends, in few words."""

import inspect
import signal

import pytest
from snakemake.scheduling import job_scheduler
from store_examples import run_python

from squeezeproof.study import interrupts

# The second signal kills every child of its process, so that process is none that runs tests. The job does not end by
# SIGINT, as one may that is busy.
PRESSED = """
import os, signal, subprocess, sys, time
from squeezeproof.study import interrupts

STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
signal.signal(signal.SIGINT, signal.default_int_handler)
interrupts.end_in_one_sentence()
with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as job:
    job.stdout.readline()
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(10)
    except KeyboardInterrupt:
        print("interrupted", interrupts.interrupted.is_set(), job.poll(), job.pid in interrupts.children(os.getpid()))
    os.kill(os.getpid(), signal.{name})
    print(job.wait(timeout=10))
# And one more, with nobody left.
os.kill(os.getpid(), signal.{name})
print("went on")
"""
# SIGTERM goes to Snakemake alone. A shell stands between it and a job that starts in the usual way.
HANDED_ON = """
import os, signal, subprocess, sys
from snakemake.scheduling.job_scheduler import JobScheduler
from squeezeproof.study import interrupts

interrupts.end_in_one_sentence()
signal.signal(signal.SIGTERM, JobScheduler.exit_gracefully.__get__(object()))
job = "import time; print(flush=True); time.sleep(60)"
with subprocess.Popen(["sh", "-c", f"{sys.executable} -c '{job}'; exit 7"], stdout=-1, stderr=-3) as shell:
    shell.stdout.readline()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        print("interrupted", shell.wait(timeout=10) != 0)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_ends_the_run_and_the_second_its_jobs(name):
    pressed = run_python(PRESSED.replace("{name}", name))
    assert pressed.returncode == 0, pressed.stderr
    assert pressed.stdout.splitlines() == ["interrupted True None True", str(-signal.SIGKILL), "went on"]


def test_a_request_to_end_reaches_the_jobs_behind_a_shell():
    asked = run_python(HANDED_ON)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.splitlines() == ["interrupted True"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_has_a_use_for_a_signal_keeps_it(number, monkeypatch):
    monkeypatch.setattr(job_scheduler.JobScheduler, "exit_gracefully", job_scheduler.JobScheduler.exit_gracefully)
    before = signal.signal(number, signal.SIG_IGN)
    others = {other: signal.getsignal(other) for other in (signal.SIGINT, signal.SIGTERM)}
    try:
        interrupts.end_in_one_sentence()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        for other, handler in {**others, number: before}.items():
            signal.signal(other, handler)


def test_snakemake_still_asks_the_method_that_is_replaced():
    assert "signal.signal(signal.SIGTERM, self.exit_gracefully)" in inspect.getsource(job_scheduler.JobScheduler)
