from typing import ClassVar, Literal

from squeezeproof.entries.dataset import Dataset
from squeezeproof.entries.settings import Whole, setting


class Digits(Dataset):
    """scikit-learn's 1,797 scanned 8x8 digits, embedded in the package; 30 % of each class is the test set."""

    function = "squeezeproof.datasets.digits:load_digits"
    shape = (1, None)
    known_classes = 10
    known_names = tuple("0123456789")
    images: ClassVar[dict[str, int]] = {"train": 1258, "test": 539}

    kind: Literal["digits"] = "digits"
    size: Whole = setting("Side in pixels that the 8x8 images are resized to (bilinear).", 28, ge=8, le=64)
