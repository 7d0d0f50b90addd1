"""Data sets of every kind: what the raw files hold is what is read, and no damaged file goes unnoticed."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as sklearn_digits
from torch.nn.functional import interpolate
from torchvision import datasets as torchvision_datasets

from squeezeproof.datasets import downloads
from squeezeproof.datasets.prepare import prepare
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.store.datasets import read_split

TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def md5(content):
    return hashlib.md5(content).hexdigest()


def load(kind, **options):
    *splits, classes = registry.datasets()[kind].imported()({"kind": kind, **options})
    return *((images[:], labels) for images, labels in splits), classes


def refusal(kind, **options):
    """The message of the InputError that loading ends in."""
    with pytest.raises(InputError) as caught:
        load(kind, **options)
    return str(caught.value)


# --- Files in torchvision's layout: MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100


@dataclass
class Raw:
    """A tiny data set under `root` as torchvision lays it out; `mirror` maps the archives a server would hold."""

    kind: str
    root: Path
    folder: Path
    files: dict
    mirror: dict
    truth: tuple

    def write(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)

    def publish(self):
        for path, content in self.mirror.items():
            path.write_bytes(content)

    def load(self, download=False):
        return load(self.kind, root=str(self.root), download=download)

    def refusal(self, download=False):
        return refusal(self.kind, root=str(self.root), download=download)

    def assert_loads(self, download=False):
        *splits, classes = self.load(download)
        *expected, names = self.truth
        assert classes == names
        for (images, labels), (true_images, true_labels) in zip(splits, expected, strict=True):
            assert images.dtype == np.uint8 and labels.dtype == np.int64
            np.testing.assert_array_equal(images, true_images)
            np.testing.assert_array_equal(labels, true_labels)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(folder, URL) of a server on this machine: torchvision downloads from nowhere else."""
    folder = tmp_path_factory.mktemp("mirror")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=TORCHVISION)
def raw(request, tmp_path, monkeypatch, server):
    """A tiny data set of each kind, neither written nor published; torchvision and the MD5 tables expect its files."""
    folder, url = server
    mirror = folder / tmp_path.name
    mirror.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    build = idx_files if request.param.endswith("mnist") else cifar_files
    return build(request.param, tmp_path / "raw", mirror, f"{url}/{mirror.name}", monkeypatch)


def idx_files(kind, root, mirror, url, monkeypatch):
    name = TORCHVISION[kind]
    cls = getattr(torchvision_datasets, name)
    rng = np.random.default_rng(1)
    files, truth = {}, []
    for split, count in (("train", 12), ("t10k", 7)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        files[f"{split}-images-idx3-ubyte"] = struct.pack(">HBB3I", 0, 8, 3, *images.shape) + images.tobytes()
        files[f"{split}-labels-idx1-ubyte"] = struct.pack(">HBBI", 0, 8, 1, count) + labels.tobytes()
        truth.append((images[:, None], labels))
    archives = {f"{file}.gz": gzip.compress(content, mtime=0) for file, content in files.items()}
    monkeypatch.setitem(downloads.IDX_SUMS, name, {file: md5(content) for file, content in files.items()})
    monkeypatch.setattr(cls, "resources", [(file, md5(content)) for file, content in archives.items()])
    monkeypatch.setattr(cls, "mirrors", [f"{url}/"])
    published = {mirror / file: content for file, content in archives.items()}
    return Raw(kind, root, root / name / "raw", files, published, (*truth, cls.classes))


def cifar_files(kind, root, mirror, url, monkeypatch):
    cls = getattr(torchvision_datasets, TORCHVISION[kind])
    rng = np.random.default_rng(2)
    key, count = ("labels", 10) if kind == "cifar10" else ("fine_labels", 100)
    names = [f"class {label}" for label in range(count)]
    files, truth = {}, []
    for listed in (cls.train_list, cls.test_list):
        images = rng.integers(0, 256, (len(listed), 4, 3, 32, 32), dtype=np.uint8)
        labels = rng.integers(0, count, (len(listed), 4))
        for (file, _), batch, targets in zip(listed, images, labels, strict=True):
            files[file] = pickle.dumps({"data": batch.reshape(4, -1), key: targets.tolist(), "coarse_labels": [0] * 4})
        truth.append((images.reshape(-1, 3, 32, 32), labels.ravel()))
    files[cls.meta["filename"]] = pickle.dumps({cls.meta["key"]: names})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{cls.base_folder}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(cls, attribute, [[file, md5(files[file])] for file, _ in getattr(cls, attribute)])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": md5(files[cls.meta["filename"]])})
    monkeypatch.setattr(cls, "tgz_md5", md5(buffer.getvalue()))
    monkeypatch.setattr(cls, "url", f"{url}/{cls.filename}")
    published = {mirror / cls.filename: buffer.getvalue()}
    return Raw(kind, root, root / cls.base_folder, files, published, (*truth, names))


def test_raw_files_are_read_in_order(raw):
    raw.write()
    raw.assert_loads()


def test_a_missing_file_is_named_without_download(raw):
    for name in raw.files:
        raw.write()
        (raw.folder / name).unlink()
        message = raw.refusal()
        assert str(raw.folder) in message and "download: true" in message
        assert [file for file in raw.files if file in message.split()] == [name]


def test_without_any_file_all_are_named(raw):
    message = raw.refusal()
    assert str(raw.folder) in message
    assert all(name in message for name in raw.files)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("damage", ["empty", "truncated", "extended", "first bit", "middle bit", "last bit"])
def test_a_damaged_file_is_named(raw, damage, download):
    for name, content in raw.files.items():
        raw.write()
        altered = bytearray(content)
        match damage:
            case "empty":
                altered.clear()
            case "truncated":
                altered.pop()
            case "extended":
                altered.append(0)
            case _:
                altered[{"first": 0, "middle": len(content) // 2, "last": -1}[damage.split()[0]]] ^= 1
        (raw.folder / name).write_bytes(altered)
        message = raw.refusal(download)
        assert message.startswith(f"{raw.folder / name}: truncated or altered")


def test_downloads_everything(raw):
    raw.publish()
    raw.assert_loads(download=True)
    raw.assert_loads(download=False)


def test_downloads_what_is_missing(raw):
    raw.publish()
    for name in raw.files:
        raw.write()
        (raw.folder / name).unlink()
        raw.assert_loads(download=True)


def test_downloads_nothing_when_all_is_there(raw):
    raw.write()
    raw.assert_loads(download=True)


def test_a_failed_download_names_the_files(raw):
    message = raw.refusal(download=True)
    assert str(raw.folder) in message and "the download failed" in message and "by hand" in message
    assert all(name in message for name in raw.files)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_download_is_refused(raw, damage):
    raw.publish()
    for path, content in raw.mirror.items():
        path.write_bytes(
            content[:-9] if damage == "truncated" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        )
    message = raw.refusal(download=True)
    assert str(raw.folder) in message and "the download failed" in message


@pytest.mark.parametrize("raw", ["mnist", "fashion_mnist"], indirect=True)
def test_unchecked_files_of_early_torchvision_are_not_read(raw):
    """torchvision itself prefers processed/*.pt, whose content nothing vouches for, to the raw files."""
    processed = raw.folder.parent / "processed"
    processed.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)), processed / name)
    assert raw.refusal(download=True).startswith(str(raw.folder))
    raw.write()
    raw.assert_loads()


# --- The embedded digits


def test_digits_are_split_70_to_30_in_every_class():
    (images, labels), (test_images, test_labels), classes = load("digits", size=8)
    counts = registry.datasets()["digits"].images
    assert {"train": len(labels), "test": len(test_labels)} == counts == {"train": 1258, "test": 539}
    assert classes == list("0123456789")
    sizes = np.bincount(sklearn_digits().target)
    assert np.bincount(test_labels).tolist() == [round(0.3 * size) for size in sizes]
    assert images.dtype == test_images.dtype == np.uint8 and labels.dtype == test_labels.dtype == np.int64


def test_digits_hold_every_scan_once():
    (images, labels), (test_images, test_labels), _ = load("digits", size=8)
    assert images.shape[1:] == (1, 8, 8)
    scans = sklearn_digits()
    expected = np.rint(scans.images.reshape(-1, 64) * 255 / 16).astype(int)
    rows = np.concatenate([images, test_images]).reshape(-1, 64).astype(int)
    found = np.column_stack([rows, np.concatenate([labels, test_labels])])
    expected = np.column_stack([expected, scans.target])
    assert sorted(found.tolist()) == sorted(expected.tolist())
    assert expected[:, :64].max() == 255


@pytest.mark.parametrize("size", [9, 28, 64])
def test_digits_are_resized_bilinearly(size):
    *small, _ = load("digits", size=8)
    *splits, _ = load("digits", size=size)
    for (scans, labels), (images, resized_labels) in zip(small, splits, strict=True):
        np.testing.assert_array_equal(resized_labels, labels)
        assert images.dtype == np.uint8 and images.shape == (len(scans), 1, size, size)
        tensor = torch.from_numpy(scans[::20]).double()
        expected = interpolate(tensor, size=(size, size), mode="bilinear", align_corners=False)
        assert np.abs(images[::20] - expected.numpy()).max() <= 1


# --- The real files

REAL = os.environ.get("SQUEEZEPROOF_DATA")
KNOWN = {
    "mnist": ({"download": False}, (60_000, 10_000), (1, 28, 28), [0.1307], [0.3081]),
    "fashion_mnist": ({"download": False}, (60_000, 10_000), (1, 28, 28), [0.2860], [0.3530]),
    "image_folder": (
        {"size": 32, "channels": 3},
        (50_000, 10_000),
        (3, 32, 32),
        [0.4914, 0.4822, 0.4465],
        [0.2470, 0.2435, 0.2616],
    ),
}


@pytest.mark.skipif(not REAL, reason="SQUEEZEPROOF_DATA names no folder with MNIST, FashionMNIST and cifar10_jpeg")
@pytest.mark.parametrize("kind", KNOWN)
def test_the_real_files_have_their_published_moments(tmp_path, kind):
    """The image folder is CIFAR-10 as JPEG files."""
    options, counts, shape, mean, std = KNOWN[kind]
    root = Path(REAL) / "cifar10_jpeg" if kind == "image_folder" else Path(REAL)
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("train", "validation", "test")}
    common = {"train": None, "validation": 0, "test": None, "subset_seed": 0}
    prepare({"kind": kind, "root": str(root), **options, **common}, paths, "real")
    for name, count in zip(("train", "test"), counts, strict=True):
        images, labels, metadata = read_split(paths[name])
        assert (len(images), *images.shape[1:]) == (count, *shape)
        if name == "train":
            assert metadata["mean"] == pytest.approx(mean, abs=2e-3) and metadata["std"] == pytest.approx(std, abs=2e-3)
        assert len(metadata["classes"]) == 10
        if kind != "mnist":
            assert labels.bincount().tolist() == [count // 10] * 10
