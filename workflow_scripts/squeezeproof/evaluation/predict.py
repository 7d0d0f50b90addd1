"""Predicted labels of a model, batch by batch."""

import torch

from squeezeproof.batches import in_batches
from squeezeproof.errors import InputError
from squeezeproof.store.datasets import to_pixels


@torch.no_grad()
def predict(model, images, batch_size=None):
    """Predicted labels int64 [N], on the CPU, of images [N, C, H, W], uint8 or float in [0, 1]; sets eval mode.

    `images` may be Tensors (store.datasets), of which a batch at a time is read; `batch_size` None takes as many at a
    time as fit. Raises InputError when a logit is not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    labels = torch.empty(len(images), dtype=torch.int64)

    def work(first, last):
        logits = model(to_pixels(images[first:last], device))
        if not torch.isfinite(logits).all():
            raise InputError("the model's logits are not finite: its weights or its input are broken")
        labels[first:last] = logits.argmax(1).cpu()

    in_batches(len(labels), batch_size, work)
    return labels


def accuracy(model, images, labels, batch_size=None):
    """Share of uint8 or float images classified as their label."""
    return (predict(model, images, batch_size) == labels.cpu()).double().mean().item()
