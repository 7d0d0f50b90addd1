"""Start Snakemake by forking, from a process that has imported what Snakemake and its jobs need of installed packages.

To import it anew takes longer than most runs in the tests do. A forked Snakemake reads the workflow and its library
from the folder that it is started in, as one that is started by itself does. So does its worker
(`workflow_scripts/squeezeproof/worker.py`), which is forked too, from a process that Snakemake never ran in.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache, partial

# None of them starts a thread, which a fork would lack: onnxruntime does.
PACKAGES = [
    "snakemake.cli", "snakemake.script", "snakemake.executors.local", "snakemake.profiles", "snakemake.benchmark",
    "snakemake.report.html_reporter", "smart_open", "yte", "sysrsync", "argparse_dataclass", "torch", "torchvision",
    "torch_pruning", "numpy",
    "matplotlib.pyplot", "matplotlib.backends.backend_svg", "pandas", "scipy.stats", "scipy.optimize", "pydantic",
    "sklearn.datasets", "sklearn.manifold", "PIL.Image", "safetensors.torch", "jinja2", "yaml",
]  # fmt: skip
# Tests and their jobs have one thread; BLAS and OpenMP read how many while they are imported.
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
LONGEST_MESSAGE = 2**17


# In the process of the tests


def run(arguments, folder):
    """(exit status, output) of `python -m snakemake ARGUMENTS` in a folder, with the variables of this process."""
    with tempfile.TemporaryFile() as output:
        message = json.dumps([list(arguments), str(folder), dict(os.environ)]).encode()
        control = server()
        socket.send_fds(control, [message], [output.fileno()])
        status = int(control.recv(32))
        output.seek(0)
        return status, output.read().decode()


@cache
def server():
    """The socket of the process that forks, which ends with this one."""
    control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The second argument is room for what `ps` shows of a job.
    command = [sys.executable, __file__, str(far_end.fileno()), " " * 512]
    with far_end:
        process = subprocess.Popen(command, env=os.environ | THREADS, pass_fds=[far_end.fileno()])

    def close():
        control.close()
        process.wait()

    atexit.register(close)
    return control


# In the process that forks


def serve(control):
    """Fork a Snakemake for every message, and answer with its exit status."""
    for package in PACKAGES:
        importlib.import_module(package)
    gc.freeze()
    while True:
        message, descriptors, *_ = socket.recv_fds(control, LONGEST_MESSAGE, 1)
        if not message:
            return
        process = os.fork()
        if process == 0:
            control.close()
            os.dup2(descriptors[0], 1)
            os.dup2(descriptors[0], 2)
            become_snakemake(*json.loads(message))
        os.close(descriptors[0])
        _, status = os.waitpid(process, 0)
        control.send(str(os.waitstatus_to_exitcode(status)).encode())


def become_snakemake(arguments, folder, variables):
    """Do in this process what `python -m snakemake` does in a new one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = [os.path.join(os.path.dirname(sys.modules["snakemake"].__file__), "__main__.py"), *arguments]
    Popen.nursery = start_nursery()
    subprocess.Popen = Popen
    sys.path[0] = folder
    end(sys.modules["snakemake.cli"].main)


class Popen(subprocess.Popen):
    """Takes a worker from the nursery, where that has as many threads as the worker is to have."""

    def __init__(self, command, **options):
        environment, worker = options.get("env") or {}, "squeezeproof/worker.py"
        self.taken = str(command[1:2]).endswith(f"{worker}']") and environment.items() >= THREADS.items()
        if not self.taken:
            super().__init__(command, **options)
            return
        message = json.dumps([command[1:], environment]).encode()
        socket.send_fds(self.nursery, [message], options["pass_fds"])
        self.pid = int(self.nursery.recv(32))

    def wait(self, timeout=None):
        return os.waitpid(self.pid, 0) if self.taken else super().wait(timeout)


def start_nursery():
    """The socket of a fork of this process that forks workers, as those fork jobs: this process adopts them."""
    control, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        far_end.close()
        return control
    control.close()
    # Ctrl-C reaches the whole process group; this process ends after the one that it serves.
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, descriptors, *_ = socket.recv_fds(far_end, LONGEST_MESSAGE, 1)
        if not message:
            os._exit(0)
        between = os.fork()
        if between == 0:
            if worker := os.fork():
                far_end.send(str(worker).encode())
                os._exit(0)
            far_end.close()
            signal.signal(signal.SIGINT, interrupted)
            end(partial(become_worker, descriptors[0], *json.loads(message)))
        os.close(descriptors[0])
        os.waitpid(between, 0)


def become_worker(descriptor, arguments, variables):
    """Do in this process what `python worker.py` does in a new one."""
    os.environ.clear()
    os.environ.update(variables)
    script, _, *others = arguments
    sys.argv = [script, str(descriptor), *others]
    sys.path[0] = os.path.dirname(script)
    runpy.run_path(script, run_name="__main__")


def end(function):
    """Call a function and end this process as Python does after a script, but without freeing everything.

    To free what a fork shares with others is to copy it first, which takes longer than many runs.
    """
    status = 0
    try:
        function()
    except SystemExit as ended:
        status = ended.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])))
