"""Prepared splits and adversarial sets as torch tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from squeezeproof.errors import InputError
from squeezeproof.store import adversarial
from squeezeproof.store.tensors import AGAIN, open_array, read_arrays, read_metadata
from squeezeproof.types import Array, Images, SetMetadata, SplitMetadata

METADATA = {"classes": list, "fingerprint": str}


def read_split(path: str | Path) -> tuple[torch.Tensor, torch.Tensor, SplitMetadata]:
    """A prepared split: uint8 images [N, C, H, W], int64 labels [N], and its metadata with the image `shape`.

    Raises InputError where the file is truncated or altered, or its labels name no class.
    """
    metadata = read_metadata(path, "dataset", METADATA)
    images, labels = read_arrays(path, ["images", "labels"], framework="pt").values()
    return _checked(path, images, labels, metadata)


def open_split(path: str | Path) -> tuple["Tensors", torch.Tensor, SplitMetadata]:
    """As `read_split`, but images are Tensors: the file is checked in constant memory, and rows are read as needed."""
    metadata = read_metadata(path, "dataset", METADATA)
    labels = read_arrays(path, ["labels"], framework="pt")["labels"]
    return _checked(path, Tensors(open_array(path, "images")), labels, metadata)


def _checked(
    path: str | Path, images: Images, labels: torch.Tensor, metadata: dict[str, Any]
) -> tuple[Any, torch.Tensor, Any]:
    kinds = (images.dtype, len(images.shape), labels.dtype, tuple(labels.shape))
    if kinds != (torch.uint8, 4, torch.int64, tuple(images.shape[:1])):
        raise InputError(f"{path}: holds no uint8 images [N, C, H, W] with int64 labels [N]; {AGAIN}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(metadata["classes"]):
        raise InputError(f"{path}: has labels beyond its {len(metadata['classes'])} classes; {AGAIN}")
    return images, labels, {**metadata, "shape": list(images.shape[1:])}


def open_set(path: str | Path, split: SplitMetadata, kind: str = adversarial.KIND) -> tuple["Tensors", SetMetadata]:
    """The adversarial images [N, C, H, W] as Tensors, which are read as needed, and the metadata of a set or a shard.

    Raises InputError where the file is truncated or altered, or was crafted from other clean images than those of
    `split` (its metadata).
    """
    metadata: SetMetadata = read_metadata(path, kind, adversarial.METADATA)
    if metadata["clean_fingerprint"] != split["fingerprint"]:
        raise InputError(f"{path}: was crafted from other images than the test split now has; remove it and run again")
    images = open_array(path, "adversarial")
    if len(images.shape) != 4 or images.dtype.name not in ("float32", "uint8"):
        raise InputError(f"{path}: holds no float32 or uint8 images [N, C, H, W]; remove it and run again")
    return Tensors(images), metadata


class Tensors:
    """Rows of a file as torch tensors: `rows[first:last]` or `rows[indices]`."""

    def __init__(self, rows: Array) -> None:
        self.rows, self.shape = rows, tuple(rows.shape)
        self.dtype = torch.from_numpy(np.empty(0, rows.dtype)).dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> torch.Tensor:
        return torch.from_numpy(self.rows[rows])


def to_pixels(images: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """uint8 images as float32 pixels in [0, 1] on `device`; float images are pixels already."""
    images = images.to(device)
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images
