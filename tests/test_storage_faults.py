"""Faults of studies that go through a storage, on two machines: what is lost is made again, and is the same."""

import copy
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Workspace
from test_faults_workflow import scripts_of, tmpfs
from test_storage import needs_fs, stored

from squeezeproof.store.tensors import read_arrays

pytestmark = [pytest.mark.slow, needs_fs]

TABLES = [f"results/tiny/tables/{name}.csv" for name in ("clean_accuracy", "robust_accuracy", "verdicts")]
BASE, PRUNED = "cnn8.standard.none.none.s0", "cnn8.standard.weight-50.standard.s0"
# What a study made before a fault: all but what is wanted, and what leads there.
LOST = ["results/tiny/tables", "results/tiny/predictions"]


class Node(Workspace):
    """A machine that shares nothing with others but a storage."""

    @classmethod
    def of(cls, folder, storage):
        config = copy.deepcopy(TINY) | {"compressions": {"weight": {"ratio": 0.5}}}
        node = cls.create(folder, config)
        node.storage = storage
        return node

    def command(self, *arguments):
        return super().command(*arguments, *stored(self.path, self.storage), "--", *TABLES)


def tables_of(storage):
    return {path: (storage / path).read_bytes() for path in TABLES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The storage of a study that nothing disturbed."""
    folder = tmp_path_factory.mktemp("storage")
    Node.of(folder / "node", folder / "storage").run()
    return folder / "storage"


@pytest.fixture
def storage(undisturbed, tmp_path):
    """A storage in which a part of the study is yet to be made."""
    shutil.copytree(undisturbed, tmp_path / "storage")
    for folder in LOST:
        shutil.rmtree(tmp_path / "storage" / folder)
    return tmp_path / "storage"


@pytest.fixture
def nodes(storage, tmp_path):
    return [Node.of(tmp_path / name, storage) for name in ("first", "second")]


def worker_of(process):
    """The worker of a Snakemake process: of its children with that title the oldest, a job that begins has it too."""
    titled = []
    for child in Path(f"/proc/{process.pid}/task").glob("*/children"):
        for pid in child.read_text().split():
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            titled += [int(pid)] if b"squeezeproof/worker.py" in command else []
    return min(titled)


def assert_the_same_on(node, undisturbed):
    """A machine ends the study, with the tables that it has undisturbed, and leaves nothing else in the storage."""
    node.run()
    assert tables_of(node.storage) == tables_of(undisturbed)
    assert files(node.storage) == files(undisturbed)
    assert node.planned() == {}


def files(storage):
    return {path.relative_to(storage) for path in storage.rglob("*") if path.is_file()}


@pytest.mark.parametrize("victim", ["a job", "a worker", "Snakemake"])
def test_whatever_is_killed_another_machine_ends_the_study(nodes, undisturbed, victim):
    first, second = nodes
    process = first.start()
    first.wait_for(process, lambda: scripts_of(first, "predict"))
    if victim == "Snakemake":
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    else:
        for pid in [worker_of(process)] if victim == "a worker" else scripts_of(first, "predict"):
            os.kill(pid, signal.SIGKILL)
        assert (process.wait(timeout=600) == 0) is (victim == "a worker")
    assert_the_same_on(second, undisturbed)


def test_the_machine_itself_goes_on_after_a_kill_where_it_is_unlocked(nodes, undisturbed):
    first, _ = nodes
    first.kill_when(first.start(), lambda: scripts_of(first, "predict"))
    first.run("--unlock")
    assert_the_same_on(first, undisturbed)


@pytest.fixture
def small(storage, tmp_path):
    """Makes the storage a file system of its own, of a given kind."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options):
        tmpfs(disk, "size=64m")
        shutil.copytree(storage, disk, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)
        return disk

    yield mount
    subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.parametrize(
    ("fault", "mended", "told"),
    [("size=2m", "size=64m", "No space left on device"), ("ro", "rw", "Read-only file system")],
)
def test_a_storage_that_takes_no_files_is_named_and_afterwards_the_run_goes_on(
    nodes, undisturbed, small, fault, mended, told
):
    disk = small(fault)
    for node in nodes:
        node.storage = disk
    if fault != "ro":
        (disk / "filler").write_bytes(b"")
        with pytest.raises(OSError, match=told), open(disk / "filler", "wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
    output = nodes[0].run(ok=False)
    assert told in output and str(disk) in output
    subprocess.run(["mount", "-o", f"remount,{mended}", str(disk)], check=True)
    (disk / "filler").unlink(missing_ok=True)
    assert_the_same_on(nodes[1], undisturbed)


@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_a_file_that_is_lost_in_the_storage_is_made_again(nodes, undisturbed, how):
    first, second = nodes
    path = first.storage / f"results/tiny/adversarial/digits/{BASE}/pgd-eps0.1.safetensors"
    content, arrays = path.read_bytes(), read_arrays(path)
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2])
        output = first.run(ok=False)
        assert path.name in output and "run again" in output and "Traceback" not in output
        path.unlink()
    assert_the_same_on(second, undisturbed)
    # Its metadata say how long it took.
    np.testing.assert_equal(read_arrays(path), arrays)
