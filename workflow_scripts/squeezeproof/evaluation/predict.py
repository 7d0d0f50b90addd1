"""Predicted labels of a model, batch by batch."""

import torch

from squeezeproof.errors import InputError
from squeezeproof.store.datasets import to_pixels

BATCH = 500


@torch.inference_mode()
def predict(model, images, batch_size=BATCH):
    """Predicted labels int64 [N], on the CPU, of images [N, C, H, W], uint8 or float in [0, 1]; sets eval mode.

    `images` may be anything that slices into tensors, such as a memory-mapped safetensors slice. Raises InputError
    when a logit is not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    labels = []
    for start in range(0, _length(images), batch_size):
        batch = images[start : start + batch_size]
        pixels = to_pixels(batch, device) if batch.dtype == torch.uint8 else batch.to(device)
        logits = model(pixels)
        if not torch.isfinite(logits).all():
            raise InputError("the model's logits are not finite: its weights or its input are broken")
        labels.append(logits.argmax(1).cpu())
    return torch.cat(labels) if labels else torch.empty(0, dtype=torch.int64)


def accuracy(model, images, labels, batch_size=BATCH):
    """Share of uint8 or float images classified as their label."""
    return (predict(model, images, batch_size) == labels.cpu()).double().mean().item()


def _length(images):
    return len(images) if hasattr(images, "__len__") else images.get_shape()[0]
