"""The smallest new kind of data sets: what it declares, and its images."""

from typing import ClassVar, Literal

import numpy as np

from squeezeproof.entries.dataset import Dataset
from squeezeproof.entries.settings import Whole, setting


class Stripes(Dataset):
    """Grey images of stripes, across or along."""

    function = "squeezeproof.entries.datasets.stripes:load_stripes"
    display = "Stripes"
    shape = (1, None)
    known_classes = 2
    images: ClassVar[dict[str, int]] = {"train": 200, "test": 100}

    kind: Literal["stripes"] = "stripes"
    size: Whole = setting("Side in pixels.", 8, ge=4, le=64)


def load_stripes(settings):
    """(train images, labels), (test images, labels), class names."""
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count) % 2
        across = np.tile(np.arange(settings["size"]) % 2 * 128, (settings["size"], 1)).astype(np.uint8)
        images = np.stack([across if label else across.T for label in labels])[:, None]
        return images + rng.integers(0, 64, images.shape, dtype=np.uint8), labels.astype(np.int64)

    return split(200), split(100), ["along", "across"]
