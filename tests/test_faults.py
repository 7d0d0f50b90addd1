"""A matrix of faults: after each a message that names the file and what to do, nothing finished lost, the same result.

Every kind of job runs its real script in this process (`job_examples`); tests/test_faults_workflow.py does the same to
whole runs of Snakemake. Faults are drawn from fixed seeds.
"""

import hashlib
import os
import random
import re
import resource
import signal
import subprocess
import tarfile
import time
import zlib
from contextlib import contextmanager
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from job_examples import ATTACKS, BASE, PRUNED, Jobs
from pairwise import by_turns, paired
from torch import nn

from squeezeproof.audit.findings import FAILURE, read_findings
from squeezeproof.datasets import downloads
from squeezeproof.errors import InputError
from squeezeproof.store.csvs import read_rows
from squeezeproof.store.tensors import read_arrays, read_metadata

ORDER = Jobs("/nowhere").order
# Images that a source is looked over with before an attack, and steps of an epoch.
PROBED, STEPS = 8, 19
# Plots take longest, and one script makes all of them: plot_heatmap stands for them.
SLOW = ("plot_weights", "plot_training")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in ORDER]
PAIRS = [
    pytest.param(name, path.name, marks=[pytest.mark.slow] * (name in SLOW))
    for name in ORDER
    for path in Jobs("/nowhere").inputs(name)
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Every job of the study after one run of each, with the seconds that it took."""
    jobs = Jobs(tmp_path_factory.mktemp("undisturbed") / "jobs")
    jobs.seconds = {}
    for name in jobs.order:
        began = time.perf_counter()
        jobs.run(name)
        jobs.seconds[name] = time.perf_counter() - began
    return jobs


@pytest.fixture
def jobs(undisturbed, tmp_path):
    jobs = undisturbed.clone(tmp_path / "jobs")
    # A slow machine keeps what was found, and a job that finds it there does not do its work.
    for kept in jobs.folder.rglob("*.kept"):
        kept.unlink()
    return jobs


def content(path):
    """What a file holds, without measured seconds and the digest that covers them."""
    if path.suffix == ".safetensors":
        metadata = {key: value for key, value in read_metadata(path).items() if key != "seconds"}
        return metadata, {name: array.tobytes() for name, array in read_arrays(path).items()}
    if path.name == "crafting.csv":
        return [{key: value for key, value in row.items() if key != "seconds"} for row in read_rows(path)]
    return path.read_bytes()


def assert_same(jobs, undisturbed, name):
    """Every output of a job is there as in the undisturbed run, and nothing else that a writer left.

    What was found is kept where finding it took long, as on a machine that has other work to do.
    """
    for ours, theirs in zip(jobs.outputs(name), undisturbed.outputs(name), strict=True):
        assert content(ours) == content(theirs), ours.name
    left = {path.name for path in jobs.folder.iterdir()} - {path.name for path in undisturbed.folder.iterdir()}
    assert not {name for name in left if not name.endswith(".kept")}


def refused(jobs, name):
    """The message that a job ends in: of one line, without a traceback, the same in its log."""
    with pytest.raises(SystemExit) as caught:
        jobs.run(name)
    message = str(caught.value.code)
    assert message.startswith(f"{jobs.jobs[name].rule}: ")
    assert "Traceback" not in Path(jobs.jobs[name].log[0]).read_text()
    return message


# --- SIGKILL


@pytest.mark.parametrize(
    "attempt", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_job_leaves_whole_files_or_none_and_its_rerun_the_same(jobs, undisturbed, name, attempt):
    share = random.Random(f"{name} {attempt}").random()
    for path in jobs.outputs(name):
        path.unlink()
    child = jobs.fork(name)
    time.sleep(share * undisturbed.seconds[name])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for ours, theirs in zip(jobs.outputs(name), undisturbed.outputs(name), strict=True):
        assert not ours.exists() or content(ours) == content(theirs)
    for path in jobs.inputs(name):
        assert path.read_bytes() == (undisturbed.folder / path.name).read_bytes()
    jobs.run(name)
    assert_same(jobs, undisturbed, name)


# --- Disks


@contextmanager
def file_size_limit(size):
    """Every write beyond `size` bytes of a file fails, as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 10])
@pytest.mark.parametrize("name", NAMES)
def test_a_write_that_fails_names_the_file_and_keeps_the_old_one(jobs, undisturbed, name, size):
    with file_size_limit(size):
        message = refused(jobs, name)
    assert re.search(r": cannot be written \(File too large\); raise the limit on file sizes .*run again", message)
    assert str(jobs.folder) in message
    # What was finished before is still there, each whole.
    for ours, theirs in zip(jobs.outputs(name), undisturbed.outputs(name), strict=True):
        assert content(ours) == content(theirs)
    jobs.run(name)
    assert_same(jobs, undisturbed, name)


@contextmanager
def mounted(folder, options):
    """A tmpfs at `folder`; the test is skipped where this user may mount none."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def redirect(jobs, name, folder):
    """Let a job write into another folder."""
    output = jobs.jobs[name].output
    output[:] = [str(folder / Path(path).name) for path in output]
    output.named = {key: str(folder / Path(path).name) for key, path in output.named.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_named_and_its_rerun_with_space_the_same(jobs, undisturbed, name, tmp_path):
    full = tmp_path / "full"
    with mounted(full, "size=16k"):
        (full / "filler").write_bytes(bytes(12 << 10))
        redirect(jobs, name, full)
        with open(full / "more", "wb", buffering=0) as file:
            try:
                while file.write(bytes(512)):
                    pass
            except OSError:
                pass
        message = refused(jobs, name)
        assert re.search(r": cannot be written \(No space left on device\); free space .* run again", message)
        assert str(full) in message
        assert not [path for path in full.iterdir() if path.name not in ("filler", "more")]
    jobs.run(name)
    for ours, theirs in zip(jobs.outputs(name), undisturbed.outputs(name), strict=True):
        assert content(ours) == content(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_read_only_folder_is_named(jobs, undisturbed, name, tmp_path):
    sealed = tmp_path / "sealed"
    with mounted(sealed, "size=1m,ro"):
        redirect(jobs, name, sealed)
        message = refused(jobs, name)
    assert re.search(r": cannot be written \(Read-only file system\); make it writable and run again", message)
    assert str(sealed) in message


@pytest.mark.parametrize("name", NAMES)
def test_a_log_that_cannot_be_written_is_named(jobs, name, tmp_path):
    sealed = tmp_path / "sealed"
    with mounted(sealed, "size=1m,ro"):
        jobs.jobs[name].log = [str(sealed / "job.log")]
        with pytest.raises(SystemExit, match=r"job\.log: cannot be written"):
            jobs.run(name)


# --- Inputs and outputs that are truncated or altered


def damage(path, how, rng):
    """Truncate a file or flip one of its bits; returns nothing where it cannot be damaged so."""
    old = path.read_bytes()
    header = 8 + int.from_bytes(old[:8], "little") if path.suffix == ".safetensors" else len(old) // 3
    new = bytearray(old)
    match how:
        case "empty":
            new = b""
        case "header cut":
            new = old[: rng.randrange(1, header)]
        case "data cut":
            new = old[: rng.randrange(header, len(old))]
        case "last byte":
            new = old[:-1]
        case "header bit":
            new[rng.randrange(8, header)] ^= 1 << rng.randrange(8)
        case "data bit":
            new[rng.randrange(header, len(old))] ^= 1 << rng.randrange(8)
    path.write_bytes(new)


DAMAGES = ["empty", "header cut", "data cut", "last byte", "header bit", "data bit"]
# Inputs of which a job needs the metadata, or some of the arrays, and which only other jobs read whole.
IN_PART = {
    ("audit_sets", f"{BASE}.safetensors"),
    *(("write_audit", f"{name}.safetensors") for name in (BASE, PRUNED, "train", "test")),
    *(("write_tables", f"{name}.safetensors") for name in (BASE, PRUNED)),
    *(("write_costs", f"{name}.safetensors") for name in ATTACKS),
    *(("write_unsupported", f"{name}.safetensors") for name in (BASE, PRUNED, *ATTACKS)),
    # It waits for this table without a look at it.
    ("check_audit", "robust_accuracy.csv"),
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize(("name", "damaged"), PAIRS)
def test_a_damaged_input_is_named_and_made_again_gives_the_same(jobs, undisturbed, name, damaged, how):
    path = jobs.folder / damaged
    damage(path, how, random.Random(f"{name} {damaged} {how}"))
    try:
        jobs.run(name)
        message = unread(jobs, name, damaged)
    except SystemExit as ended:
        message = str(ended.code)
        assert "Traceback" not in Path(jobs.jobs[name].log[0]).read_text()
    if message is not None:
        assert str(path) in message
        assert re.search(r"remove it and run again|make it again: snakemake .* --forcerun", message), message
    path.write_bytes((undisturbed.folder / damaged).read_bytes())
    jobs.run(name)
    assert_same(jobs, undisturbed, name)


def unread(jobs, name, damaged):
    """The message of a finding on a set that the audit could not read, None of a job that needs the file in part."""
    if name == "audit_sets" and (name, damaged) not in IN_PART:
        [finding, *_] = read_findings(jobs.outputs(name)[0])
        assert (finding.verdict, finding.check) == (FAILURE, 2)
        return finding.message
    assert (name, damaged) in IN_PART
    return None


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["train", "compress"])
def test_a_damaged_resume_file_starts_over_and_ends_the_same(jobs, undisturbed, name, how, monkeypatch):
    output = jobs.outputs(name)[0]
    resume = output.with_name(f"{output.name}.resume")
    with monkeypatch.context() as patch:
        # The end of the training is never reached.
        patch.setattr("squeezeproof.training.history.write_history", interrupt)
        with pytest.raises(SystemExit, match="130"):
            jobs.run(name)
    [path] = output.parent.glob(f"{resume.name}*")
    damage(path, how, random.Random(f"{name} {how}"))
    jobs.run(name)
    assert "starting over" in Path(jobs.jobs[name].log[0]).read_text()
    assert_same(jobs, undisturbed, name)


def interrupt(*_):
    raise KeyboardInterrupt


# --- Memory, numbers, downloads


@pytest.mark.parametrize("fits", [1, 2, 3, 7, 39])
@pytest.mark.parametrize("name", ["craft pgd-eps0.1", "predict base", "probe"])
def test_a_gpu_out_of_memory_halves_its_batches_and_ends_the_same(jobs, undisturbed, name, fits, monkeypatch):
    real, calls = nn.Conv2d.forward, []

    def limited(layer, pixels):
        calls.append(len(pixels))
        if len(pixels) > max(fits, PROBED):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(layer, pixels)

    monkeypatch.setattr(nn.Conv2d, "forward", limited)
    jobs.run(name)
    assert max(calls) > fits or fits == 39
    for ours, theirs in zip(jobs.outputs(name), undisturbed.outputs(name), strict=True):
        assert_close(ours, theirs)


def assert_close(ours, theirs):
    """Equal but for the rounding of other batch sizes."""
    if ours.suffix != ".safetensors":
        return assert_same_findings(ours, theirs)
    first, second = read_arrays(ours), read_arrays(theirs)
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_allclose(first[key], second[key], rtol=1e-4, atol=1e-4)


def assert_same_findings(ours, theirs):
    told = [[(finding.check, finding.verdict) for finding in read_findings(path)] for path in (ours, theirs)]
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["train", "compress"])
def test_a_training_that_a_gpu_does_not_hold_names_the_batch_size(jobs, name, monkeypatch):
    real = nn.Conv2d.forward

    def full(layer, pixels):
        if layer.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(layer, pixels)

    monkeypatch.setattr(nn.Conv2d, "forward", full)
    message = refused(jobs, name)
    assert "the GPU's memory does not hold" in message and "lower its batch_size" in message


def test_memory_that_ends_is_told_without_a_traceback(jobs, monkeypatch):
    monkeypatch.setattr("squeezeproof.store.tensors.parts", exhausted)
    assert "out of memory" in refused(jobs, "prepare")


def exhausted(*_):
    raise MemoryError("Unable to allocate 4 TiB")


@pytest.mark.parametrize(
    ("name", "value", "step"),
    paired(
        *(["train", "compress"], [float("nan"), float("inf")], [0, 1, STEPS, STEPS + 2]),
        # The fine-tuning has fewer steps.
        where=lambda name, _, step: name == "train" or step < STEPS,
    ),
)
def test_a_training_that_breaks_names_the_learning_rate_and_goes_on_from_its_last_epoch(
    jobs, undisturbed, name, value, step, monkeypatch
):
    real, count = nn.CrossEntropyLoss.forward, iter(range(10**6))

    def broken(layer, *arguments):
        loss = real(layer, *arguments)
        return loss * value if next(count) == step else loss

    with monkeypatch.context() as patch:
        patch.setattr(nn.CrossEntropyLoss, "forward", broken)
        message = refused(jobs, name)
    assert "training diverged in epoch" in message and "lower learning_rate" in message
    jobs.run(name)
    assert ("resumed after epoch" in Path(jobs.jobs[name].log[0]).read_text()) is (step >= STEPS)
    assert_same(jobs, undisturbed, name)


FAILURES = [
    URLError("no route"), ConnectionResetError(104, "Connection reset by peer"), TimeoutError("timed out"),
    IncompleteRead(b"half"), RuntimeError("File not found or corrupted."), EOFError("ended early"), zlib.error("-3"),
    tarfile.ReadError("unexpected end of data"), OSError(5, "Input/output error"),
]  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("partial", [None, b"", b"hal"])
def test_an_interrupted_download_names_the_files_and_is_taken_up_again(tmp_path, failure, partial):
    sums = {"a": md5(b"whole a"), "b": md5(b"whole b")}

    def fail():
        (tmp_path / "a").write_bytes(b"whole a")
        if partial is not None:
            (tmp_path / "b").write_bytes(partial)
        raise failure

    def succeed():
        for name in sums:
            (tmp_path / name).write_bytes(f"whole {name}".encode())

    with pytest.raises(InputError, match=r"a, b missing, and the download failed .*try again") as caught:
        downloads._provide(tmp_path, sums, True, fail)
    assert str(caught.value).startswith(str(tmp_path))
    if partial is not None:
        # A complete list of files is not downloaded again: the one that is cut short is named.
        with pytest.raises(InputError, match=r"b: truncated or altered .*remove it and run again"):
            downloads._provide(tmp_path, sums, True, succeed)
        (tmp_path / "b").unlink()
    downloads._provide(tmp_path, sums, True, succeed)
    assert (tmp_path / "a").read_bytes() == b"whole a"


def test_a_full_disk_is_not_told_as_a_download_that_failed(tmp_path):
    def fail():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        downloads._provide(tmp_path, {"a": md5(b"whole a")}, True, fail)


@pytest.mark.parametrize("how", ["empty", "header cut", "last byte", "header bit", "data bit"])
@pytest.mark.parametrize("download", [True, False])
def test_a_damaged_raw_file_is_named_and_not_downloaded_over(tmp_path, how, download):
    content = random.Random(0).randbytes(1000)
    path = tmp_path / "train-images"
    path.write_bytes(content)
    damage(path, how, random.Random(how))
    with pytest.raises(InputError, match="truncated or altered") as caught:
        downloads._provide(tmp_path, {path.name: md5(content)}, download, lambda: pytest.fail("nothing is missing"))
    assert str(path) in str(caught.value)


def md5(content):
    return hashlib.md5(content).hexdigest()


# --- Clocks


@pytest.mark.parametrize(("name", "moved"), by_turns(ORDER, [-(10**9), 10**9]))
def test_no_job_looks_at_the_clock(jobs, undisturbed, name, moved, monkeypatch):
    now = time.time() + moved
    for path in jobs.folder.rglob("*"):
        os.utime(path, (now, now))
    monkeypatch.setattr(time, "time", lambda: now)
    jobs.run(name)
    assert_same(jobs, undisturbed, name)
