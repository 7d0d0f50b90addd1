"""What a person hands over in memory, as the library takes it; an InputError says what to write instead."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic_core import PydanticCustomError
from torch import nn

from squeezeproof.attacks.checks import check_logits
from squeezeproof.attacks.source import frozen
from squeezeproof.entries.settings import read_number
from squeezeproof.errors import InputError, pass_on
from squeezeproof.in_memory.functions import Function, OnCopies, writes
from squeezeproof.models.build import how_to_wrap
from squeezeproof.models.device import device_of
from squeezeproof.store.datasets import to_pixels
from squeezeproof.study.schema import meant_share

PROBE = 2
# Channels of images; a last dimension of so many is taken for them where the second is of more.
CHANNELS = (1, 3, 4)
# What resizing and rounding add to pixels of [0, 1] at most; beyond it they are of another range.
OVERSHOOT = 0.1


def as_images(images: Any) -> torch.Tensor:
    """Images [N, C, H, W] on the CPU: uint8, or float32 in [0, 1]; a copy unless they are uint8."""
    found = _as_tensor(images, "images")
    shape = tuple(found.shape)
    if 0 in shape:
        raise InputError(f"images: there are none, as their shape is {shape}; give [N, C, H, W]")
    if found.dim() == 3:
        raise InputError(
            f"images: their shape is {shape}, [N, C, H, W] is needed; write images[None] for a single image, "
            f"images[:, None] for grey ones"
        )
    if found.dim() != 4:
        raise InputError(f"images: their shape is {shape}, [N, C, H, W] is needed")
    if shape[1] > max(CHANNELS) and shape[3] in CHANNELS:
        first = "permute" if isinstance(images, torch.Tensor) else "transpose"
        raise InputError(
            f"images: their shape is {shape}, channels last; write {_array(images, 'images')}.{first}(0, 3, 1, 2)"
        )
    if found.dtype == torch.uint8:
        if found.max() <= 1:
            raise InputError(
                f"images: none has a pixel above {found.max().item()} of 255; write images * 255 where 1 is white, or "
                f"leave black images out"
            )
        return found
    if not found.is_floating_point():
        raise InputError(f"images: are {_dtype(found)}; give uint8 in 0 to 255, or floats in [0, 1]")
    _check_range(found)
    return found.to(torch.float32, copy=True)


def _check_range(images: torch.Tensor) -> None:
    low, high = images.min().item(), images.max().item()
    if not np.isfinite([low, high]).all():
        raise InputError("images: hold values that are not finite")
    if (low < 0 or high > 1) and low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        raise InputError(
            f"images: lie in [{low:.8g}, {high:.8g}], a little beyond the pixels in [0, 1] that are needed; write "
            f"images.clip(0, 1)"
        )
    if low < 0:
        raise InputError(
            f"images: lie in [{low:.3g}, {high:.3g}], pixels in [0, 1] are needed; if they are normalised, put that "
            f"into the model instead: lambda pixels: model((pixels - mean) / std)"
        )
    if high > 1:
        raise InputError(f"images: lie in [{low:.3g}, {high:.3g}], pixels in [0, 1] are needed; divide them by 255")
    # Rounded to float32, 1 / 255 is a little more.
    if 255 * high < 1.5:
        raise InputError(f"images: none has a pixel above {high:.3g} in [0, 1]; were they divided by 255 twice?")


def as_whole(name: str, value: Any, least: int) -> int:
    """A whole number, `least` at least, that an argument of that name says."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise InputError(f"{name}: {value!r:.60} is no whole number; write one from {least} on")
    return number


def as_number(value: Any) -> Any:
    """The number that a tensor or array without dimensions is; any other value as it is."""
    return value.item() if isinstance(value, torch.Tensor | np.ndarray | np.generic) and not value.ndim else value


def as_share(name: str, value: Any, most: float) -> float:
    """The share, above 0 and at most `most`, that an argument of that name says."""
    try:
        number = read_number(as_number(value))
    except PydanticCustomError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputError(f"{name}: {value!r:.60} is no number; write one in (0, {most}]")
    if not 0 < number <= most:
        allowed = f"(0, {most}]"
        raise InputError(f"{name}: {number:.12g} is not in {allowed}{meant_share(number, allowed)}")
    return float(number)


def as_run(seed: Any, batch_size: Any) -> tuple[int, int | None]:
    """The seed and the batch size of a call; InputError where one is none, or where torch is set so that no attack
    computes what it should.
    """
    if torch.is_inference_mode_enabled():
        raise InputError("torch.inference_mode is on, in which nothing has a gradient; call this outside of it")
    if torch.get_default_dtype() != torch.float32:
        raise InputError(
            f"torch's default type is {_name(torch.get_default_dtype())}, float32 is needed; write "
            f"torch.set_default_dtype(torch.float32) before this call"
        )
    return as_whole("seed", seed, 0), None if batch_size is None else as_whole("batch_size", batch_size, 1)


def as_labels(labels: Any, count: int) -> torch.Tensor:
    """Labels int64 [N] on the CPU, of as many images."""
    found = _as_tensor(labels, "labels")
    if found.dim() == 2:
        raise InputError(
            f"labels: their shape is {tuple(found.shape)}, [N] is needed{_one_each(found, _array(labels, 'labels'))}"
        )
    if tuple(found.shape) != (count,):
        raise InputError(f"labels: their shape is {tuple(found.shape)}, there are {count} images")
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise InputError(f"labels: are {_dtype(found)}, whole numbers from 0 are needed")
    if found.min() < 0:
        raise InputError(f"labels: {found.min().item()} is among them, classes are counted from 0")
    return found.to(torch.int64)


def _one_each(labels: torch.Tensor, name: str) -> str:
    """What to write, after a semicolon, for labels of two dimensions, which the caller's code calls `name`."""
    if 0 in labels.shape or labels.is_complex():
        return ""
    if labels.shape[1] == 1:
        return f"; write {name}[:, 0]"
    if labels.shape[0] == 1:
        return f"; write {name}[0]"
    shares = labels.double()
    if (shares >= 0).all() and ((shares.sum(1) - 1).abs() < 1e-3).all():
        return f"; write {name}.argmax(1)"
    return ", one class for each image"


def as_model(
    model: Callable[..., Any], images: torch.Tensor, labels: torch.Tensor, what: str = "model"
) -> tuple[nn.Module, int]:
    """A torch.nn.Module that maps pixels [N, C, H, W] in [0, 1] to logits [N, K], and K.

    Args:
        model: an nn.Module, or any function of such pixels whose result is a tensor or what makes one.
        images, labels: what it is to classify; the first images are tried.
        what: its name in errors.

    Raises InputError where it fails on the first images or its outputs are no logits of so many classes.
    """
    if not callable(model):
        shown = f"{model!r:.60}" if isinstance(model, str | int | float) else f"a {type(model).__name__}"
        raise InputError(f"{what}: {shown} cannot be called; give a torch.nn.Module or a function")
    if isinstance(model, type):
        raise InputError(f"{what}: {model.__name__} is a class; give a model that was made of it: {model.__name__}()")
    if isinstance(model, torch.jit.ScriptModule) and not isinstance(model, torch.jit.TopLevelTracedModule):
        raise InputError(
            f"{what}: is compiled by torch.jit.script, whose weights cannot be frozen; give the plain module, or "
            f"lambda pixels: model(pixels)"
        )
    try:
        module = model if isinstance(model, nn.Module) else Function(model, to_pixels(images[:PROBE], "cpu"))
        pixels = to_pixels(images[:PROBE], device_of(module))
        if isinstance(model, nn.Module) and writes(module, pixels):
            module = OnCopies(module)
        with frozen(module), torch.no_grad():
            logits = module(pixels)
    except Exception as error:
        pass_on(error)
        shape = tuple(images[:PROBE].shape)
        # A function has none.
        weights = model.parameters() if isinstance(model, nn.Module) else ()
        others = sorted({_dtype(weight) for weight in weights if weight.dtype != torch.float32})
        hint = (
            f"; its weights are {' and '.join(others)}, write model.float()"
            if others
            else _misfit(model, images, error)
        )
        raise InputError(f"{what}: fails on float32 pixels {shape}: {type(error).__name__}: {error}{hint}") from error
    if not isinstance(logits, torch.Tensor):
        raise InputError(f"{what}: returns a {type(logits).__name__}, not logits{how_to_wrap(logits)}")
    if logits.dim() != 2 or len(logits) != len(pixels) or logits.shape[1] < 2:
        raise InputError(
            f"{what}: maps {tuple(pixels.shape)} to {tuple(logits.shape)}, one logit for each class of each image is "
            f"needed"
        )
    if logits.dtype != torch.float32:
        raise InputError(f"{what}: its logits are {_dtype(logits)}, float32 is needed; let it return logits.float()")
    if labels.max() >= logits.shape[1]:
        raise InputError(f"labels: {labels.max().item()} is among them, the {what} has {logits.shape[1]} classes")
    try:
        check_logits(logits, module, pixels)
    except InputError as error:
        hint = "; of probabilities the logarithm will do" if "probabilities" in str(error) else ""
        raise InputError(f"{what}: {error}{hint}") from None
    return module, logits.shape[1]


def _misfit(model: Any, images: torch.Tensor, error: Exception) -> str:
    """What to write, after a semicolon, where a model fails on images since it takes others."""
    layers = model.modules() if isinstance(model, nn.Module) else ()
    first = next((layer for layer in layers if isinstance(layer, nn.Conv2d)), None)
    channels = images.shape[1]
    if first is not None and first.in_channels in CHANNELS and first.in_channels != channels:
        remedies = {(3, 1): "repeat the grey channel three times", (1, 3): "give them in grey"}
        remedy = remedies.get((first.in_channels, channels), f"give images of {first.in_channels}")
        return f"; its first convolution takes {first.in_channels} channels, the images have {channels}: {remedy}"
    if "cannot be multiplied" in str(error):
        size = " x ".join(map(str, images.shape[2:]))
        return f"; its linear layers are made for images of another size than {size}: give them in that size"
    return ""


def gives_gradients(model: nn.Module, images: torch.Tensor) -> bool:
    """Whether the logits of a module follow the pixels of the first images through autograd: rounding without a
    straight-through gradient leaves zeros alone.
    """
    points = to_pixels(images[:PROBE], device_of(model)).clone().requires_grad_(True)
    with frozen(model), torch.enable_grad():
        logits = model(points)
        if not logits.requires_grad:
            return False
        # Of probabilities the plain sum does not change, of z and -z neither; roots have no whole ratio, and none is 0.
        each = torch.arange(1, logits.shape[1] + 1, device=logits.device).sqrt()
        (gradient,) = torch.autograd.grad((logits * each).sum(), points, allow_unused=True)
    return gradient is not None and bool((gradient != 0).any())


def _as_tensor(values: Any, what: str) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        if values.is_meta:
            raise InputError(f"{what}: have no values, as they lie on the device meta; load them first")
        if values.is_quantized or values.layout is not torch.strided:
            plain = "dequantize" if values.is_quantized else "to_dense"
            raise InputError(f"{what}: are no plain tensor of numbers; write {what}.{plain}()")
        return values.detach().cpu()
    try:
        return torch.from_numpy(np.array(values))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: a {type(values).__name__} makes no array of numbers: {error}") from None


def _array(values: Any, name: str) -> str:
    """What a person writes for the tensor or array that `values` are, or become."""
    return name if isinstance(values, torch.Tensor | np.ndarray) else f"numpy.array({name})"


def _dtype(tensor: torch.Tensor) -> str:
    return _name(tensor.dtype)


def _name(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")
