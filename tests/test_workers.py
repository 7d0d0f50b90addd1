"""Workers, which fork jobs: a forked job is what a started one is, and no fault of one process hurts another."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT
from snakemake.benchmark import BenchmarkRecord
from snakemake.script import PythonScript

from squeezeproof.study import workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux only")


class Local(PythonScript):
    """A script of a rule, as Snakemake hands it to a worker."""

    def __init__(self, path, threads=1, record=None, **others):
        values = {"conda_env": None, "container_img": None, "env_modules": None, "shadow_dir": None}
        values |= {"params": {}, "resources": {}, "is_local": True, "singularity_args": "", "log": []}
        values |= {"config": {"compute": {"workers": True}}}
        values |= {"conda_base_path": None, "runtime_paths": None, "threads": threads, "bench_record": record}
        vars(self).update(values | others)
        self.path = SimpleNamespace(get_path_or_uri=lambda secret_free: str(path))


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """Workers that take the scripts of a temporary folder for the workflow's own."""
    assert workers.adopt_jobs()
    monkeypatch.setattr(workers, "SCRIPTS", tmp_path.resolve())
    yield
    workers._close_workers()
    workers.ctypes.CDLL(None).prctl(workers.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def write(tmp_path):
    def script(text, name="job.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return script


def run(path, **others):
    """Let a worker run a script; the exit status of its process."""
    try:
        workers._start(Local(path, **others), str(path))
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def in_background(path, **others):
    """(thread, list that will hold the exit status) of a job that runs beside others."""
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(run(path, **others)))
    thread.start()
    return thread, statuses


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def gone(process):
    """Whether a process has ended, whoever has to bury it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


SURROUNDINGS = """
import json, os, resource, signal, sys, threading
from pathlib import Path
seen = {
    "environment": dict(os.environ),
    "argv": sys.argv,
    "path": [entry for entry in sys.path],
    "main": [__name__, __file__, sys.modules["__main__"].__file__],
    "folder": os.getcwd(),
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
    "group": os.getpgrp(),
    "command": Path("/proc/self/cmdline").read_bytes().rstrip(b"\\0").decode().split("\\0"),
    "threads": threading.active_count(),
    "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
    "files": sorted(name for name in os.listdir("/proc/self/fd") if int(name) > 2),
}
Path(sys.argv[0]).with_suffix(".json").write_text(json.dumps(seen))
"""


def test_a_forked_job_sees_what_a_started_one_sees(pool, write, tmp_path):
    path = write(SURROUNDINGS)
    script = Local(path, threads=3, resources={"tmpdir": str(tmp_path)})
    # As before the first job of a run.
    workers.commits.tell_jobs()
    workers._start_alone(script, str(path))
    started = json.loads(path.with_suffix(".json").read_text())
    workers._start(script, str(path))
    forked = json.loads(path.with_suffix(".json").read_text())
    # The preamble of a real script has the library's folder, and imports Snakemake, which adds the other.
    added = set(forked["path"]) - set(started["path"])
    assert added <= {str(workers.worker.LIBRARY), ".snakemake/pip-deployments"}
    assert forked["path"][0] == started["path"][0]
    # Of the shell in between, and of the folder that was listed.
    for seen in (started, forked):
        for name in ("SHLVL", "_"):
            seen["environment"].pop(name, None)
        assert len(seen.pop("files")) <= 2
        # A forked job tells Ctrl-C from an error.
        assert "int" in seen["signals"].pop(0)
        del seen["path"]
    assert forked == started
    assert forked["environment"]["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    "text, status",
    [
        ("print('done')", 0),
        ("import sys; sys.exit('no such thing')", 1),
        ("raise ValueError", 1),
        ("import os; os._exit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import no_such_module", 1),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit(300)", 300 - 256),
        # What a library does at the end of a process may wait for threads that a fork does not have.
        ("import ctypes; ctypes.CDLL(None).on_exit(ctypes.CDLL(None).pause, None); raise SystemExit(3)", 3),
        ("import ctypes; ctypes.CDLL(None).on_exit(ctypes.CDLL(None).pause, None); raise ValueError", 1),
        ("import ctypes; ctypes.CDLL(None).on_exit(ctypes.CDLL(None).pause, None)", 0),
    ],
)
def test_a_job_ends_as_its_script_does_and_the_next_one_runs(pool, write, text, status):
    assert run(write(text)) == status
    assert run(write("import os", "next.py")) == 0


def test_what_a_job_prints_arrives(pool, write, capfd):
    assert run(write("import sys; print('out'); sys.exit('what is wrong')")) == 1
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("out\n", "what is wrong\n")


def test_jobs_run_side_by_side(pool, write, tmp_path):
    wait = "while not Path(sys.argv[0]).with_name('go').exists(): time.sleep(0.01)"
    waiting = write(f"import sys, time\nfrom pathlib import Path\n{wait}")
    thread, statuses = in_background(waiting)
    assert run(write("from pathlib import Path; Path(__file__).with_name('go').touch()", "other.py")) == 0
    thread.join(30)
    assert statuses == [0]


def test_a_leak_and_an_import_of_the_users_stay_in_their_job(pool, write, tmp_path):
    write("value = 1", "mine.py")
    assert run(write("import sys; sys.path.append(sys.path[0]); sys.leak = b'1' * 2**28; import mine")) == 0
    record = BenchmarkRecord()
    check = "import sys; assert not hasattr(sys, 'leak') and 'mine' not in sys.modules"
    assert run(write(check), record=record) == 0
    assert record.max_rss < 2**8


def test_cpu_time_and_memory_are_of_the_job(pool, write):
    busy = "import time\nblock = b'1' * 2**28\nwhile time.process_time() < 0.4: pass"
    record = BenchmarkRecord()
    assert run(write(busy), record=record) == 0
    assert 0.4 <= record.cpu_time < 5 and 256 <= record.max_rss < 1024 and record.running_time >= 0.4


JOB = """
import threading, time
from types import SimpleNamespace
from squeezeproof.jobs import job
snakemake = SimpleNamespace(rule="r", log=[__file__ + ".log"], config={"allow_factories": []})
with job(snakemake):
    %s
"""


def test_a_thread_that_is_left_does_not_hold_the_job(pool, write):
    start = time.monotonic()
    assert run(write(JOB % "threading.Thread(target=time.sleep, args=[120]).start()")) == 0
    assert time.monotonic() - start < 60


def test_what_one_job_imports_late_the_next_one_finds(pool, write, tmp_path):
    path = write(
        JOB % "import sys; print('colorsys' in sys.modules, file=open(__file__ + '.out', 'a')); import colorsys"
    )
    for _ in range(3):
        assert run(path) == 0
    assert (tmp_path / "job.py.out").read_text().split() == ["False", "True", "True"]


# --- SIGKILL


def sleeping(write):
    return write("import os, sys, time\nopen(sys.argv[0] + '.pid', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(4)")


def test_a_killed_worker_hurts_no_job_and_has_a_successor(pool, write, tmp_path):
    thread, statuses = in_background(sleeping(write))
    wait_for((tmp_path / "job.py.pid").exists)
    [(killed, _)] = workers._workers.values()
    killed.kill()
    killed.wait()
    assert run(write("print(1)", "next.py")) == 0
    [(successor, _)] = workers._workers.values()
    assert successor.pid != killed.pid
    thread.join(60)
    assert statuses == [0]


def test_a_killed_job_takes_nobody_with_it(pool, write, tmp_path):
    victim, others = sleeping(write), write("import time; time.sleep(2)", "other.py")
    log = tmp_path / "job.log"
    first, second = in_background(victim, log=[log]), in_background(others, log=[tmp_path / "none" / "other.log"])
    pid = tmp_path / "job.py.pid"
    wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
    os.kill(int(pid.read_text()), signal.SIGKILL)
    for thread, _ in (first, second):
        thread.join(60)
    assert (first[1], second[1]) == ([-9], [0])
    assert log.read_text().startswith("ERROR: killed (signal 9)")


MAIN = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_workers import Local, workers
workers.adopt_jobs()
workers.SCRIPTS = Path({script!r}).resolve().parent
workers._start(Local({script!r}), {script!r})
"""


def test_a_killed_snakemake_leaves_no_process(write, tmp_path):
    script = sleeping(write)
    path = [str(ROOT / "tests"), str(ROOT / "workflow_scripts")]
    main = subprocess.Popen([sys.executable, "-c", MAIN.format(path=path, script=str(script))])
    pid = tmp_path / "job.py.pid"
    wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
    children = Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split()
    assert pid.read_text().strip() in children and len(children) == 2
    main.kill()
    main.wait()
    wait_for(lambda: all(map(gone, children)), seconds=3)


BEGIN = """
import sys
sys.path[:0] = {path!r}
import os, socket
from squeezeproof import worker
ours, theirs = socket.socketpair()
ours.send(b"1")
worker.begin(theirs, between=0, parent=int({parent}))
print("ran")
"""


def test_a_job_whose_snakemake_is_gone_ends_before_it_begins():
    for parent, output in (("os.getppid()", "ran\n"), ("os.getppid() + 1", "")):
        code = BEGIN.format(path=[str(ROOT / "workflow_scripts")], parent=parent)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
        assert (done.stdout, done.returncode) == (output, 0 if output else 1)


# --- Where no worker serves


def test_a_job_that_no_worker_can_fork_starts_by_itself_and_says_so(pool, write, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(workers.logger, "warning", said.append)
    monkeypatch.setattr(workers.worker, "__file__", str(write("raise SystemExit(3)", "broken.py")))
    assert run(write("from pathlib import Path; Path(__file__).with_name('done').touch()")) == 0
    assert (tmp_path / "done").exists()
    assert len(said) == 1 and "starts by itself" in said[0]


@pytest.mark.parametrize("others", [{}, {"conda_env": "env"}], ids=["forked", "started"])
def test_after_ctrl_c_no_job_begins(pool, write, tmp_path, monkeypatch, others):
    monkeypatch.setattr(workers, "_start_alone", None)
    path = write("from pathlib import Path; Path(__file__).with_name('begun').touch()")
    workers.interrupted.set()
    try:
        assert run(path, **others) == 128 + signal.SIGINT
    finally:
        workers.interrupted.clear()
    assert not (tmp_path / "begun").exists()


def test_a_job_that_ctrl_c_ends_before_it_has_a_log_says_nothing(pool, write, capfd):
    press = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    of_a_library = f"try:\n    {press}\nexcept BaseException:\n    raise ValueError"
    assert run(write(press)) == run(write(of_a_library, "library.py")) == 128 + signal.SIGINT
    assert capfd.readouterr() == ("", "")


def test_a_system_without_room_for_a_process_is_no_fault_of_the_worker(monkeypatch):
    def full():
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    assert workers.worker.fork() is None


@pytest.mark.parametrize(
    "others, word",
    [
        ({}, None),
        ({"params": {"compute": {"device": "cpu"}}}, None),
        ({"params": {"compute": {"device": "cuda"}}}, "AMD"),
        ({"params": {"compute": {"device": "auto"}}}, "AMD"),
        ({"conda_env": "envs/1"}, "conda"),
        ({"container_img": "image.sif"}, "containers"),
        ({"env_modules": "python/3.11"}, "modules"),
        ({"shadow_dir": "shadow"}, "shadow"),
        ({"resources": {"shell_exec": "zsh"}}, "shell"),
        ({"config": {"compute": {"workers": False}}}, ""),
    ],
)
def test_who_starts_alone(pool, write, monkeypatch, others, word):
    monkeypatch.setattr(workers, "has_amd", lambda: True)
    reason = workers.why_alone(Local(write(""), **others))
    assert reason == word if not word else word in reason


def test_a_script_of_another_workflow_starts_alone(pool, tmp_path):
    assert workers.why_alone(Local(tmp_path / "elsewhere" / "job.py")) == ""
    assert workers.why_alone(Local("https://example.org/job.py", is_local=False)) == ""


def test_measurements_of_time_start_alone(pool, tmp_path):
    assert workers.why_alone(Local(tmp_path / "measure_latency.py")) == ""
    assert (ROOT / "workflow_scripts/measure_latency.py").exists()


@pytest.mark.slow
def test_a_study_without_workers_makes_the_same_files(finished, fresh):
    fresh.config["compute"]["workers"] = False
    fresh.run()
    assert fresh.tables() == finished.tables()
    for kind in ("models/**/*.safetensors", "predictions/**/*.safetensors"):
        made = {path.relative_to(fresh.results): path.read_bytes() for path in fresh.results.glob(kind)}
        assert made
        assert made == {path.relative_to(finished.results): path.read_bytes() for path in finished.results.glob(kind)}
