"""One loader per kind of data set: settings -> (train images, labels), (test images, labels), class names.

Images are uint8 [N, C, H, W], those of a folder Rows (store.rows); labels are int64 [N]. torchvision and scikit-learn
load inside the functions that need them.
"""

import hashlib
import os
import tarfile
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np
from PIL import Image

from squeezeproof.datasets.image_folder import load_image_folder
from squeezeproof.errors import InputError

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


def load_digits(settings):
    """scikit-learn's digits [alpaydin1998], split 70 : 30 per class by a fixed permutation."""
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    size = (settings["size"], settings["size"])
    if settings["size"] != images.shape[1]:
        images = np.stack([np.asarray(Image.fromarray(image).resize(size, Image.BILINEAR)) for image in images])
    labels = bunch.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        members = order[labels[order] == label]
        test[members[: round(0.3 * len(members))]] = True
    images = images[:, None]
    return (images[~test], labels[~test]), (images[test], labels[test]), [str(label) for label in range(10)]


def load_idx(settings, name):
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
            read_image_file(raw / f"{split}-images-idx3-ubyte").numpy()[:, None],
            read_label_file(raw / f"{split}-labels-idx1-ubyte").numpy(),
        )
        for split in ("train", "t10k")
    )
    return train, test, list(dataset.classes)


def load_cifar(settings, name):
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
    return *splits, list(loaded.classes)


def _provide(folder, sums, allowed, download):
    """Call `download`, if allowed, where a file of `sums` (name -> MD5) is missing; then check every file's MD5."""
    if missing := [name for name in sums if not (folder / name).is_file()]:
        wanted = f"{folder}: {', '.join(missing)} missing"
        if not allowed:
            raise InputError(f"{wanted}; put the files there or write download: true")
        try:
            download()
        except (RuntimeError, OSError, HTTPException, EOFError, zlib.error, tarfile.TarError) as error:
            raise InputError(
                f"{wanted}, and the download failed ({error}); put the files there by hand or try again"
            ) from None
    remedy = "remove it and run again" if allowed else "remove it and put the original in its place"
    for name, md5 in sums.items():
        _verify(folder / name, md5, remedy)


def _verify(path, md5, remedy):
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); put the original in its place") from None
    if found != md5:
        raise InputError(f"{path}: truncated or altered (MD5 {found}, {md5} expected); {remedy}")


LOADERS = {
    "digits": load_digits,
    "mnist": lambda settings: load_idx(settings, "MNIST"),
    "fashion_mnist": lambda settings: load_idx(settings, "FashionMNIST"),
    "cifar10": lambda settings: load_cifar(settings, "CIFAR10"),
    "cifar100": lambda settings: load_cifar(settings, "CIFAR100"),
    "image_folder": load_image_folder,
}
