"""Data sets that torchvision downloads, every file's MD5 checked; it is imported inside the functions that need it."""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import numpy as np

from squeezeproof.checked import DownloadedSettings
from squeezeproof.errors import InputError, pass_on
from squeezeproof.types import Loaded

# MD5 sums of the decompressed IDX files of MNIST and Fashion-MNIST, which torchvision itself does not check.
IDX_SUMS = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def load_mnist(settings: DownloadedSettings) -> Loaded:
    """MNIST [lecun1998]."""
    return _load_idx(settings, "MNIST")


def load_fashion_mnist(settings: DownloadedSettings) -> Loaded:
    """Fashion-MNIST [xiao2017]."""
    return _load_idx(settings, "FashionMNIST")


def load_cifar10(settings: DownloadedSettings) -> Loaded:
    """CIFAR-10 [krizhevsky2009]."""
    return _load_cifar(settings, "CIFAR10")


def load_cifar100(settings: DownloadedSettings) -> Loaded:
    """CIFAR-100 [krizhevsky2009]."""
    return _load_cifar(settings, "CIFAR100")


def _load_idx(settings: DownloadedSettings, name: str) -> Loaded:
    """MNIST or Fashion-MNIST through torchvision, every file's MD5 checked."""
    from torchvision import datasets
    from torchvision.datasets.mnist import read_image_file, read_label_file

    dataset = getattr(datasets, name)
    root = Path(os.path.expanduser(settings["root"]))
    raw = root / name / "raw"
    _provide(raw, IDX_SUMS[name], settings["download"], lambda: dataset(root, download=True))
    # The class itself would rather read the processed/*.pt of early torchvision releases, which nobody has checked.
    train, test = (
        (
            read_image_file(str(raw / f"{split}-images-idx3-ubyte")).numpy()[:, None],
            read_label_file(str(raw / f"{split}-labels-idx1-ubyte")).numpy(),
        )
        for split in ("train", "t10k")
    )
    return train, test, list(dataset.classes)


def _load_cifar(settings: DownloadedSettings, name: str) -> Loaded:
    """CIFAR-10 or CIFAR-100 through torchvision, every file's MD5 checked before it is unpickled."""
    from torchvision import datasets
    from torchvision.datasets.utils import download_and_extract_archive

    dataset = getattr(datasets, name)
    root = Path(os.path.expanduser(settings["root"]))
    sums = dict([*dataset.train_list, *dataset.test_list, (dataset.meta["filename"], dataset.meta["md5"])])
    _provide(
        root / dataset.base_folder,
        sums,
        settings["download"],
        lambda: download_and_extract_archive(dataset.url, root, filename=dataset.filename, md5=dataset.tgz_md5),
    )
    splits = []
    for train in (True, False):
        loaded = dataset(root, train=train, download=False)
        splits.append((np.ascontiguousarray(loaded.data.transpose(0, 3, 1, 2)), np.asarray(loaded.targets, np.int64)))
    return splits[0], splits[1], list(loaded.classes)


def _provide(folder: Path, sums: dict[str, str], allowed: bool, download: Callable[[], object]) -> None:
    """Call `download`, if allowed, where a file of `sums` (name -> MD5) is missing; then check every file's MD5."""
    if missing := [name for name in sums if not (folder / name).is_file()]:
        wanted = f"{folder}: {', '.join(missing)} missing"
        if not allowed:
            raise InputError(f"{wanted}; put the files there or write download: true")
        try:
            download()
        except (RuntimeError, OSError, HTTPException, EOFError, zlib.error, tarfile.TarError) as error:
            pass_on(error)
            raise InputError(
                f"{wanted}, and the download failed ({error}); put the files there by hand or try again"
            ) from None
    remedy = "remove it and run again" if allowed else "remove it and put the original in its place"
    for name, md5 in sums.items():
        _verify(folder / name, md5, remedy)


def _verify(path: Path, md5: str, remedy: str) -> None:
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); put the original in its place") from None
    if found != md5:
        raise InputError(f"{path}: truncated or altered (MD5 {found}, {md5} expected); {remedy}")
