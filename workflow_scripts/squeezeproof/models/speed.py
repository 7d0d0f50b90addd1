"""How fast this machine trains a network and steps towards its input, timed on random images."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.runtime import place

# Multiply-accumulates of a timed step, as far as it may have fewer images than a batch has.
WORK = 2e10
# Steps that are timed, after one that is not; the fastest counts, which other programs disturbed least.
STEPS = 3


@dataclass(frozen=True)
class Speed:
    """Seconds per multiply-accumulate of a training's steps, and of an attack's: one pass forward and one backward."""

    training: float
    attacks: float


def speed(
    model: nn.Module, macs: int, shape: Sequence[int], device: str = "cpu", *, training: int = 128, attacks: int = 250
) -> Speed:
    """Time steps of a network on this machine.

    Args:
        model: maps [N, *shape] in [0, 1] to logits [N, classes]; it is left in another state.
        macs: multiply-accumulates of a pass forward, per image.
        shape: (C, H, W) of one image.
        device: cpu, where seconds are those of all of its threads together, or cuda.
        training, attacks: images per batch; a network of which so many take long is given fewer.
    """
    model = place(model, device, shape)
    # Backward, the products for the weights cost as much as those towards the input.
    return Speed(
        _seconds(_training_step(model), shape, device, _batch(macs, 3, training)) / (3 * macs),
        _seconds(_attack_step(model), shape, device, _batch(macs, 2, attacks)) / (2 * macs),
    )


def _batch(macs: int, passes: int, most: int) -> int:
    # Batch normalisation takes no single image in training.
    return max(2, min(most, int(WORK / (passes * macs))))


def _training_step(model: nn.Module) -> Callable[[torch.Tensor], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def step(pixels: torch.Tensor) -> None:
        model.train().requires_grad_(True)
        optimizer.zero_grad()
        _loss(model(pixels)).backward()
        optimizer.step()

    return step


def _attack_step(model: nn.Module) -> Callable[[torch.Tensor], None]:
    def step(pixels: torch.Tensor) -> None:
        model.eval().requires_grad_(False)
        points = pixels.clone().requires_grad_(True)
        torch.autograd.grad(_loss(model(points)), points)

    return step


def _loss(logits: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, logits.detach().argmin(1))


def _seconds(step: Callable[[torch.Tensor], None], shape: Sequence[int], device: str, images: int) -> float:
    """Seconds of a step per image."""
    pixels = torch.rand(images, *shape).to(device)
    clock, taken = (time.perf_counter if device == "cuda" else time.process_time), []
    for _ in range(1 + STEPS):
        started = clock()
        step(pixels)
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(clock() - started)
    return min(taken[1:]) / images
