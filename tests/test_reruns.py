"""Content decides what runs again, also of large files and without the default profile."""

import inspect
import os
import shutil
import subprocess

import numpy as np
import pytest
import torch
from conftest import Workspace
from PIL import Image
from safetensors.numpy import save_file
from snakemake.io import _IOFile
from snakemake.jobs import Job

from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors
from squeezeproof.study import reruns
from squeezeproof.study.reruns import header_digest

IMAGES, SIDE = 1024, 128
NETWORK = """
import torch


def linear(*, in_channels, num_classes, image_size):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(image_size**2, num_classes))
"""


@pytest.fixture
def tensors(tmp_path):
    """Writes a tensor file of the workflow's own format."""

    def write(value=0, length=10):
        path = tmp_path / "t.safetensors"
        write_tensors(path, {"images": np.full(length, value, np.uint8)}, {"kind": "test"})
        return path

    return write


def test_a_header_tells_one_content_from_another(tensors):
    digest = header_digest(tensors(0))
    assert digest == header_digest(tensors(0))
    assert len({digest, header_digest(tensors(1)), header_digest(tensors(0, length=11))}) == 3


def test_a_cut_file_is_another(tensors):
    path = tensors()
    digest = header_digest(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert header_digest(path) != digest


def test_files_without_digests_are_read_whole(tmp_path):
    save_file({"images": np.zeros(3, np.uint8)}, tmp_path / "stranger.safetensors", {"squeezeproofs": "x"})
    (tmp_path / "garbage.safetensors").write_bytes(os.urandom(100))
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "table.csv").write_text("a,b\n")
    assert {header_digest(path) for path in tmp_path.iterdir()} == {None}


def test_snakemake_still_has_the_methods_that_are_replaced():
    """A test in this process; the replacements themselves are tried by whole runs."""
    assert list(inspect.signature(reruns._checksum_of_all).parameters) == ["self", "threshold", "force", "algorithm"]
    assert list(inspect.signature(reruns._is_small_enough).parameters) == ["self", "threshold"]
    assert inspect.isasyncgenfunction(reruns._older_than_script)
    assert list(inspect.signature(reruns._is_newer_by_its_time).parameters) == ["self", "time"]
    assert list(inspect.signature(reruns._recorded).parameters) == ["self", "job", "input_path"]
    assert list(inspect.signature(reruns._has_metadata).parameters) == ["self", "job"]
    assert reruns._checksum_of_all is _IOFile.checksum
    assert reruns._older_than_script is Job.outputs_older_than_script_or_notebook


@pytest.mark.slow
@pytest.mark.parametrize("profile", [[], ["--workflow-profile", "none"]], ids=["default profile", "no profile"])
def test_a_touch_and_a_copy_of_a_large_study_rerun_nothing(fresh, tmp_path, profile):
    for split, count in (("train", IMAGES), ("test", 4)):
        for label in (0, 1):
            folder = fresh.path / "images" / split / str(label)
            folder.mkdir(parents=True)
            for index in range(count // 2):
                Image.new("RGB", (SIDE, SIDE), (200 * label, index % 256, 0)).save(folder / f"{index}.png")
    fresh.config |= {
        "datasets": {"large": {"kind": "image_folder", "root": "images", "size": SIDE}},
        "architectures": {"cnn8": {"width": 2}},
        "trainings": {"standard": {"epochs": 0}},
    }
    goal = ["--until", "train", *profile]
    fresh.run(*goal)
    [split] = fresh.path.glob("data/prepared/*/train.safetensors")
    assert split.stat().st_size > 45e6
    subprocess.run(["find", ".", "-exec", "touch", "{}", "+"], cwd=fresh.path, check=True)
    assert fresh.planned(*goal) == {}
    subprocess.run(["cp", "-r", fresh.path, tmp_path / "copy"], check=True)
    copy = Workspace(tmp_path / "copy", fresh.config)
    assert copy.planned(*goal) == {}
    [split] = copy.path.glob("data/prepared/*/train.safetensors")
    arrays = read_arrays(split)
    arrays["images"][0] += 1
    write_tensors(split, arrays, read_metadata(split))
    assert copy.planned(*goal) == {"train": 1}


@pytest.mark.slow
def test_a_file_in_the_place_of_another_is_read_whatever_its_time(fresh):
    """`mv`, `cp -p`, `rsync -a` and `tar` keep a time from before the run."""
    given, other = fresh.path / "given.safetensors", fresh.path / "other.safetensors"
    for seed, path in enumerate((given, other)):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        save_file({name: tensor.numpy() for name, tensor in network.state_dict().items()}, path)
        os.utime(path, (1e9, 1e9))
    (fresh.path / "networks.py").write_text(NETWORK)
    fresh.config |= {
        "datasets": {"digits": {"size": 8, "train": 20, "test": 20}},
        "architectures": {"own": {"kind": "custom", "factory": "networks:linear", "checkpoint": "given.safetensors"}},
        "trainings": {"standard": {"epochs": 0}},
    }
    goal = ["--until", "train"]
    fresh.run(*goal)
    first = given.read_bytes()
    other.replace(given)
    assert fresh.planned(*goal) == {"train": 1}
    given.write_bytes(first)
    os.utime(given, (1e9, 1e9))
    assert fresh.planned(*goal) == {}
    shutil.rmtree(fresh.path / ".snakemake/metadata")
    assert fresh.planned(*goal) == {}, "what no run recorded is judged by its time"
    given.unlink()
    (fresh.path / "elsewhere").write_bytes(first)
    given.symlink_to("elsewhere")
    assert fresh.planned(*goal) == {"train": 1}, "that time is of today"
