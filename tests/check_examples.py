"""Files of two models, and folders of images, that `make check` is asked about."""

from functools import cache

import torch
from attack_fixtures import TRAIN, digits, held_out
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from squeezeproof.models.build import build, specification

NETWORK = {"kind": "cnn8", "width": 8}
CLASSES = 10


@cache
def trained():
    """A small network that was trained on digits in [-1, 1]."""
    images, labels = digits()
    dataset = {"shape": [1, 8, 8], "classes": list(range(CLASSES)), "mean": [0.0], "std": [1.0]}
    model = build(specification({**NETWORK, "normalization": "half"}, dataset), seed=0)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(6):
        for batch in torch.randperm(TRAIN, generator=generator).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch] / 255), labels[batch]).backward()
            optimizer.step()
    return model.network.eval()


def folder(path, count=100, size=8):
    """The held-out digits as PNG files in a folder per class."""
    for index, (image, label) in enumerate(zip(*held_out(count), strict=True)):
        place = path / str(label.item())
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).resize((size, size)).save(place / f"{index:03d}.png")
    return path


def safetensors(network, path):
    save_file(network.state_dict(), path)
    return str(path)
