"""One job, one GPU: locks between real processes on GPUs that do not exist."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT

from squeezeproof import gpus, runtime
from squeezeproof.errors import InputError

# Takes a GPU, writes who holds it, and checks that nobody else does, for a while.
HOLDER = """
import os, sys, time
from pathlib import Path
from squeezeproof.gpus import take_gpu

folder, hold, *names = sys.argv[1:]
gpu = names[take_gpu(names, folder=Path(folder), busy=lambda name: False, interval=0.01)]
mine = os.open(f"{folder}/{gpu}.holder", os.O_CREAT | os.O_EXCL)
print(gpu, flush=True)
time.sleep(float(hold))
os.unlink(f"{folder}/{gpu}.holder")
"""


def holder(folder, hold, *names):
    command = [sys.executable, "-c", HOLDER, str(folder), str(hold), *names]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(autouse=True)
def release():
    yield
    while gpus._held:
        gpus._held.pop().close()


def take(folder, *names, busy=(), places=1):
    return gpus.take_gpu(names, folder=folder, places=places, busy=lambda name: name in busy, interval=0.01)


def test_jobs_spread_over_the_cards(tmp_path):
    jobs = [holder(tmp_path, 600, "a", "b", "c") for _ in range(3)]
    assert {job.stdout.readline().strip() for job in jobs} == {"a", "b", "c"}
    for job in jobs:
        job.kill()
        job.communicate()


def test_many_jobs_share_few_cards_one_at_a_time(tmp_path):
    jobs = [holder(tmp_path, 0.2, "a", "b", "c") for _ in range(12)]
    ended = [job.communicate(timeout=60) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 12, ended
    assert {gpu.strip() for gpu, _ in ended} <= {"a", "b", "c"}


def test_jobs_share_cards_as_far_as_they_may_and_spread_first(tmp_path):
    held = [take(tmp_path, "a", "b", places=2) for _ in range(4)]
    assert held == [0, 1, 0, 1]
    waiting = holder(tmp_path, 0, "a", "b")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    waiting.kill()
    waiting.communicate()


def test_memory_that_a_job_of_ours_uses_keeps_no_other_from_its_card(tmp_path):
    assert take(tmp_path, "a", places=2) == 0
    assert take(tmp_path, "a", places=2, busy="a") == 0


def test_a_killed_job_frees_its_card(tmp_path):
    job = holder(tmp_path, 60, "a")
    assert job.stdout.readline() == "a\n"
    waiting = holder(tmp_path, 0, "a")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    # What the killed job leaves goes first: the waiting one has the GPU at once.
    (tmp_path / "a.holder").unlink()
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert waiting.communicate(timeout=30)[0] == "a\n"


def test_a_card_that_other_programs_use_is_left_alone(tmp_path):
    assert take(tmp_path, "a", "b", busy="a") == 1
    # Nor does looking at it keep others from it.
    assert take(tmp_path, "a", "b") == 0


def test_waiting_is_told(tmp_path, caplog):
    holding = holder(tmp_path, 600, "a")
    assert holding.stdout.readline() == "a\n"
    calls = []

    def busy(name):
        calls.append(name)
        return name == "b" and len(calls) < 3

    with caplog.at_level("INFO", "squeezeproof"):
        assert gpus.take_gpu(["a", "b"], folder=tmp_path, busy=busy, interval=0.01) == 1
    assert "waiting for a GPU: 2 here, 1 held by other jobs, 1 used by other programs" in caplog.text
    holding.kill()
    holding.communicate()


def test_the_folder_of_the_locks_is_the_users_own():
    folder = gpus.lock_folder()
    assert folder.stat().st_uid == os.getuid()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_somebody_else_is_refused(monkeypatch):
    owner = gpus.lock_folder()
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    try:
        with pytest.raises(InputError, match="belongs to somebody else"):
            gpus.lock_folder()
    finally:
        (owner.parent / "squeezeproof-4000000001").rmdir()


@pytest.mark.parametrize(("free", "used"), [(79, False), (40, False), (39, True), (0, True)])
def test_a_card_counts_as_used_below_half_of_its_memory(monkeypatch, free, used):
    monkeypatch.setattr(gpus, "_memory", lambda name: SimpleNamespace(free=free, total=80))
    assert gpus.memory_is_used("GPU-0") is used


def test_without_the_drivers_library_no_card_counts_as_used():
    if gpus._memory("GPU-0") is None:
        assert not gpus.memory_is_used("GPU-0")


def fake_cuda(monkeypatch, uuids):
    """torch as it is where it sees GPUs of these UUIDs; returns the list of the indices it was told to use."""
    told = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    monkeypatch.setattr(runtime, "repeat_on_gpus", lambda tf32: None)
    return told


def test_a_gpu_job_gets_the_first_free_one_of_its_visible_cards(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "lock_folder", lambda: tmp_path)
    told = fake_cuda(monkeypatch, ["1111", "2222"])
    holding = holder(tmp_path, 60, "GPU-1111")
    assert holding.stdout.readline() == "GPU-1111\n"
    assert runtime.set_up({"threads": 1, "device": "cuda"}) == torch.device("cuda")
    holding.kill()
    holding.communicate()
    assert told == [1]


KERNELS = """
import os, sys, torch
from squeezeproof.runtime import repeat_on_gpus
repeat_on_gpus(*(True for _ in sys.argv[1:]))
flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
print(*flags, torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory)
print(os.environ["CUBLAS_WORKSPACE_CONFIG"])
"""


@pytest.mark.parametrize("asked, tf32", [((), "False"), (("tf32",), "True")])
def test_kernels_of_a_gpu_repeat_and_multiply_in_float32_unless_tf32_is_asked_for(asked, tf32):
    # The first products of matrices read the variable, so that it is set before them; in a process of its own.
    command = [sys.executable, "-c", KERNELS, *asked]
    told = subprocess.run(command, cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True).stdout
    assert told.split() == [tf32, tf32, "True", "False", ":4096:8"]


def test_tf32_is_asked_for_by_the_study(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "lock_folder", lambda: tmp_path)
    fake_cuda(monkeypatch, ["1111"])
    asked = []
    monkeypatch.setattr(runtime, "repeat_on_gpus", asked.append)
    runtime.set_up({"threads": 1, "device": "cuda"})
    gpus._held.pop().close()
    runtime.set_up({"threads": 1, "device": "cuda", "tf32": True})
    assert asked == [False, True]


def test_how_many_jobs_share_a_card_is_the_studys(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "lock_folder", lambda: tmp_path)
    told = fake_cuda(monkeypatch, ["1111"])
    for _ in range(2):
        runtime.set_up({"threads": 1, "device": "cuda"}, {"compute": {"jobs_per_gpu": 2}})
    gpus._held.pop().close()
    runtime.set_up({"threads": 1, "device": "cuda"}, {"compute": {"jobs_per_gpu": 2}})
    assert told == [0, 0, 0] and len(gpus._held) == 2
    while gpus._held:
        gpus._held.pop().close()
    runtime.set_up({"threads": 1, "device": "cuda"}, {"compute": {"jobs_per_gpu": 1}})
    assert told == [0] * 4


def test_a_cpu_job_takes_no_card_and_never_waits(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "lock_folder", lambda: tmp_path)
    monkeypatch.setattr(runtime, "take_gpu", lambda names, places: pytest.fail(f"it asked for one of {names}"))
    told = fake_cuda(monkeypatch, ["1111"])
    assert runtime.set_up({"threads": 1, "device": "cpu"}) == torch.device("cpu")
    assert told == [] and list(tmp_path.iterdir()) == []
