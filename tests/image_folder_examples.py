"""Folders of images that tests write and read."""

import numpy as np
import pytest
from PIL import Image

from squeezeproof.datasets.image_folder import load_image_folder
from squeezeproof.errors import InputError

CORNERS = [(250, 20, 30), (10, 240, 40), (30, 10, 200), (120, 130, 90)]


def load(root, size=4, channels=3, background="#ffffff"):
    settings = {"root": str(root), "size": size, "channels": channels, "background": background}
    *splits, classes = load_image_folder(settings)
    return *((images[:], labels) for images, labels in splits), classes


def refusal(root):
    """The message of the InputError that loading ends in."""
    with pytest.raises(InputError) as caught:
        load(root)
    return str(caught.value)


def corners(side=8):
    """Four plain quarters [2 side, 2 side, 3], which even a JPEG keeps."""
    return np.kron(np.array(CORNERS, np.uint8).reshape(2, 2, 3), np.ones((side, side, 1), np.uint8))


def grey(colours):
    """Luma of ITU-R 601."""
    return colours @ np.array([0.299, 0.587, 0.114])


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    image = image if mode is None else image.convert(mode)
    image.save(path, **options)
    return path


def tree(root, train, test=None):
    """An image folder of one-coloured 4x4 images: class -> how many, for both splits."""
    for split, counts in (("train", train), ("test", train if test is None else test)):
        for name, count in counts.items():
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                save(root / split / name / f"{index:02}.png", np.full((4, 4, 3), 10 * index, np.uint8))
    return root


def reader(place):
    """A function that reads one image file, as the only training image of its class, as uint8 [C, size, size]."""
    root = tree(place / "one", {"class": 0, "other": 1}, {"class": 1, "other": 1})

    def read(path, size, channels=3, background="#ffffff"):
        only = root / "train" / "class" / path.name
        only.write_bytes(path.read_bytes())
        try:
            (images, _), _, _ = load(root, size, channels, background)
        finally:
            only.unlink()
        return images[0]

    return read
