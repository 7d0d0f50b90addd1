"""Prepared splits and adversarial sets as torch tensors."""

import torch

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import AGAIN, read_arrays, read_metadata

FACTS = {"classes": list, "fingerprint": str}


def read_split(path):
    """A prepared split: uint8 images [N, C, H, W], int64 labels [N], and its metadata with the image `shape`.

    Raises InputError where the file is truncated or altered, or its labels name no class.
    """
    metadata = read_metadata(path, "dataset", FACTS)
    images, labels = read_arrays(path, ["images", "labels"], framework="pt").values()
    if (images.dtype, images.dim(), labels.dtype, labels.shape) != (torch.uint8, 4, torch.int64, images.shape[:1]):
        raise InputError(f"{path}: holds no uint8 images [N, C, H, W] with int64 labels [N]; {AGAIN}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(metadata["classes"]):
        raise InputError(f"{path}: has labels beyond its {len(metadata['classes'])} classes; {AGAIN}")
    return images, labels, {**metadata, "shape": list(images.shape[1:])}


def to_pixels(images, device):
    """uint8 images as float32 pixels in [0, 1] on `device`; float images are pixels already."""
    images = images.to(device)
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images
