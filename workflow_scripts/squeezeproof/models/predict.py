"""Predicted labels of a model, batch by batch."""

from collections.abc import Callable

import torch
from torch import nn

from squeezeproof.batches import in_batches
from squeezeproof.errors import OfModel
from squeezeproof.models.device import device_of
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Images


def predict(model: nn.Module, images: Images, batch_size: int | None = None) -> torch.Tensor:
    """Predicted labels int64 [N], on the CPU, of images [N, C, H, W], uint8 or float in [0, 1]; sets eval mode.

    `images` may be Tensors (store.datasets), of which a batch at a time is read; `batch_size` None takes as many at a
    time as fit. Raises InputError when a logit is not finite.
    """
    labels = torch.empty(len(images), dtype=torch.int64)

    def keep(rows: slice, logits: torch.Tensor) -> None:
        labels[rows] = logits.argmax(1).cpu()

    each_logits(model, images, batch_size, keep)
    return labels


@torch.no_grad()
def each_logits(
    model: nn.Module, images: Images, batch_size: int | None, use: Callable[[slice, torch.Tensor], None]
) -> None:
    """Call use(rows, logits) for one slice of the images after the other; arguments and errors as for `predict`."""
    model.eval()
    device = device_of(model)

    def work(first: int, last: int) -> None:
        logits = model(to_pixels(images[first:last], device))
        if not torch.isfinite(logits).all():
            raise OfModel("the model's logits are not finite: its weights or its input are broken")
        use(slice(first, last), logits)

    in_batches(len(images), batch_size, work)


def accuracy(model: nn.Module, images: Images, labels: torch.Tensor, batch_size: int | None = None) -> float:
    """Share of uint8 or float images classified as their label."""
    return (predict(model, images, batch_size) == labels.cpu()).double().mean().item()
