"""What a network supports of a study, tried on its untrained weights, before hours go into its training."""

import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.checks import check_logits
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.entries import registry
from squeezeproof.errors import InputError, NotSupported
from squeezeproof.models.checkpoints import check_rebuilds, save_model
from squeezeproof.store.datasets import to_pixels

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
    reasons: dict[str, str | None] = {
        name: _compression(model, shape, steps, images, labels, seed) for name, steps in compressions.items()
    }
    gradient = _gradient(model, to_pixels(images, "cpu"), labels)
    for name, settings in attacks.items():
        reasons[name] = gradient if registry.attacks()[settings["method"]].needs == "gradients" else None
    return {name: reason for name, reason in reasons.items() if reason}


def check_kept(model: nn.Module, spec: dict[str, Any], images: torch.Tensor) -> None:
    """InputError where a checkpoint would not hold all that a network is, found before it is trained.

    Args:
        model: an untrained network, left as it is.
        spec: its specification.
        images: uint8 images of the training split. What a pass in training mode changes is to be kept, too.
    """
    trained = copy.deepcopy(model).train()
    with torch.no_grad():
        trained(to_pixels(images[:IMAGES], "cpu"))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.safetensors"
        save_model(path, trained, spec)
        try:
            check_rebuilds(path, trained)
        except InputError as error:
            raise InputError(str(error).replace(str(path), "a checkpoint of this network")) from None


def _compression(
    model: nn.Module,
    shape: Sequence[int],
    steps: list[dict[str, Any]],
    images: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
) -> str | None:
    tried, masks, again = copy.deepcopy(model), None, partial(copy.deepcopy, model)
    try:
        for settings in steps:
            once = {**settings, "steps": 1} if "steps" in settings else settings
            # Nothing is trained in between.
            task = Task(tried, shape, once, lambda *_: None, (images, labels), seed, masks, again)
            masks = compress(task)
    except NotSupported as error:
        return str(error)
    return None


def _gradient(model: nn.Module, points: torch.Tensor, labels: torch.Tensor) -> str | None:
    with torch.no_grad():
        check_logits(model.eval()(points))
    try:
        loss_and_gradient(model, points, labels, lambda *found: functional.cross_entropy(*found, reduction="none"))
    except NotSupported as error:
        return str(error)
    except RuntimeError as error:
        raise InputError(f"the network cannot be trained or attacked, its backward pass fails: {error}") from error
    return None
