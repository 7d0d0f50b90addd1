"""Networks of libraries by their names, with a stem for small images."""

import difflib
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from squeezeproof.entries.architectures.timm import Timm
from squeezeproof.errors import InputError, pass_on

SMALL_IMAGE = 64
# Settings of single families: one output instead of three, and the image's size, on which tokens depend.
OPTIONS = {"googlenet": {"aux_logits": False, "init_weights": True}, "inception_v3": {"aux_logits": False}}


def torchvision_network(
    *, in_channels: int, num_classes: int, image_size: int, name: str, stem: str = "auto"
) -> nn.Module:
    """The torchvision network of a name, with random weights.

    Args:
        stem: `original`, or `small`: the first convolution has stride 1 (and 3x3 weights instead of 7x7), and a pool
            right after it is left out, unless it cuts the image into patches; `auto` is `small` for images up to 64
            pixels.

    Raises InputError where there is no network of that name, or it takes no such images.
    """
    from torchvision import models

    _check_name("torchvision", name, models.list_models(module=models))
    options = OPTIONS.get(name, {})
    if name.startswith("vit_"):
        options = {"image_size": image_size}
    with _takes_images("torchvision", name, image_size):
        network = models.get_model(name, weights=None, num_classes=num_classes, **options)
    adapt_stem(network, in_channels, _is_small(stem, image_size))
    return network


def timm_network(*, in_channels: int, num_classes: int, image_size: int, name: str, stem: str = "auto") -> nn.Module:
    """The timm network of a name, with random weights; otherwise as `torchvision_network`."""
    try:
        import timm
    except ImportError as error:
        raise InputError(f"kind: timm needs the package timm: pip install '{Timm.package}'") from error
    _check_name("timm", name, timm.list_models())
    options = {"num_classes": num_classes, "in_chans": in_channels}
    with _takes_images("timm", name, image_size):
        try:
            network = timm.create_model(name, img_size=image_size, **options)
        except TypeError:
            # Most convolutional networks do not ask for it.
            network = timm.create_model(name, **options)
    adapt_stem(network, in_channels, _is_small(stem, image_size))
    return network


@contextmanager
def _takes_images(library: str, name: str, image_size: int) -> Generator[None]:
    """Raise InputError where a library cannot build a network for images of that size."""
    try:
        yield
    except NotImplementedError:
        # A RuntimeError of another kind: what a network computes with on the meta device, not its images.
        raise
    except (ValueError, RuntimeError, AssertionError) as error:
        pass_on(error)
        raise InputError(f"name: {library}'s {name} takes no images of {image_size} pixels ({error})") from error


def _check_name(library: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        raise InputError(f"name: {library} has no classifier {name!r}; {', '.join(near or names)} are some it has")


def _is_small(stem: str, image_size: int) -> bool:
    return stem == "small" or (stem == "auto" and image_size <= SMALL_IMAGE)


def adapt_stem(network: nn.Module, in_channels: int, small: bool) -> None:
    """Give the first convolution of a network its number of channels and, where asked, a stem for small images."""
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.MaxPool2d))]
    name, first = layers[0]
    kernel, stride, padding = first.kernel_size, first.stride, first.padding
    patches = kernel == stride
    if small and not patches:
        stride = (1, 1)
        kernel, padding = ((3, 3), (1, 1)) if kernel == (7, 7) else (kernel, padding)
        if len(layers) > 1 and isinstance(layers[1][1], nn.MaxPool2d):
            network.set_submodule(layers[1][0], nn.Identity())
    if (in_channels, kernel) == (first.in_channels, first.kernel_size):
        first.stride = stride
        return
    new = nn.Conv2d(in_channels, first.out_channels, kernel, stride, padding, bias=first.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        with torch.no_grad():
            new.bias.zero_()
    network.set_submodule(name, new)
