"""scikit-learn's digits."""

import numpy as np
from PIL import Image

from squeezeproof.checked import DigitsSettings
from squeezeproof.types import Loaded


def load_digits(settings: DigitsSettings) -> Loaded:
    """scikit-learn's digits [alpaydin1998], split 70 : 30 per class by a fixed permutation."""
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    size = (settings["size"], settings["size"])
    if settings["size"] != images.shape[1]:
        images = np.stack(
            [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in images]
        )
    labels = bunch.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        members = order[labels[order] == label]
        test[members[: round(0.3 * len(members))]] = True
    images = images[:, None]
    return (images[~test], labels[~test]), (images[test], labels[test]), [str(label) for label in range(10)]
