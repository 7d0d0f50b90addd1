"""Hack: Ctrl-C and SIGTERM end a run in one sentence, and a second one ends it at once, without Snakemake's traceback.

Ctrl-C reaches the jobs, too, which end by it; SIGTERM reaches Snakemake alone, which hands it on to them as Ctrl-C.
Snakemake (9.27) would let the jobs of a SIGTERM end by themselves, and whoever sends one kills what has not ended after
seconds. It waits for the jobs; a second Ctrl-C would break its wait and end in a hundred lines. Here it kills the jobs,
so that the wait is over.
"""

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from snakemake.scheduling.job_scheduler import JobScheduler

SENTENCE = "Stopped: the same command goes on from here. Running jobs end now; Ctrl-C again kills them."

interrupted = threading.Event()


def end_in_one_sentence() -> None:
    """Let Ctrl-C and SIGTERM do so in the Snakemake process that calls this, unless somebody else has a use for it."""
    alone = threading.current_thread() is threading.main_thread()
    if alone and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    if alone and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
        # With which Snakemake replaces it before the first job.
        JobScheduler.exit_gracefully = _asked_to_end  # ty: ignore[invalid-assignment]


def _asked_to_end(scheduler: Any, number: int, frame: FrameType | None) -> None:
    _terminate(number, frame)


def _terminate(number: int, frame: FrameType | None) -> None:
    if not interrupted.is_set():
        _send(signal.SIGINT, descendants(os.getpid()))
    _interrupt(number, frame)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not interrupted.is_set():
        interrupted.set()
        raise KeyboardInterrupt
    _send(signal.SIGKILL, children(os.getpid()))


def _send(number: signal.Signals, processes: list[int]) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def descendants(process: int) -> list[int]:
    """Ids of the processes that a process, and those that it started, have started and not yet waited for."""
    return [found for child in children(process) for found in (child, *descendants(child))]


def children(process: int) -> list[int]:
    """Ids of the processes that a process has started and not yet waited for; [] where the system does not tell."""
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            # The thread has just ended; another one has its children.
            continue
    return found
