"""What a network supports of a study, tried on its untrained weights, before hours go into its training."""

import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from squeezeproof.attacks.checks import check_logits
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import log_odds
from squeezeproof.checked import ArchitectureSettings
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.entries import registry
from squeezeproof.errors import InputError, NotSupported, OfModel, pass_on
from squeezeproof.evaluation.trainable import apart_in_training, fails_in_training
from squeezeproof.factories import allow
from squeezeproof.models.build import build, specification
from squeezeproof.models.checkpoints import check_rebuilds, save_model
from squeezeproof.models.copies import copied
from squeezeproof.models.features import features
from squeezeproof.models.takes import described
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Specification

IMAGES = 64


def not_supported(
    model: nn.Module,
    shape: Sequence[int],
    compressions: dict[str, list[dict[str, Any]]],
    attacks: dict[str, dict[str, Any]],
    images: torch.Tensor,
    labels: torch.Tensor,
    seed: int = 0,
) -> dict[str, str]:
    """Name -> why the model does not support the compression or the attack of that name; trained nothing.

    Args:
        model: an untrained network, left as it is.
        shape: (C, H, W) of one image.
        compressions: name -> the checked entries that make it one after the other, each at one ratio or bit width.
        attacks: name -> its checked settings.
        images, labels: of the training split, of which the first IMAGES are used.

    Raises InputError where no attack could say anything of the network, whose outputs are no logits.
    """
    images, labels = images[:IMAGES], labels[:IMAGES]
    model = as_if_trained(model)
    apart = apart_in_training(model, shape, images, labels) if compressions else None
    reasons: dict[str, str | None] = {
        name: apart or _compression(model, shape, steps, images, labels, seed) for name, steps in compressions.items()
    }
    gradient = _gradient(model, to_pixels(images, "cpu"), labels)
    for name, settings in attacks.items():
        reasons[name] = gradient if registry.attacks()[settings["method"]].needs == "gradients" else None
    return {name: reason for name, reason in reasons.items() if reason}


def as_if_trained(model: nn.Module) -> nn.Module:
    """A copy with weights moved by a tenth: before a training many are 1 or 0, and hide what is computed with them."""
    moved, generator = copied(model), torch.Generator().manual_seed(0)

    def noise(tensor: torch.Tensor) -> torch.Tensor:
        return 0.1 * torch.randn(tensor.shape, generator=generator).to(tensor)

    with torch.no_grad():
        for parameter in moved.parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                size = parameter.square().mean().sqrt()
                parameter.add_(noise(parameter) * torch.where(size > 0, size, 1))
        for module in moved.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                module.running_mean.add_(noise(module.running_mean))
    return moved


def check_kept(model: nn.Module, spec: Specification, images: torch.Tensor) -> None:
    """InputError where a checkpoint would not hold all that a network is, found before it is trained.

    Args:
        model: an untrained network, left as it is.
        spec: its specification.
        images: uint8 images of the training split. What a pass in training mode changes is to be kept, too.
    """
    trained = copied(model).train()
    with torch.no_grad():
        trained(to_pixels(images[:IMAGES], "cpu"))
    # As a training leaves it: some fuse their layers as they change mode.
    trained.eval()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.safetensors"
        save_model(path, trained, spec)
        try:
            check_rebuilds(path, trained)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "a checkpoint of this network")) from None


def look() -> None:
    """What a process of its own is started for: JSON from stdin, `networks` with their settings, shape [channels, side,
    classes] and names of layers, and the packages `allowed`; prints for each a line, a JSON list: whether it is about
    the layers, and what is wrong, "" where nothing is.
    """
    asked = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as answer:
        # What the user's own code prints, also when the process ends, is no part of the answer.
        os.dup2(2, 1)
        allow(asked["allowed"])
        for network in asked["networks"]:
            # Whole, or not at all: the next network may end this process.
            print(json.dumps(_no_layers(**network)), file=answer, flush=True)


def _no_layers(settings: ArchitectureSettings, shape: list[int], layers: list[str]) -> tuple[bool, str]:
    channels, side, classes = shape
    try:
        model = build(specification(settings, described((channels, side, side), classes)), seed=0)
        features(model, [], torch.zeros(2, channels, side, side))
    except NotSupported:
        # The job that builds it says so in a marker, and the study goes on.
        return False, ""
    except InputError as error:
        return False, str(error)
    except (Exception, SystemExit) as error:
        return False, f"{type(error).__name__}: {error}"
    try:
        features(model, layers, torch.zeros(2, channels, side, side))
    except InputError as error:
        return True, str(error)
    return False, ""


def _compression(
    model: nn.Module,
    shape: Sequence[int],
    steps: list[dict[str, Any]],
    images: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
) -> str | None:
    tried, masks, again = copied(model), None, partial(copied, model)
    try:
        for settings in steps:
            once = {**settings, "steps": 1} if "steps" in settings else settings
            # Nothing is trained in between.
            task = Task(tried, shape, once, lambda *_: None, (images, labels), seed, masks, again)
            masks = compress(task)
    except NotSupported as error:
        return str(error)
    return fails_in_training(tried, images, labels)


def _gradient(model: nn.Module, points: torch.Tensor, labels: torch.Tensor) -> str | None:
    with torch.no_grad():
        check_logits(model.eval()(points), model, points)
    try:
        # The cross-entropy of a network that comes with its weights may round to 0 on all these images.
        *_, gradient = loss_and_gradient(model, points, labels, log_odds)
    except NotSupported as error:
        return str(error)
    except RuntimeError as error:
        pass_on(error)
        raise OfModel(f"the network cannot be trained or attacked, its backward pass fails: {error}") from error
    if not gradient.any():
        return (
            "every input gradient of the model is exactly zero, as where it rounds its pixels, so a gradient attack "
            "would say nothing about it"
        )
    return None
