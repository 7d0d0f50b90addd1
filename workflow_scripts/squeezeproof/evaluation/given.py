"""What a model was given: digests of the pixels of some images, taken where they enter it.

A mistake between a file and the model, such as a rounding to 8 bits, may change next to no label.
"""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.store.rows import evenly_spaced
from squeezeproof.types import Images

# Of the images of each set, evenly spaced.
IMAGES = 32


class Given:
    """The digests of some of the images that a model is given, set by set.

    Attributes:
        found: name of the set -> int64 [n], a digest of each of its IMAGES.
        digests: int64 [n] of the set that was begun last, 0 of an image that was never given.
    """

    def __init__(self) -> None:
        self.found: dict[str, np.ndarray] = {}
        self.rows, self.dtype, self.digests = np.empty(0, int), torch.float32, np.empty(0, np.int64)
        self.asked = range(0)

    def begin(self, images: Images) -> "Images":
        """Take note of other images [N, C, H, W] from here on, of those that are returned in their place."""
        self.rows, self.dtype = evenly_spaced(len(images), IMAGES), images.dtype
        self.digests = np.zeros(len(self.rows), np.int64)
        return _Read(images, self)

    @contextmanager
    def watching(self, model: nn.Module) -> Generator[None]:
        """Look at what a model is given meanwhile."""
        handle = model.register_forward_pre_hook(lambda _, given: self.note(given[0]))
        try:
            yield
        finally:
            handle.remove()

    def note(self, pixels: torch.Tensor) -> None:
        """Take note of pixels [n, C, H, W] in [0, 1], those of the rows that were read last."""
        places = np.flatnonzero((self.rows >= self.asked.start) & (self.rows < self.asked.start + len(pixels)))
        if len(places):
            chosen = pixels[torch.from_numpy(self.rows[places] - self.asked.start).to(pixels.device)]
            # Levels of grey are divided by 255 on the device, which may round otherwise than another one.
            stored = (255 * chosen).round().to(torch.uint8) if self.dtype == torch.uint8 else chosen
            self.digests[places] = digests(stored)


class _Read:
    """Images of which it is known which rows were read last."""

    def __init__(self, images: Images, given: Given) -> None:
        self.images, self.given = images, given
        self.shape, self.dtype = images.shape, images.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Any) -> torch.Tensor:
        self.given.asked = range(*rows.indices(len(self.images)))
        return self.images[rows]


def digests(images: torch.Tensor) -> np.ndarray:
    """A digest of each image [n, C, H, W] of any type, int64 [n]."""
    rows = images.detach().cpu().contiguous().numpy()
    found = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(found), np.int64)
