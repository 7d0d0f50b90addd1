"""Splits and shards are read, crafted and joined in constant memory."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shard_examples import write_split

from squeezeproof import jobs as jobs_module
from squeezeproof.datasets import image_folder
from squeezeproof.datasets.prepare import prepare
from squeezeproof.store import rows as rows_module
from squeezeproof.store.adversarial import SHARD
from squeezeproof.store.datasets import read_split
from squeezeproof.store.rows import JoinedRows
from squeezeproof.store.tensors import (
    fingerprint,
    read_metadata,
    write_tensors,
)

LIBRARY = str(Path(jobs_module.__file__).parents[1])


# --- Memory

# Of 3 x 224 x 224 pixels; 300 MB.
LARGE = (2000, 3, 224, 224)
HEAD = """
import re, sys
def memory(key):
    return int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
"""
READING = """
from squeezeproof.store.datasets import {reader}
images, labels, split = {reader}(sys.argv[1])
for first in range(0, len(labels), 50):
    images[first : first + 50].sum()
"""
WITH_CRAFTING = """
import torch
from squeezeproof.attacks.craft import craft, fit
from squeezeproof.attacks.learnt import load_fitted, save_fitted
from squeezeproof.attacks.checks import check_stored
from squeezeproof.store.adversarial import SHARD, save_set
from squeezeproof.store.datasets import open_set, open_split
"""
CRAFTING = """
images, labels, split = open_split(sys.argv[1])
model = torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten(), torch.nn.Linear(48, 2)).eval()
entry = {"method": "noise", "eps": 0.1, "norm": "linf", "stop_on_success": False, "stored": "uint8"}
entry |= {"samples": 1, "loss": "cross_entropy"}
rows = range(900, 940)
tensors, metadata = craft(model, images, labels, entry, seed=0, batch_size=10, rows=rows)
save_set(sys.argv[2], tensors, entry, metadata | {"attack": "noise", "entry": "noise"}, {"fingerprint": ""}, split)
stored, _ = open_set(sys.argv[2], split, SHARD)
check_stored(stored, images, entry, rows)
"""
JOINING = """
from squeezeproof.store.shards import join_shards
from squeezeproof.store.tensors import verify
join_shards(sys.argv[1], sys.argv[2:], "of the model")
verify(sys.argv[1])
assert "torch" not in sys.modules
"""


def peak(imports, code, *arguments):
    """MB that code adds to the memory of a process with some modules; getrusage would tell this process's own peak.

    They are counted from the peak so far: what a loaded machine takes back of modules that rest comes in again.
    """
    script = f"{HEAD}{imports}\nbefore = memory('VmHWM')\n{code}\nprint(memory('VmHWM') - before)"
    environment = {**os.environ, "PYTHONPATH": LIBRARY, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc tells a process's own peak")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "test"
    block = np.random.default_rng(0).integers(0, 256, (100, *LARGE[1:]), dtype=np.uint8)
    write_split(path, JoinedRows([block] * 20), np.arange(LARGE[0]) % 2, classes=2)
    yield path
    path.unlink()


@needs_proc
def test_a_split_is_read_in_constant_memory(large):
    imports = "import squeezeproof.store.datasets"
    assert peak(imports, READING.format(reader="open_split"), large) < 100
    # What is measured does see a split that is in memory.
    assert peak(imports, READING.format(reader="read_split"), large) > 280


@needs_proc
def test_a_shard_is_crafted_in_the_memory_of_a_shard(large, tmp_path):
    # 150 on a quiet machine, 240 on a busy one; the split alone has 300, and its perturbed images as many.
    assert peak(WITH_CRAFTING, CRAFTING, large, tmp_path / "shard") < 280


@needs_proc
def test_shards_are_joined_in_constant_memory(tmp_path):
    block = np.zeros((500, *LARGE[1:]), np.uint8)
    shards = [tmp_path / str(index) for index in range(4)]
    for index, path in enumerate(shards):
        passes = {"forwards": 1, "backwards": 0, "zero_gradients": 0}
        own = {"first": 500 * index, "last": 500 * (index + 1), "of": 2000, "passes": passes, "fitting": passes}
        metadata = {
            "kind": SHARD,
            "shard": own,
            "stages": [],
            "n": 500,
            "seconds": 1.0,
            "successes": 2,
            "device": "cpu",
        }
        write_tensors(path, {"adversarial": block}, {**metadata, "source_fingerprint": "of the model"})
    assert peak("import squeezeproof.store.shards", JOINING, tmp_path / "joined", *shards) < 100
    metadata = read_metadata(tmp_path / "joined", "adversarial")
    assert (metadata["n"], metadata["successes"], metadata["seconds"]) == (2000, 8, 4.0)
    for path in [*shards, tmp_path / "joined"]:
        path.unlink()


# --- Image folders


def folder_of_images(root, train=20, test=5):
    for split, count in (("train", train), ("test", test)):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (8, 8), (index, 2 * index, 3)).save(root / split / name / f"{index:02}.png")
    settings = {"size": 4, "channels": 3, "background": "#ffffff", "subset_seed": 0}
    return {"kind": "image_folder", "root": str(root), **settings}


def test_images_are_decoded_twice_at_most_and_a_part_at_a_time(tmp_path, monkeypatch):
    counts, held = Counter(), []
    decode, stack = image_folder._decode, np.stack
    monkeypatch.setattr(image_folder, "_decode", lambda path: (counts.update([path]), decode(path))[1])
    monkeypatch.setattr(image_folder.np, "stack", lambda images: (held.append(len(images)), stack(images))[1])
    monkeypatch.setattr(rows_module, "PART_ROWS", 7)
    chosen = folder_of_images(tmp_path) | {"train": 20, "validation": 4, "test": 6}
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("train", "validation", "test")}
    prepare(chosen, paths, "mine")
    assert len(counts) == 30 and set(counts.values()) == {2} and max(held) == 7
    images, labels, metadata = read_split(paths["train"])
    assert metadata["fingerprint"] == fingerprint(images.numpy(), labels.numpy())
    assert metadata["mean"] == pytest.approx((images / 255).mean((0, 2, 3)).tolist())
