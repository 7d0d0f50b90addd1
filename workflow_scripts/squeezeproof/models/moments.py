"""Mean and std per channel of what a network takes: those that a config names, and those of public data sets."""

from typing import Any

from squeezeproof.errors import InputError
from squeezeproof.types import DatasetMetadata

Moments = tuple[list[float], list[float]]
# Mean and std of ImageNet's training images, as torchvision's weights expect them.
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Of the training images of public data sets, as training scripts have them; CIFAR-10's std comes in two forms, over all
# pixels and as the mean of those of single images.
PUBLIC: dict[str, tuple[list[float], list[float]]] = {
    "CIFAR-10": ([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]),
    "CIFAR-10, std by image": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.201]),
    "CIFAR-100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    "SVHN": ([0.4377, 0.4438, 0.4728], [0.198, 0.201, 0.197]),
    "MNIST": ([0.1307], [0.3081]),
    "Fashion-MNIST": ([0.286], [0.353]),
}


def public_normalizations(channels: int) -> dict[str, dict[str, list[float]]]:
    """Name of a public data set -> its `normalization` as a config has numbers, of those of so many channels."""
    return {name: {"mean": mean, "std": std} for name, (mean, std) in PUBLIC.items() if len(mean) == channels}


def named_moments(dataset: DatasetMetadata) -> dict[str, Moments]:
    """Name of a normalization in a config -> (mean, std) per channel, for the metadata of a prepared split."""
    channels = dataset["shape"][0]
    found: dict[str, Moments] = {
        "dataset": (dataset["mean"], dataset["std"]),
        "none": ([0.0] * channels, [1.0] * channels),
        "half": ([0.5] * channels, [0.5] * channels),
        "bytes": ([0.0] * channels, [1 / 255] * channels),
    }
    return found | {"imagenet": IMAGENET} if channels == len(IMAGENET[0]) else found


def moments(normalization: Any, dataset: DatasetMetadata) -> Moments:
    """(mean, std) per channel of a checked `normalization`, for the metadata of a prepared split.

    Raises InputError where it is of another number of channels.
    """
    channels = dataset["shape"][0]
    if isinstance(normalization, dict):
        if len(normalization["mean"]) != channels:
            raise InputError(f"normalization: {said(normalization)} has not one number for each of {channels} channels")
        return list(map(float, normalization["mean"])), list(map(float, normalization["std"]))
    found = named_moments(dataset)
    if normalization not in found:
        raise InputError(f"normalization: {normalization} is of 3 channels, the images have {channels}")
    return found[normalization]


def said(normalization: Any) -> str:
    """A checked `normalization` as a config has it: its name, or its numbers."""
    if not isinstance(normalization, dict):
        return str(normalization)
    mean, std = (", ".join(f"{number:g}" for number in normalization[key]) for key in ("mean", "std"))
    return f"{{mean: [{mean}], std: [{std}]}}"
