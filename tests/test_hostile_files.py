"""Checkpoints, torch files, archives and image folders of strangers are read as data, or refused by name."""

import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch
from conftest import ROOT
from fuzz_targets import SPECS
from hostile_examples import problems_of, write_checkpoint
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision.datasets.utils import download_and_extract_archive

from squeezeproof import untrusted
from squeezeproof.datasets import downloads
from squeezeproof.datasets.image_folder import load_image_folder
from squeezeproof.datasets.prepare import prepare
from squeezeproof.errors import InputError
from squeezeproof.models.checkpoints import load_model
from squeezeproof.store.tensors import open_tensors, read_metadata

HUGE = [
    {"kind": "cnn8", "width": 10_000},
    {"kind": "cnn8", "width": 10**12},
    {"kind": "cnn3", "width": "4"},
    {"kind": "wrn", "depth": 9_994, "widen_factor": 10_000},
    {"kind": "densenet121", "growth": 10_000, "blocks": [9_999, 9_999]},
    {"kind": "densenet121", "growth": 1, "blocks": [1] * 10_000},
    {"kind": "resnet50", "width": -1},
    {"kind": "ensemble", "members": [SPECS[0]] * 1000},
    {"kind": "ensemble", "members": [{**SPECS[0], "architecture": {"kind": "ensemble", "members": [SPECS[0]]}}]},
]


@pytest.mark.parametrize("architecture", HUGE, ids=lambda entry: f"{entry['kind']}-{[*entry.values()][-1]!r:.20}")
def test_a_checkpoint_of_absurd_size_is_refused_before_memory_is_taken(tmp_path, architecture):
    if architecture["kind"] != "ensemble":
        architecture = {"normalization": "dataset", **architecture}
    write_checkpoint(tmp_path / "model", architecture)
    with pytest.raises(InputError, match="cannot be rebuilt"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("metadata", [{"image_size": 9_999}, {"num_classes": 10**9}, {"in_channels": 10**6}])
def test_a_checkpoint_of_absurd_images_is_refused(tmp_path, metadata):
    write_checkpoint(tmp_path / "model", SPECS[1]["architecture"], **metadata)
    with pytest.raises(InputError, match="cannot be rebuilt"):
        load_model(tmp_path / "model")


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def array(dtype, shape, *offsets):
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


ABSURD = {
    "length of 2**63": raw({}, length=2**63),
    "length of 2**64 - 1": raw({}, length=2**64 - 1),
    "length of 90 MB": raw({}, length=90 << 20) + bytes(1000),
    "really 20 MB": raw(b"{" + b" " * (20 << 20) + b"}"),
    "no JSON": raw(b"\x80\x04K\x01."),
    "a list": raw([]),
    "nested": raw(b"[" * 100_000 + b"]" * 100_000),
    "overlapping": raw({"a": array("F32", [2], 0, 8), "b": array("F32", [2], 4, 12)}, bytes(12)),
    "backwards": raw({"a": array("F32", [2], 8, 0)}, bytes(8)),
    "beyond the end": raw({"a": array("F32", [2], 0, 8)}, bytes(4)),
    "a hole": raw({"a": array("F32", [1], 4, 8)}, bytes(8)),
    "more data": raw({"a": array("F32", [1], 0, 4)}, bytes(8)),
    "a lie of type": raw({"a": array("F64", [2], 0, 8)}, bytes(8)),
    "a lie of shape": raw({"a": array("F32", [10**6, 10**6], 0, 8)}, bytes(8)),
    "an overflow": raw({"a": array("F32", [2**62, 4], 0, 0)}),
    "no such type": raw({"a": array("OBJECT", [1], 0, 8)}, bytes(8)),
    "a pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("content", ABSURD.values(), ids=ABSURD)
def test_an_absurd_header_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=r"file: not a readable safetensors file"):
        open_tensors(tmp_path / "file")


@pytest.mark.parametrize(
    "body", ["[" * 10_000, "9" * 5_000, "null", "[]", '{"metadata": 1, "arrays": {}}', '{"metadata": {}}', ""]
)
def test_metadata_that_is_none_is_refused(tmp_path, body):
    digest = hashlib.sha256(body.encode()).hexdigest()
    header = {"__metadata__": {"squeezeproof": f"{digest} {body}"}}
    (tmp_path / "file").write_bytes(raw(header))
    with pytest.raises(InputError, match="its metadata is not what this program writes"):
        read_metadata(tmp_path / "file")


# --- A torch file from elsewhere


def convert(*arguments):
    command = [sys.executable, str(ROOT / "workflow_scripts" / "tools" / "convert_checkpoint.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


def test_a_torch_state_dict_becomes_safetensors(tmp_path):
    layer = nn.Linear(3, 2)
    state = {**layer.state_dict(), "tied": layer.weight, "strided": torch.arange(6.0).reshape(2, 3).T}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "in.pt")
    done = convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert done.returncode == 0 and "took the entry state_dict" in done.stdout
    assert "4 tensors, 20 numbers" in done.stdout
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def refused(tmp_path, thing, key=None):
    sys.path.insert(0, str(ROOT / "workflow_scripts"))
    from convert_checkpoint import convert as converted

    torch.save(thing, tmp_path / "in.pt")
    with pytest.raises(InputError) as caught:
        converted(tmp_path / "in.pt", tmp_path / "out.safetensors", key)
    assert not (tmp_path / "out.safetensors").exists()
    # Code is run by those alone who are told that it is code.
    assert "weights_only" not in str(caught.value) or "where you trust it, as this runs its code" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("thing", "problem"),
    [
        (Hostile(), "asks for posix.system, which no weights need"),
        ({"weight": Hostile()}, "asks for posix.system, which no weights need"),
        ({"weight": torch.zeros(2), "more": Hostile()}, "asks for posix.system, which no weights need"),
        (nn.Linear(2, 2), "is a whole pickled Linear, which is code"),
        ({"weight": 3}, "holds no state_dict"),
        ({3: torch.zeros(1)}, "holds no state_dict"),
        ([torch.zeros(1)], "holds no state_dict"),
        ({}, "holds no state_dict"),
    ],
)
def test_a_torch_file_of_more_than_tensors_is_refused(tmp_path, thing, problem):
    assert problem in refused(tmp_path, thing)
    assert not os.path.exists("/tmp/never")


def test_a_missing_entry_of_a_torch_file_is_named(tmp_path):
    held = {"net": {"weight": torch.zeros(2)}}
    assert "has no entry 'model'; name net, by --key" in refused(tmp_path, held, "model")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(50), b"not a checkpoint", pickle.dumps({"a": 1})])
def test_what_is_no_torch_file_is_refused(tmp_path, content):
    (tmp_path / "in.pt").write_bytes(content)
    done = convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert done.returncode == 1 and f"{tmp_path / 'in.pt'}: " in done.stderr and "Traceback" not in done.stderr


# --- Data sets


@pytest.mark.parametrize("member", ["../slipped", "/tmp/slipped-hostile", "link/slipped"])
def test_an_archive_that_would_leave_its_folder_is_not_unpacked(tmp_path, member):
    """Only archives of a known MD5 are unpacked, so that what they hold is known too."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        if member.startswith("link"):
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            archive.addfile(link)
        info = tarfile.TarInfo(member)
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    root = tmp_path / "root" / "raw"
    root.mkdir(parents=True)
    (root / "cifar.tar.gz").write_bytes(buffer.getvalue())

    def download():
        download_and_extract_archive("http://127.0.0.1:9/", root, filename="cifar.tar.gz", md5="0" * 32)

    with pytest.raises(InputError, match="the download failed"):
        downloads._provide(root, {"data_batch_1": "0" * 32}, True, download)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()]
    assert left == ["cifar.tar.gz"]
    assert not os.path.exists("/tmp/slipped-hostile")


SETTINGS = {"size": 4, "channels": 3, "background": "#ffffff"}


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / name / "0.png")
    return tmp_path


def refusal(folder, **options):
    with pytest.raises(InputError) as caught:
        for images, _ in load_image_folder({**SETTINGS, "root": str(folder), **options})[:2]:
            images[:]
    return str(caught.value)


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "\x1b[31m", "\u202egnp", "x" * 101])
def test_a_class_of_an_unprintable_name_is_refused(folder, name):
    for split in ("train", "test"):
        (folder / split / "cat").rename(folder / split / name)
    assert "is no name for a class" in refusal(folder)


def test_what_is_no_file_is_not_waited_for(folder):
    os.mkfifo(folder / "train" / "cat" / "1.png")
    assert "1.png: not a file" in refusal(folder)


def test_a_file_that_is_too_large_is_refused_unread(folder):
    with open(folder / "train" / "cat" / "1.png", "wb") as file:
        file.truncate(untrusted.MAX_IMAGE_BYTES + 1)
    assert "256 MB are more than an image" in refusal(folder)


def test_more_images_than_memory_holds_are_refused(folder, monkeypatch):
    monkeypatch.setattr("squeezeproof.datasets.prepare.MAX_BYTES", 2 * 3 * 4 * 4 - 1)
    settings = {**SETTINGS, "kind": "image_folder", "root": str(folder)}
    settings |= {"train": None, "validation": 0, "test": None, "subset_seed": 0}
    with pytest.raises(InputError, match=r"datasets\.mine: its 2 train images take more than"):
        prepare(settings, {"train": folder / "train.safetensors"}, "mine")


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA"])
def test_formats_whose_decoders_are_rarely_looked_at_are_refused(folder, kind):
    Image.new("RGB", (8, 8)).save(folder / "train" / "cat" / "1.png", kind)
    assert "1.png: not a readable image" in refusal(folder)


def test_a_tilde_is_the_users_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    (_, labels), _, classes = load_image_folder({**SETTINGS, "root": f"~/{folder.name}"})
    assert classes == ["cat", "dog"] and np.array_equal(labels, [0, 1])
    root = {"kind": "image_folder", "root": f"~/{folder.name}", "size": 8}
    [problem] = problems_of({"datasets": {"mine": root}, "attacks": {"pgd": {"loss": "dlr"}}})
    assert "needs at least 3 classes, datasets.mine has 2" in problem
