"""Ctrl-C, once and twice: the run ends, in few words."""

import os
import signal
import subprocess
import sys
import time

import pytest

from squeezeproof.study import interrupts

# It does not end by SIGINT, as a job may that is busy.
STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"


@pytest.fixture
def ours():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.end_in_one_sentence()
    yield
    signal.signal(signal.SIGINT, before)
    interrupts.interrupted.clear()


def test_the_first_ends_the_run_and_the_second_its_jobs(ours):
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as job:
        job.stdout.readline()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        assert interrupts.interrupted.is_set() and job.poll() is None
        assert job.pid in interrupts.children(os.getpid())
        os.kill(os.getpid(), signal.SIGINT)
        assert job.wait(timeout=10) == -signal.SIGKILL
    # And one more, with nobody left.
    os.kill(os.getpid(), signal.SIGINT)


def test_whoever_has_a_use_for_ctrl_c_keeps_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts.end_in_one_sentence()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
