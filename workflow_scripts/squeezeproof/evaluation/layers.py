"""What the layers of a model say of the clean and the adversarial images of one class."""

import torch
from torch import nn

from squeezeproof.batches import in_batches
from squeezeproof.errors import InputError
from squeezeproof.models.device import device_of
from squeezeproof.models.features import features, layer_names
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Images

INPUTS = "inputs"
AUTO = ["auto"]
LAST = 3


def first_of_class(labels: torch.Tensor, number: int, count: int) -> torch.Tensor:
    """Indices of the first `count` images of a class in `labels` [N]; InputError where there are fewer than two."""
    found = torch.nonzero(labels == number).flatten()[:count]
    if len(found) < 2:
        raise InputError(f"{len(found)} test images are of class {number}; at least two are needed")
    return found


def layer_features(
    model: nn.Module, images: Images, layers: list[str], maps: str, batch_size: int | None = None
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Features of images [N, C, H, W] (uint8 or float in [0, 1]) in some layers, and the model's labels of them.

    Args:
        layers: names as `models.features` takes them, or AUTO for the last three convolutions and linear layers.
        maps: `flatten` takes every number of a feature map, `mean` the mean of every channel.
        batch_size: images in memory at a time; None for as many as fit.

    Returns (features, predictions): layer name -> float32 [N, D] on the CPU, in the order of the layers and `inputs`,
    the flattened pixels, before them; and int64 [N].
    """
    if layers == AUTO:
        layers = layer_names(model, images.shape[1:])[-LAST:]
    device = device_of(model)
    found, predictions = {name: [] for name in (INPUTS, *layers)}, []

    def work(first: int, last: int) -> None:
        pixels = to_pixels(images[first:last], device)
        outputs = features(model, layers, pixels)
        with torch.no_grad():
            logits = model(pixels)
        told = {INPUTS: pixels.flatten(1).cpu()}
        for name, output in outputs.items():
            mean = maps == "mean" and output.dim() > 2
            told[name] = (output.flatten(2).mean(2) if mean else output.flatten(1)).cpu()
        # A part for which a GPU has no memory is begun anew, so that none of it is kept before all of it is there.
        predictions.append(logits.argmax(1).cpu())
        for name, rows in told.items():
            found[name].append(rows)

    in_batches(len(images), batch_size, work)
    return {name: torch.cat(parts) for name, parts in found.items()}, torch.cat(predictions)
