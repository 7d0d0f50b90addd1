"""Hack: Ctrl-C ends a run in one sentence, and a second one ends it at once, without a traceback of Snakemake's.

Ctrl-C reaches the jobs, too, which end by it. Snakemake waits for them; a second Ctrl-C would break its wait and end in
a hundred lines (9.27). Here it kills the jobs, so that the wait is over.
"""

import os
import signal
import threading
from pathlib import Path
from types import FrameType

SENTENCE = "Stopped: the same command goes on from here. Running jobs end now; Ctrl-C again kills them."

interrupted = threading.Event()


def end_in_one_sentence() -> None:
    """Let Ctrl-C do so in the Snakemake process that calls this, unless somebody else has a use for it."""
    alone = threading.current_thread() is threading.main_thread()
    if alone and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not interrupted.is_set():
        interrupted.set()
        raise KeyboardInterrupt
    for child in children(os.getpid()):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue


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
