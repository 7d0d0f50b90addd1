"""Whether a network can be trained after a compression, tried before its training: with the code that `forward` has for
training mode, on the weights that are compressed."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.copies import copied
from squeezeproof.models.products import multiplied, products, used
from squeezeproof.randomness import own_randomness
from squeezeproof.store.datasets import to_pixels
from squeezeproof.training.adversaries import logits_of

# By a name of its own every network that is trained would be trained again.
from squeezeproof.training.loop import _check_trainable

IMAGES = 8
# Passes in training mode, some of whose layers may be left out by chance in each.
PASSES = 16
# Names that one message has.
LISTED = 4
ADVICE = (
    "let the factory return the network without its averaged copy or second form, or leave it out of the compressions"
)


def apart_in_training(model: nn.Module, shape: Sequence[int], images: torch.Tensor, labels: torch.Tensor) -> str | None:
    """Why no compression of a model can be trained on: in eval mode it multiplies with parameters that no training
    reaches, as those of an averaged copy that `forward` updates. None where there are no such parameters.

    Args:
        model: left as it is.
        shape: (C, H, W) of one image.
        images, labels: of the training split, uint8 and int64, of which the first IMAGES are used.

    A network that cannot be trained at all is left to its training.
    """
    pixels, labels = to_pixels(images[:IMAGES], "cpu"), labels[:IMAGES]
    names = {name for name, _ in model.named_parameters()}
    left = used(products(model, shape, pixels)) & names
    trained = copied(model)
    with own_randomness(0):
        for _ in range(PASSES):
            with multiplied(trained) as direct:
                if _failure(trained, pixels, labels):
                    return None
            moved = {name for name, parameter in trained.named_parameters() if parameter.grad is not None}
            left -= direct | moved
            if not left:
                return None
    listed = ", ".join(sorted(left)[:LISTED]) + ", ..." * (len(left) > LISTED)
    return (
        f"in eval mode the network multiplies with {listed}, in training mode with other weights: what is compressed "
        f"is not what a training trains; {ADVICE}"
    )


def check_trained(model: nn.Module, name: str, epochs: int) -> None:
    """InputError where a network called `name` is to be trained for some epochs and has nothing that is trained."""
    if epochs:
        try:
            _check_trainable(model, epochs)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None


def fails_in_training(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> str | None:
    """Why a compressed model cannot be trained, None where it can; arguments as of `apart_in_training`."""
    with own_randomness(0):
        error = _failure(copied(model), to_pixels(images[:IMAGES], "cpu"), labels[:IMAGES])
    if error is None:
        return None
    return (
        f"after the compression the network fails in training mode, as where only `forward` in that mode uses a part, "
        f"which keeps its old size ({type(error).__name__}: {error}); {ADVICE}"
    )


def _failure(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> Exception | None:
    """What a step of a training ends with, but for an update; None where it goes well."""
    try:
        logits = logits_of(model.train(), pixels, "float32")
        if logits.requires_grad:
            functional.cross_entropy(logits, labels).backward()
    except InputError:
        # Of a network that returns a collection in training mode: told by its training.
        return None
    except Exception as error:
        pass_on(error)
        return error
    return None
