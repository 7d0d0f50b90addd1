"""Data sets of every kind: what the raw files hold is what the splits hold, and no damaged file goes unnoticed."""

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
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits as sklearn_digits
from torch.nn.functional import interpolate
from torchvision import datasets as torchvision_datasets

from squeezeproof.datasets import downloads
from squeezeproof.datasets.prepare import Moments, prepare, stratified
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.store.datasets import read_split
from squeezeproof.store.tensors import fingerprint, read_arrays, read_metadata

TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
SPLITS = ("train", "validation", "test")


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


# --- Splits and subsets


@st.composite
def subsets(draw):
    labels = np.array(draw(st.lists(st.integers(0, 6), max_size=40)), dtype=np.int64)
    count = draw(st.integers(0, len(labels)))
    return labels, count, np.random.default_rng(draw(st.integers(0, 2**32))).permutation(len(labels))


@given(subsets())
def test_a_stratified_subset_keeps_every_share(subset):
    labels, count, order = subset
    picked = stratified(labels, count, order)
    assert len(picked) == count == len(set(picked.tolist()))
    np.testing.assert_array_equal(picked, stratified(labels, count, order))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        taken = picked[labels[picked] == label]
        assert abs(len(taken) - count * len(members) / len(labels)) < 1
        np.testing.assert_array_equal(taken, members[: len(taken)])


def test_the_order_decides_which_examples_are_picked():
    labels = np.repeat([0, 1], 50)
    first, second = (stratified(labels, 10, np.random.default_rng(seed).permutation(100)) for seed in (0, 1))
    assert set(first.tolist()) != set(second.tolist())
    assert sorted(stratified(labels, 4).tolist()) == [0, 1, 50, 51]


def moments_in_parts(images):
    seen = Moments(images.shape[1])
    for first in range(0, len(images), 1024):
        seen.add(images[first : first + 1024])
    return seen.result()


@pytest.mark.parametrize("count", [1, 1024, 2500])
def test_moments_agree_with_numpy(count):
    images = np.random.default_rng(5).integers(0, 256, (count, 3, 5, 4), dtype=np.uint8)
    images[:, 1] //= 9
    mean, std = moments_in_parts(images)
    pixels = images / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_constant_channel_is_not_divided_by_zero(level):
    images = np.random.default_rng(6).integers(0, 256, (2000, 2, 8, 8), dtype=np.uint8)
    images[:, 1] = level
    mean, std = moments_in_parts(images)
    assert mean[1] == pytest.approx(level / 255) and std[1] == 1
    assert std[0] == pytest.approx(images[:, 0].std() / 255)


TRAIN, TEST = 97, 41


def numbered(count, offset):
    """Images [N, 2, 3, 3] that carry their own number, with unequal classes."""
    numbers = np.arange(count) + offset
    images = np.zeros((count, 2, 3, 3), np.uint8)
    images[:, 0], images[:, 1] = (numbers // 256)[:, None, None], (numbers % 256)[:, None, None]
    return images, np.minimum(np.arange(count) * 7 % 11, 4)


def numbers_of(images):
    return images[:, 0, 0, 0].astype(int) * 256 + images[:, 1, 0, 0]


def numbered_kind(monkeypatch, loaded):
    """Let `numbered` be a kind of data sets that loads these images."""
    kind = SimpleNamespace(imported=lambda: lambda _: loaded)
    monkeypatch.setitem(registry.datasets()._entries, "numbered", kind)


@pytest.fixture
def split(tmp_path, monkeypatch):
    """Prepares the numbered images; returns split -> (arrays, metadata), and leaves the files in a folder `run`."""
    numbered_kind(monkeypatch, (numbered(TRAIN, 0), numbered(TEST, 1000), list("abcde")))

    def split(train=None, validation=0, test=None, subset_seed=0, run="run"):
        paths = {name: tmp_path / run / f"{name}.safetensors" for name in SPLITS}
        options = {"train": train, "validation": validation, "test": test, "subset_seed": subset_seed}
        prepare({"kind": "numbered", **options}, paths, "mine")
        return {name: (read_arrays(path), read_metadata(path, "dataset")) for name, path in paths.items()}

    return split


def assert_shares(labels, whole, slack):
    for label in np.unique(whole):
        assert abs((labels == label).sum() - len(labels) * (whole == label).mean()) < slack


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        (None, 0, None),
        (None, 13, None),
        (None, TRAIN - 15, 1),
        (40, 0, 20),
        (40, 20, TEST),
        (TRAIN - 5, 5, 7),
        (12, 0, 1),
    ],
)
def test_splits_have_the_asked_size_and_shares(split, train, validation, test):
    splits = split(train, validation, test)
    sizes = {"train": TRAIN - validation if train is None else train, "validation": validation, "test": test or TEST}
    (_, labels), (_, test_labels) = numbered(TRAIN, 0), numbered(TEST, 1000)
    chosen = {}
    for name, (arrays, metadata) in splits.items():
        numbers = numbers_of(arrays["images"])
        chosen[name] = set(numbers.tolist())
        assert arrays["images"].dtype == np.uint8 and arrays["labels"].dtype == np.int64
        assert len(numbers) == len(arrays["labels"]) == len(chosen[name]) == sizes[name]
        assert (np.diff(numbers) > 0).all()
        truth = test_labels[numbers - 1000] if name == "test" else labels[numbers]
        np.testing.assert_array_equal(arrays["labels"], truth)
        assert metadata["fingerprint"] == fingerprint(arrays["images"], arrays["labels"])
        assert (metadata["dataset"], metadata["split"], metadata["classes"]) == ("mine", name, list("abcde"))
        pixels = splits["train"][0]["images"] / 255
        np.testing.assert_allclose(metadata["mean"], pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    assert not chosen["train"] & chosen["validation"]
    together = np.array(sorted(chosen["train"] | chosen["validation"]))
    assert_shares(labels[together], labels, 1)
    assert_shares(splits["validation"][0]["labels"], labels[together], 1)
    assert_shares(splits["test"][0]["labels"], test_labels, 1)


def test_an_empty_validation_split_is_a_split(split, tmp_path):
    split(validation=0)
    images, labels, metadata = read_split(tmp_path / "run" / "validation.safetensors")
    assert images.shape == (0, 2, 3, 3) and images.dtype == torch.uint8
    assert labels.shape == (0,) and labels.dtype == torch.int64
    assert metadata["shape"] == [2, 3, 3]


def test_the_same_settings_give_the_same_files(split, tmp_path):
    for run in ("first", "second"):
        split(40, 20, 10, subset_seed=3, run=run)
    for name in SPLITS:
        first, second = (tmp_path / run / f"{name}.safetensors" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_the_seed_draws_other_images(split):
    first, second = (split(40, 20, 10, subset_seed=seed) for seed in (0, 1))
    for name in SPLITS:
        assert not np.array_equal(first[name][0]["images"], second[name][0]["images"])


def test_the_test_images_do_not_depend_on_the_training_images(split):
    first, second = split(40, 0, 10), split(None, 20, 10)
    np.testing.assert_array_equal(first["test"][0]["images"], second["test"][0]["images"])


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [(TRAIN + 1, 0, "98"), (TRAIN, 1, "97"), (50, 48, "50"), (None, TRAIN, "null"), (None, TRAIN + 1, "null")],
)
def test_more_training_images_than_there_are(split, tmp_path, train, validation, said):
    with pytest.raises(InputError, match=rf"datasets\.mine: train: {said} with validation: {validation} .* {TRAIN} "):
        split(train, validation)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("train", "validation", "lost"), [(3, 0, "[a-e], [a-e]"), (3, 2, ""), (None, TRAIN - 3, "")])
def test_a_class_without_a_training_image_in_the_subset_is_named(split, tmp_path, train, validation, lost):
    with pytest.raises(
        InputError, match=rf"datasets\.mine: .* leaves no training image of {lost or '[a-e], '}.*larger"
    ):
        split(train, validation)
    assert not (tmp_path / "run").exists()


def test_more_test_images_than_there_are(split, tmp_path):
    with pytest.raises(InputError, match=rf"datasets\.mine\.test: {TEST + 1} is more than the {TEST}"):
        split(test=TEST + 1)
    assert not (tmp_path / "run").exists()


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
    paths = {name: tmp_path / f"{name}.safetensors" for name in SPLITS}
    common = {"train": None, "validation": 0, "test": None, "subset_seed": 0}
    prepare({"kind": kind, "root": str(root), **options, **common}, paths, "real")
    for name, count in zip(("train", "test"), counts, strict=True):
        images, labels, metadata = read_split(paths[name])
        assert (len(images), *images.shape[1:]) == (count, *shape)
        assert metadata["mean"] == pytest.approx(mean, abs=2e-3) and metadata["std"] == pytest.approx(std, abs=2e-3)
        assert len(metadata["classes"]) == 10
        if kind != "mnist":
            assert labels.bincount().tolist() == [count // 10] * 10
