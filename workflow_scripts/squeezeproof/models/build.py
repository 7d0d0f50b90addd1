"""A model is its normalisation followed by a network, both built from names and numbers alone."""

import importlib
import inspect
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from squeezeproof.checked import ArchitectureSettings, CustomSettings
from squeezeproof.entries import registry
from squeezeproof.entries.architecture import OWN
from squeezeproof.errors import InputError, pass_on
from squeezeproof.factories import find_own_modules, refusal, stray
from squeezeproof.models import ensemble, foreign
from squeezeproof.models.attention import unfold_attention
from squeezeproof.models.copies import not_copied
from squeezeproof.models.functional import call_layers
from squeezeproof.models.initialization import initialize
from squeezeproof.models.moments import moments
from squeezeproof.models.normalize import Normalize
from squeezeproof.models.specifications import check_specification
from squeezeproof.randomness import own_randomness
from squeezeproof.seeds import derive_seed
from squeezeproof.types import DatasetMetadata, Specification
from squeezeproof.untrusted import check_members, check_parameters

FACTORIES = registry.Functions(registry.architectures())
# Settings of an architecture that are none of its factory.
APART = ("kind", "normalization", "initialization", "checkpoint", "pretrained")


def specification(settings: ArchitectureSettings, dataset: DatasetMetadata) -> Specification:
    """What rebuilds a model: the checked `architectures` entry and the metadata of the data set it takes.

    Args:
        settings: a checked entry of `architectures`.
        dataset: metadata of a prepared split, with its `shape` (C, H, W) and number of classes.
    """
    mean, std = moments(settings["normalization"], dataset)
    return {
        "architecture": settings,
        "in_channels": dataset["shape"][0],
        "image_size": dataset["shape"][1],
        "num_classes": len(dataset["classes"]),
        "mean": mean,
        "std": std,
    }


def build(spec: Specification, seed: int) -> nn.Sequential:
    """The model of a specification with random weights drawn from `seed`; the global generators of torch, numpy and
    Python are left as they were.

    Returns an nn.Sequential of `normalize` and `network` that maps pixels [N, C, H, W] in [0, 1] to logits [N, K].
    Raises InputError where a custom factory cannot be imported, fails, or returns something else.
    """
    settings = spec["architecture"]
    if settings["kind"] == ensemble.KIND:
        check_members([member["architecture"]["kind"] for member in settings["members"]], ensemble.KIND)
        return ensemble.averaged([build(member, seed) for member in settings["members"]])
    if settings["kind"] == foreign.KIND:
        return _behind(spec, foreign.Foreign(settings))
    shape = {key: spec[key] for key in ("in_channels", "num_classes", "image_size")}
    with own_randomness(seed):
        network = _build_custom(settings, shape) if settings["kind"] == "custom" else _build_known(settings, shape)
        pixels = torch.rand(2, spec["in_channels"], spec["image_size"], spec["image_size"])
        unfold_attention(network, pixels)
        if registry.architectures()[settings["kind"]].checked_first:
            call_layers(network, pixels)
    return _behind(spec, network)


def _behind(spec: Specification, network: nn.Module) -> nn.Sequential:
    """A network behind the normalisation of its specification."""
    return nn.Sequential(OrderedDict(normalize=Normalize(spec["mean"], spec["std"]), network=network))


def initial_model(spec: Specification, seed: int) -> nn.Sequential:
    """The model that the base model of a study's `seed` is before its training."""
    model = build(spec, derive_seed(seed, "weights"))
    initialize(model, spec["architecture"].get("initialization", OWN), derive_seed(seed, "initialization"))
    return model


def _build_known(settings: dict[str, Any], shape: dict[str, int]) -> nn.Module:
    """A network of FACTORIES; before memory is taken for its weights, that they are of a size that can be meant."""
    check_specification(settings, shape)
    arguments = {key: value for key, value in settings.items() if key not in APART}
    factory = FACTORIES[settings["kind"]]
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            parameters = sum(tensor.numel() for tensor in factory(**shape, **arguments).parameters())
    except NotImplementedError:
        # torchvision's RegNets compute their widths with tensors; their names bound their size.
        parameters = 0
    check_parameters(settings["kind"], parameters, shape["image_size"])
    return factory(**shape, **arguments)


def how_to_wrap(output: Any) -> str:
    """What to write where a network returns a collection instead of logits; nothing for a tensor."""
    if isinstance(output, torch.Tensor):
        return ""
    first = next(iter(output.keys()), "logits") if hasattr(output, "keys") else 0
    return (
        f"; return a module around it that gives the logits alone, with "
        f"`def forward(self, pixels): return self.network(pixels)[{first!r}]`"
    )


def _overlapping(network: nn.Module) -> tuple[str, str] | None:
    """The names of two parameters that are not one and hold the same memory, as views of each other do."""
    spans = []
    for name, parameter in network.named_parameters():
        if not isinstance(parameter, nn.parameter.UninitializedParameter) and parameter.numel():
            steps = (step * (size - 1) for step, size in zip(parameter.stride(), parameter.shape, strict=True))
            spans.append((parameter.data_ptr(), (sum(steps) + 1) * parameter.element_size(), name))
    spans.sort()
    for (start, length, name), (following, _, other) in itertools.pairwise(spans):
        if following < start + length:
            return name, other
    return None


def _call(function: Callable[..., Any], shape: dict[str, int], arguments: dict[str, Any]) -> Any:
    """What a factory returns; a TypeError that says how it is called where it does not take that."""
    try:
        inspect.signature(function).bind(**shape, **arguments)
    except ValueError:
        # Of some functions that are not written in Python nobody knows the parameters.
        pass
    except TypeError as error:
        listed = ", ".join(f"{name}={value!r}" for name, value in [*shape.items(), *arguments.items()])
        how = f"it is called with ({listed}): take these by name, or name a function that does"
        raise TypeError(f"{error}; {how}") from None
    return function(**shape, **arguments)


def _check_numbers(factory: str, network: nn.Module, logits: Any) -> None:
    """InputError where a network, or what it gives, is not in float32."""
    others = {name: parameter.dtype for name, parameter in network.named_parameters()}
    others |= {"its logits": logits.dtype} if isinstance(logits, torch.Tensor) else {}
    if wrong := {name: dtype for name, dtype in others.items() if dtype != torch.float32}:
        told = ", ".join(f"{name} in {str(dtype)[6:]}" for name, dtype in list(wrong.items())[:3])
        advice = "leave out calls such as .double() and .half(), and end `forward` with .float()"
        if any(dtype.is_complex for dtype in wrong.values()):
            advice = "hold the two parts of a complex number in float32, and join them in `forward`: torch.complex"
        raise InputError(f"factory {factory}: its network has {told}, float32 is needed; {advice}")


def _build_custom(settings: CustomSettings, shape: dict[str, int]) -> nn.Module:
    if problem := refusal(settings["factory"]):
        raise InputError(f"factory {settings['factory']}: {problem}")
    name, _, function = settings["factory"].partition(":")
    find_own_modules()
    try:
        module = importlib.import_module(name)
        if place := stray(module):
            raise ImportError(f"{place} hides the module of that name under the working directory; give yours another")
        network = _call(getattr(module, function), shape, settings["arguments"])
    except (Exception, SystemExit) as error:
        pass_on(error)
        raise InputError(f"factory {settings['factory']}: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"factory {settings['factory']}: returned {type(network).__name__}, not a torch.nn.Module")
    for name, part in network.named_modules():
        if isinstance(part, torch.jit.ScriptModule) or hasattr(part, "_orig_mod"):
            raise InputError(
                f"factory {settings['factory']}: {name or 'its network'} is compiled, so that its layers cannot be "
                f"reached; leave out torch.jit.script, torch.jit.trace or torch.compile"
            )
    probe = torch.zeros(2, shape["in_channels"], shape["image_size"], shape["image_size"])
    training, outputs = network.training, []
    for count in (1, 2):
        try:
            with torch.no_grad():
                outputs.append(network.eval()(probe[:count]))
        except Exception as error:
            pass_on(error)
            raise InputError(
                f"factory {settings['factory']}: its network fails on images {tuple(probe[:count].shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
    network.train(training)
    _check_numbers(settings["factory"], network, outputs[0])
    if problem := not_copied(network):
        raise InputError(
            f"factory {settings['factory']}: {problem}, and compressions work on copies; keep it out of the network's "
            f"attributes, as in a function or a global of its module"
        )
    if shared := _overlapping(network):
        raise InputError(
            f"factory {settings['factory']}: {' and '.join(shared)} are two parameters in one memory, so that what is "
            f"done to one is done to the other; keep one, and write such as F.linear(x, self.layer.weight.t())"
        )
    # Of two images first: of one, a wrong number of classes may look like a lost dimension.
    for count, logits in ((2, outputs[1]), (1, outputs[0])):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        if found != (count, shape["num_classes"]):
            raise InputError(
                f"factory {settings['factory']}: maps {tuple(probe[:count].shape)} to {found}, "
                f"({count}, {shape['num_classes']}) is needed{how_to_wrap(logits)}"
            )
    return network
