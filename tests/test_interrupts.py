"""Ctrl-C, once and twice: the run ends, in few words."""

import signal

from store_examples import run_python

from squeezeproof.study import interrupts

# The second Ctrl-C kills every child of its process, so that process is none that runs tests. The job does not end by
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
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        print("interrupted", interrupts.interrupted.is_set(), job.poll(), job.pid in interrupts.children(os.getpid()))
    os.kill(os.getpid(), signal.SIGINT)
    print(job.wait(timeout=10))
# And one more, with nobody left.
os.kill(os.getpid(), signal.SIGINT)
print("went on")
"""


def test_the_first_ends_the_run_and_the_second_its_jobs():
    pressed = run_python(PRESSED)
    assert pressed.returncode == 0, pressed.stderr
    assert pressed.stdout.splitlines() == ["interrupted True None True", str(-signal.SIGKILL), "went on"]


def test_whoever_has_a_use_for_ctrl_c_keeps_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts.end_in_one_sentence()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
