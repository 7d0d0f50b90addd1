"""One loader per kind of data set: settings -> (train images, labels), (test images, labels), class names.

Images are uint8 [N, C, H, W], those of a folder Rows (store.rows); labels are int64 [N]. torchvision and scikit-learn
load inside the functions that need them.
"""

import hashlib
import os
import stat
import tarfile
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np
from PIL import Image

from squeezeproof.errors import InputError
from squeezeproof.store.rows import Rows

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
MAX_IMAGE_PIXELS = 64_000_000
MAX_IMAGE_BYTES = 256 << 20
MAX_NAME = 100
# Pillow's other decoders are rarely used and, as that of EPS, run other programs.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


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


def load_image_folder(settings):
    """Images under root/{train,test}/{class}/: converted, alpha dropped, the central square resized (bilinear).

    Hidden files and sub-folders of a class are passed over; any other file must be an image of one of FORMATS, which
    shows when it is read.
    """
    root = Path(os.path.expanduser(settings["root"]))
    classes = _class_folders(root / "train")
    if unknown := sorted(set(_class_folders(root / "test")) - set(classes)):
        raise InputError(f"{root / 'test'}: has the classes {', '.join(unknown)} that {root / 'train'} has not")
    splits = []
    for split in ("train", "test"):
        paths, labels = [], []
        for label, name in enumerate(classes):
            found = _image_files(root / split / name)
            paths += found
            labels += [label] * len(found)
        if not paths:
            raise InputError(f"{root / split}: holds no images")
        splits.append((ImageFiles(paths, settings["size"], settings["channels"]), np.asarray(labels, np.int64)))
    return *splits, classes


class ImageFiles(Rows):
    """Image files as uint8 [N, C, size, size], decoded whenever they are read.

    Raises InputError for files that are no images, and for those that are too large to be meant.
    """

    def __init__(self, paths, size, channels):
        super().__init__((len(paths), channels, size, size), np.uint8)
        self.paths = paths

    def take(self, rows):
        _, channels, size, _ = self.shape
        return np.stack([_read_image(Path(self.paths[row]), size, channels) for row in rows])


def _image_files(folder):
    """Paths, as texts, of the files of a class in the order of their names."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.is_dir() and not entry.name.startswith("."))
    return [f"{folder}/{name}" for name in names]


def _class_folders(folder):
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; images belong in {folder}/CLASS/NAME.png")
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise InputError(f"{folder}: has no class folders; images belong in {folder}/CLASS/NAME.png")
    for name in classes:
        if not name.isprintable() or len(name) > MAX_NAME:
            raise InputError(
                f"{folder}: {name!r} is no name for a class; rename it, printable and up to {MAX_NAME} long"
            )
    return classes


def _read_image(path, size, channels):
    """One image as uint8 [C, size, size]; an image that is too large is refused before its pixels are decoded."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: not a file, though it stands where images do; remove it")
        if found.st_size > MAX_IMAGE_BYTES:
            raise InputError(f"{path}: {found.st_size >> 20} MB are more than an image of {MAX_IMAGE_BYTES >> 20} MB")
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise InputError(f"{path}: {image.width} x {image.height} pixels are more than {MAX_IMAGE_PIXELS:,}")
            if image.mode.startswith(("I", "F")):
                # Conversion would clip the levels of integer and float images, not scale them.
                raise InputError(f"{path}: more than 8 bits per channel; convert it to an 8-bit image")
            if image.format == "PNG":
                # Decoding passes over the checksums of the pixel data.
                with Image.open(path, formats=FORMATS) as unread:
                    unread.verify()
            image = image.convert("L" if channels == 1 else "RGB")
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path}: more than {MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:
        # On a damaged file Pillow's decoders raise errors of almost any type.
        raise InputError(f"{path}: not a readable image, truncated or altered ({error})") from None
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.resize((size, size), Image.BILINEAR, box=(left, top, left + side, top + side))
    return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


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
