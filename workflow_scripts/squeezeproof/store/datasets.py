"""Prepared splits and adversarial sets as torch tensors."""

import torch

from squeezeproof.store.tensors import read_arrays, read_metadata


def read_split(path):
    """A prepared split: uint8 images [N, C, H, W], int64 labels [N], and its metadata with the image `shape`."""
    metadata = read_metadata(path, "dataset")
    images, labels = read_arrays(path, ["images", "labels"], framework="pt").values()
    return images, labels, {**metadata, "shape": list(images.shape[1:])}


def to_pixels(images, device):
    """uint8 images as float32 pixels in [0, 1] on `device`; float images are pixels already."""
    images = images.to(device)
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images
