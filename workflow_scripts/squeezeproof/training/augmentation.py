"""Augmentation of a batch as tensor code on the batch's device; every draw comes from the given generator."""

import math

import torch
from torch.nn import functional


def augment(
    pixels: torch.Tensor, *, flip: bool, crop: int, rotation: float, generator: torch.Generator
) -> torch.Tensor:
    """Random horizontal flips, shifted crops and rotations of pixels [N, C, H, W].

    Args:
        flip: mirror each image with probability 1/2.
        crop: pad by this many zero pixels and crop at a random offset.
        rotation: rotate by an angle drawn from [-rotation, rotation] degrees (bilinear, zeros outside).
        generator: a CPU generator.
    """
    count = len(pixels)
    if flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        pixels = torch.where(mirrored.to(pixels.device).view(-1, 1, 1, 1), pixels.flip(-1), pixels)
    if crop:
        pixels = _shift(pixels, crop, generator)
    if rotation:
        angles = (torch.rand(count, generator=generator) * 2 - 1) * math.radians(rotation)
        pixels = _rotate(pixels, angles.to(pixels.device))
    return pixels


def _shift(pixels: torch.Tensor, crop: int, generator: torch.Generator) -> torch.Tensor:
    count, channels, height, width = pixels.shape
    padded = functional.pad(pixels, (crop,) * 4)
    offsets = torch.randint(0, 2 * crop + 1, (2, count), generator=generator).to(pixels.device)
    rows = (offsets[0, :, None] + torch.arange(height, device=pixels.device))[:, None, :, None]
    columns = (offsets[1, :, None] + torch.arange(width, device=pixels.device))[:, None, None, :]
    images = torch.arange(count, device=pixels.device)[:, None, None, None]
    planes = torch.arange(channels, device=pixels.device)[None, :, None, None]
    return padded[images, planes, rows, columns]


def _rotate(pixels: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    maps = torch.stack([torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1)
    grid = functional.affine_grid(maps.to(pixels.dtype), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)
