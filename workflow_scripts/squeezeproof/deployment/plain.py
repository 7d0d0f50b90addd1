"""Models as deployed: eager copies without autograd functions, and what runs their files."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.errors import NotSupported, pass_on
from squeezeproof.models.copies import copied
from squeezeproof.models.quantized import SMALLEST_SCALE, Quantizer, quantized_layers
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Images

BATCH = 100


class Rounding(nn.Module):
    """What a Quantizer computes, bit for bit, in operations that every exporter knows."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.scale = quantizer.scale.item()
        self.zero_point, self.top = int(quantizer.zero_point), 2**quantizer.bits - 1
        self.scale = max(self.scale, SMALLEST_SCALE)
        # The reciprocal as the Quantizer rounds it, in float32.
        self.reciprocal = torch.tensor(self.scale).reciprocal().item()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        level = (torch.round(x * self.reciprocal) + self.zero_point).clamp(0, self.top)
        return (level - self.zero_point) * self.scale


def plain(model: nn.Module, rounding: Callable[[Quantizer], nn.Module] = Rounding) -> nn.Module:
    """A copy of a model on the CPU in eval mode that computes the same logits and can be exported.

    Args:
        rounding: makes the module that stands for a Quantizer of inputs. Quantized weights are put in as they are
            rounded; their layers are then float layers.
    """
    # torch.export warns of weights that lie channels last. The signatures of torch leave that argument out.
    model = copied(model).to("cpu", memory_format=torch.contiguous_format)  # ty: ignore[no-matching-overload]
    model.eval().requires_grad_(False)
    for name in quantized_layers(model):
        layer = model.get_submodule(name)
        layer.weight = nn.Parameter(layer.weight_quantizer(layer.weight).detach(), requires_grad=False)
        layer.weight_quantizer = nn.Identity()
        if isinstance(layer.input_quantizer, Quantizer):
            layer.input_quantizer = rounding(layer.input_quantizer)
    return model


def run_session(session: Any, pixels: np.ndarray) -> np.ndarray:
    """Logits [N, K] of pixels [N, C, H, W], both float32 numpy arrays."""
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def logits_of(forward: Callable[[torch.Tensor], Any], images: Images) -> np.ndarray:
    """Logits [N, K], numpy, of uint8 images [N, C, H, W] by forward(pixels tensor), in batches."""
    with torch.inference_mode():
        batches = (images[first : first + BATCH] for first in range(0, len(images), BATCH))
        return np.concatenate([np.asarray(forward(to_pixels(batch, "cpu"))) for batch in batches])


def logits_of_session(session: Any, images: Images) -> np.ndarray:
    """Logits [N, K] of uint8 images by ONNX Runtime; NotSupported where its graph fails on so many."""
    with told_of_runtime(len(images)):
        return logits_of(lambda pixels: run_session(session, pixels.numpy()), images)


@contextmanager
def told_of_runtime(count: int) -> Generator[None]:
    """NotSupported where ONNX Runtime fails with an exported network on so many images."""
    try:
        yield
    except Exception as error:
        pass_on(error)
        raise NotSupported(
            f"ONNX Runtime fails on {count} images with the exported network, whose Python code depends on its "
            f"input ({type(error).__name__}: {error}); leave it out of efficiency.models"
        ) from error
