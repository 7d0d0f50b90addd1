"""A hack: the process that starts jobs by forking, with what their scripts import. Started by `study/workers.py`.

`python worker.py CONTROL PARENT TITLE`: CONTROL is the descriptor of a socket. Each of its messages is a JSON list
[script to run, source of its imports] and carries one descriptor, the job's line to PARENT, the Snakemake process.
The job is no child of this process but of PARENT, the nearest subreaper above: it forks twice, and the process in
between ends. So PARENT reads the job's exit status and what it used, and the end of this process hurts no job.
TITLE is room for the job's command line, which `ps` shows. Linux only.

A job tells what else it imported, which this process imports before it forks the next one of the same source.
"""

import sys
from collections.abc import Iterator, Sequence

# The folder of this file, whose modules are to be imported as squeezeproof.* only.
sys.path.pop(0)

import ast
import ctypes
import gc
import json
import os
import signal
import socket
import time
import types
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

LIBRARY = Path(__file__).resolve().parents[1]
LONGEST_MESSAGE = 2**17
PR_SET_PDEATHSIG = 1
# What Snakemake writes above every script.
PREAMBLE = ("pickle", "snakemake.logging", "snakemake.iocontainers")


def serve(control: socket.socket, parent: int) -> tuple[str, str, socket.socket, int, socket.socket] | None:
    """Fork a job for every message.

    Returns in the job (script, source, line to PARENT, id of the process between, reports), here at the end None.
    """
    # Ctrl-C reaches the whole process group: the jobs end by it, this process by the end of Snakemake.
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    reports, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reports.setblocking(False)
    far_end.setblocking(False)
    known, imported = {}, {}
    while True:
        message, descriptors, *_ = socket.recv_fds(control, LONGEST_MESSAGE, 1)
        if not message:
            return None
        script, source = json.loads(message)
        known.update(received(reports))
        import_modules(source, known, imported)
        line = socket.socket(fileno=descriptors[0])
        between = fork()
        if between == 0:
            between = os.getpid()
            if fork():
                os._exit(0)
            control.close()
            reports.close()
            # Until the script runs, Ctrl-C ends the job without a word.
            own = interrupted is signal.default_int_handler
            signal.signal(signal.SIGINT, signal.SIG_DFL if own else interrupted)
            return script, source, line, between, far_end
        # A job that could not be forked closes its line, and its Snakemake starts it in the usual way.
        line.close()
        if between:
            os.waitpid(between, 0)


def fork() -> int | None:
    """os.fork, None where the system has no room for another process."""
    try:
        return os.fork()
    except OSError:
        return None


def received(reports: socket.socket) -> Iterator[tuple[str, list[str]]]:
    """(source, modules) of the jobs that told what they imported."""
    while True:
        try:
            yield tuple(json.loads(reports.recv(LONGEST_MESSAGE)))
        except BlockingIOError:
            return


def import_modules(source: str, known: dict[str, list[str]], imported: dict[str, list[str]]) -> None:
    """Import what a source imports at its top, and what is known of an earlier job of it."""
    if source not in imported:
        imported[source] = []
        modules = [f"import {name}" for name in PREAMBLE]
        top = ast.parse(Path(source).read_bytes()).body
        statements = modules + [ast.unparse(node) for node in top if isinstance(node, ast.Import | ast.ImportFrom)]
    elif imported[source] != known.get(source, []):
        imported[source] = known[source]
        statements = [f"import {name}" for name in known[source]]
    else:
        return
    for statement in statements:
        try:
            exec(statement, {})
        except Exception:
            # The job imports the same, and fails with its own log and traceback.
            continue
    # Whatever lives now lives on: collecting it would only copy its pages into every job.
    gc.freeze()


def begin(line: socket.socket, between: int, parent: int) -> None:
    """Wait until PARENT has adopted this process and wants it to run; ends this process where PARENT is gone."""
    while os.getppid() == between:
        time.sleep(0.0005)
    # Without Snakemake nobody would read what this job ends with.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with line:
        if os.getppid() != parent:
            os._exit(1)
        line.send(str(os.getpid()).encode())
        if not line.recv(1):
            os._exit(1)


def show_title(command: Sequence[str]) -> None:
    """Let `ps` show a command line in the place of this process's own, cut where that was shorter."""
    # Numbers 48 and 49 of proc(5)'s list, which starts at 1; the second is a name that may hold anything but ")".
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    title = b"".join(os.fsencode(part) + b"\0" for part in command)[: end - start - 1]
    ctypes.memmove(start, title.ljust(end - start, b"\0"), end - start)


def run(script: str, source: str, reports: socket.socket) -> NoReturn:
    """Run a script as `python SCRIPT` does, and end with its exit status."""
    from squeezeproof.jobs import at_end

    at_end.append(partial(report, source, set(sys.modules), reports))
    show_title([sys.executable, script])
    sys.argv = [script]
    sys.path.insert(0, str(Path(script).resolve().parent))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = script
    presses = []

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        presses.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, interrupt)
    try:
        exec(compile(Path(script).read_bytes(), script, "exec"), main.__dict__)
        end(0)
    except BaseException as error:
        # Libraries make errors of their own of what Ctrl-C raises in them, and nobody asks for their traceback.
        end(128 + signal.SIGINT if presses else told(error))


def told(error: BaseException) -> int:
    """The exit status that an error ends a script with, after it is written as Python writes it."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def end(status: int) -> NoReturn:
    """End a forked job without what libraries do at the end of a process.

    ONNX Runtime's threads stayed in the process that forked this one, and it would wait for them for ever.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status & 0xFF)


def report(source: str, before: set[str], reports: socket.socket) -> None:
    """Tell the process that forked this one what was imported since, in order, as far as it was installed."""
    installed = (sys.prefix, sys.base_prefix, str(LIBRARY))
    names = [name for name in sys.modules if name not in before]
    files = {name: getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) or "" for name in names}
    names = [name for name in names if files[name].startswith(installed)]
    with suppress(OSError):
        # Full, too long, or nobody there: the next job imports for itself.
        reports.send(json.dumps([source, names]).encode())


if __name__ == "__main__":
    CONTROL, PARENT = int(sys.argv[1]), int(sys.argv[2])
    # Where the scripts find the library too.
    sys.path.append(str(LIBRARY))
    JOB = serve(socket.socket(fileno=CONTROL), PARENT)
    if JOB is not None:
        SCRIPT, SOURCE, LINE, BETWEEN, REPORTS = JOB
        begin(LINE, BETWEEN, PARENT)
        run(SCRIPT, SOURCE, REPORTS)
