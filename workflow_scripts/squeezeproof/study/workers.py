"""Hack: one method of Snakemake is replaced, so that jobs of one machine are forked and do not pay for their start.

`import torch` takes longer than many a job. A worker (`squeezeproof/worker.py`) imports what the scripts import, once
per run of Snakemake, and forks a process per job. Files, logs, reruns, benchmarks and faults stay those of the job.
"""

import atexit
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path

from snakemake.benchmark import benchmarked
from snakemake.logging import logger
from snakemake.script import PythonScript
from snakemake.shell import shell

from squeezeproof import commits, worker
from squeezeproof.study.interrupts import interrupted

PR_SET_CHILD_SUBREAPER = 36
# Variables that Snakemake sets to the threads of a job, and to its folder of temporary files.
THREADS = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")
FOLDERS = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")
SCRIPTS = Path(worker.__file__).resolve().parents[1]
# It times models, which nothing that happened before in its process may disturb.
ALONE = {"measure_latency.py"}

_start_alone = PythonScript.execute_script
_workers, _lock = {}, threading.Lock()


def fork_jobs() -> None:
    """Let workers start the scripts of this workflow in the Snakemake process that calls this."""
    if PythonScript.execute_script is _start_alone and adopt_jobs():  # ty: ignore[redundant-condition-strict]
        PythonScript.execute_script = _start  # ty: ignore[invalid-assignment]
        atexit.register(_close_workers)


def adopt_jobs() -> bool:
    """Become the parent of what workers fork; False, and said so, where the system has no such thing."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
    if prctl is None or prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        logger.warning("Jobs cannot be forked on this system: each starts by itself and imports torch anew.")
        return False
    return True


def _start(script: PythonScript, path: str, edit: bool = False) -> None:
    """Run one script as a job of Snakemake, which waits in a thread of its own."""
    commits.tell_jobs()
    reason = why_alone(script)
    if reason:
        _say_once(f"{reason} start by themselves, not by a worker.")
    _end_if_interrupted(path)
    if reason is not None or (job := _fork(script, path)) is None:
        return _start_alone(script, path, edit)
    process, line = job
    record = script.bench_record
    with benchmarked(process, record) if record is not None else nullcontext():
        with line:
            line.send(b"1")
        _, status, usage = os.wait4(process, 0)
    if record is not None:
        # Of the whole job, where samples miss what comes after the last one.
        record.data_collected = True
        record.max_rss = max(record.max_rss or 0, usage.ru_maxrss / 1024)
        record.cpu_time = usage.ru_utime + usage.ru_stime
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM:
        # Sent to all processes of a run, it may end a job before Snakemake knows that it is to end.
        interrupted.wait(1)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        _say_killed(script)
    if status != 0:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), f"{sys.executable} {path}")


def _say_killed(script: PythonScript) -> None:
    """Tell in a job's log what it could not tell itself."""
    for log in script.log:
        with suppress(OSError), open(log, "a", encoding="utf-8") as file:
            file.write("ERROR: killed (signal 9), as by a system out of memory; the same command goes on\n")


def _end_if_interrupted(path: str) -> None:
    """After Ctrl-C no job begins, although Snakemake waits for those that it has scheduled."""
    if interrupted.is_set():
        raise subprocess.CalledProcessError(128 + signal.SIGINT, f"{sys.executable} {path}")


def why_alone(script: PythonScript) -> str | None:
    """Which jobs start in the usual way, if this one must; "" where that needs no word, None where a worker serves."""
    if not script.is_local or Path(script.local_path).resolve().parent != SCRIPTS:
        return ""
    if not script.config["compute"]["workers"] or Path(script.local_path).name in ALONE:
        return ""
    reasons = {
        "Jobs in conda environments": script.conda_env,
        "Jobs in containers": script.container_img,
        "Jobs with environment modules": script.env_modules,
        "Jobs in shadow folders": script.shadow_dir,
        "Jobs of a shell with a prefix, a suffix or a name": shell._process_prefix
        or shell._process_suffix
        or script.resources.get("shell_exec"),
        "Jobs that may compute on a GPU of AMD's": may_use_amd(script),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


@cache
def _say_once(text: str) -> None:
    logger.info(text)


def may_use_amd(script: PythonScript) -> bool:
    """Whether a job may compute on a GPU of AMD's, where nobody has tried to fork.

    CUDA is started by the forked job: its worker has imported torch, and never asks for a GPU.
    """
    compute = script.params.get("compute") or {"device": "cpu"}
    return compute["device"] != "cpu" and has_amd()


@cache
def has_amd() -> bool:
    """Whether this machine has a GPU of AMD's."""
    return Path("/dev/kfd").exists()


def environment(script: PythonScript) -> dict[str, str]:
    """The environment variables that Snakemake gives to a job; BLAS and OpenMP read theirs while they are imported."""
    threads = {f"{name}_NUM_THREADS": str(script.threads) for name in THREADS}
    folder = script.resources.get("tmpdir")
    folders = dict.fromkeys(FOLDERS, folder) if folder else {}
    return {**os.environ, **threads, "VECLIB_MAXIMUM_THREADS": str(script.threads), **folders}


def _fork(script: PythonScript, path: str) -> tuple[int, socket.socket] | None:
    """(process id, line) of a forked job that waits for a word on its line; None, and said so, where there is none."""
    variables = environment(script)
    message = json.dumps([path, script.local_path]).encode()
    # A worker that was killed has a successor.
    for _ in range(2):
        line, far_end = socket.socketpair()
        with far_end:
            asked = _ask(variables, message, far_end)
        process = line.recv(32) if asked else b""
        if process:
            return int(process), line
        line.close()
        _end_if_interrupted(path)
    logger.warning(f"No worker could fork {path}: it starts by itself.")
    return None


def _ask(variables: dict[str, str], message: bytes, far_end: socket.socket) -> bool:
    key = tuple(sorted(variables.items()))
    with _lock:
        if key not in _workers:
            _workers[key] = _start_worker(variables)
        try:
            socket.send_fds(_workers[key][1], [message], [far_end.fileno()])
        except OSError:
            _close(*_workers.pop(key))
            return False
    return True


def _start_worker(variables: dict[str, str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far_end:
        arguments = [far_end.fileno(), os.getpid(), " " * 512]
        command = [sys.executable, worker.__file__, *map(str, arguments)]
        return subprocess.Popen(command, env=variables, pass_fds=[far_end.fileno()]), control


def _close(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    control.close()
    process.wait()


def _close_workers() -> None:
    with _lock:
        while _workers:
            _close(*_workers.popitem()[1])
