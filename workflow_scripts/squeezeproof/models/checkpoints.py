"""Checkpoints: a model's tensors, masks, quantizers and everything that rebuilds it, without pickle."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.build import build
from squeezeproof.models.device import device_of
from squeezeproof.models.logits import close
from squeezeproof.models.quantized import quantize_layers, quantized_layers
from squeezeproof.models.quantizers import quantized
from squeezeproof.models.state_dicts import fitted, misfit, no_weights, state_of_file
from squeezeproof.randomness import own_randomness
from squeezeproof.runtime import place
from squeezeproof.store.made_with import MADE_WITH, made_with
from squeezeproof.store.tensors import fingerprint, read_arrays, read_foreign, read_metadata, write_tensors
from squeezeproof.types import Masks, ModelMetadata, Specification

KIND = "model"
MASK = "mask:"


def save_model(
    path: str | Path, model: nn.Module, spec: Specification, masks: Masks | None = None, **record: Any
) -> None:
    """Write a model, its specification, its pruning masks (parameter name -> bool tensor) and further JSON metadata."""
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in model.state_dict().items()}
    for name, mask in (masks or {}).items():
        arrays[MASK + name] = mask.cpu().numpy()
    digest = fingerprint(*(arrays[name] for name in sorted(arrays)))
    metadata = {"kind": KIND, "specification": spec, "quantization": quantized_layers(model), "fingerprint": digest}
    write_tensors(path, arrays, {**metadata, "versions": _versions(model), **record, MADE_WITH: made_with()})


def check_rebuilds(path: str | Path, model: nn.Module) -> None:
    """Read back what `save_model` wrote; InputError where what is rebuilt is not, bit for bit, what was saved, or holds
    numbers that are not finite.
    """
    if broken := [name for name, values in model.named_parameters() if not values.isfinite().all()]:
        raise InputError(
            f"{path}: {', '.join(broken[:5])}: holds numbers that are not finite, and no number follows from them; "
            f"look at what made the model: its own weights, its training, or its compression"
        )
    rebuilt, _, metadata = load_model(path, device_of(model))
    tensors, found = model.state_dict(), rebuilt.state_dict()
    if different := [name for name in tensors if not torch.equal(tensors[name], found[name])]:
        raise InputError(
            f"{path}: is rebuilt with other values in {', '.join(different[:5])}: a pass in eval mode changes them; "
            f"let `forward` change buffers where `self.training` alone"
        )
    spec = metadata["specification"]
    shape = (2, spec["in_channels"], spec["image_size"], spec["image_size"])
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device_of(model))
    expected = _logits(model, pixels)
    # A network that draws anew in every pass is told by the audit.
    repeats = torch.equal(expected, _logits(model, pixels))
    if repeats and not close(expected, _logits(rebuilt, pixels)).all():
        raise InputError(
            f"{path}: what is rebuilt from it computes something else than what was saved: the network keeps something "
            f"that is in no state_dict, such as a plain attribute or a buffer that is not persistent; register it"
        )


def _logits(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Logits in eval mode, with the global generators at one place and back where they were afterwards."""
    with own_randomness(0), torch.no_grad():
        return model.eval()(pixels)


def _versions(model: nn.Module) -> dict[str, int]:
    """Module name -> version of its state, which decides how torch loads it; of those that have had several."""
    metadata = getattr(model.state_dict(), "_metadata", {})
    return {name: entry["version"] for name, entry in metadata.items() if entry.get("version", 1) > 1}


def state_of(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], versions: Mapping[str, int] | None = None
) -> OrderedDict[str, torch.Tensor]:
    """Tensors as the state_dict of a model: with the versions that its modules had, or have where none are known."""
    state = OrderedDict(tensors)
    own = getattr(model.state_dict(), "_metadata", {})
    if versions is not None:
        own = {name: {**entry, "version": versions.get(name, 1)} for name, entry in own.items()}
    state._metadata = own  # ty: ignore[missing-attribute]
    return state


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Sequential, Masks, ModelMetadata]:
    """Rebuild the model of a checkpoint, bit-equal to what was saved, in eval mode on `device`.

    Returns (model, masks, metadata). Raises InputError for files that are truncated, altered or not a model.
    """
    metadata: ModelMetadata = read_metadata(path, KIND)
    tensors = read_arrays(path, framework="pt")
    digest = fingerprint(*(tensors[name].numpy() for name in sorted(tensors)))
    if digest != metadata.get("fingerprint"):
        raise InputError(f"{path}: its tensors are not those that were saved; remove it and run again")
    masks = {name.removeprefix(MASK): tensors.pop(name) for name in list(tensors) if name.startswith(MASK)}
    try:
        model = _rebuild(metadata["specification"], metadata.get("quantization", {}), tensors, metadata.get("versions"))
    except Exception as error:
        pass_on(error)
        # A specification that was not written here breaks the factories in any way.
        specification = f"{json.dumps(metadata.get('specification')):.1000}"
        raise InputError(f"{path}: cannot be rebuilt from its specification {specification}: {error}") from None
    shape = [metadata["specification"][key] for key in ("in_channels", "image_size", "image_size")]
    return place(model, device, shape), {name: mask.to(device) for name, mask in masks.items()}, metadata


def _rebuild(
    spec: Specification,
    quantization: Mapping[str, dict[str, Any]],
    tensors: Mapping[str, torch.Tensor],
    versions: Mapping[str, int] | None,
) -> nn.Sequential:
    model = build(spec, seed=0).eval()
    fit_shapes(model, tensors)
    quantize_layers(model, quantization)
    model.load_state_dict(state_of(model, tensors, versions), strict=True)
    # fit_shapes follows the tensors wherever they lead: that the layers fit each other shows in a forward pass.
    with torch.no_grad():
        logits = model(torch.zeros(1, spec["in_channels"], spec["image_size"], spec["image_size"]))
    if logits.shape[1] != spec["num_classes"]:
        raise ValueError(f"it tells {logits.shape[1]} classes apart, not {spec['num_classes']}")
    return model


def load_weights(model: nn.Module, path: str | Path, resize: bool = False) -> list[str]:
    """Load a foreign safetensors state_dict (`state_dicts.fitted`) into the network of `model`.

    With `resize` layers first get the sizes of the weights, as those of a pruned network. Returns what was done to the
    state_dict, in words. Raises InputError where names or shapes differ, or numbers are no weights.
    """
    network = model.get_submodule("network")
    with state_of_file(path):
        tensors, notes = fitted(read_foreign(path, framework="pt"), network.state_dict().keys())
    if resize:
        fit_shapes(network, tensors)
    own = network.state_dict()
    if problem := misfit(tensors, own) or no_weights(tensors, own):
        raise InputError(f"{path}: {quantized(path, tensors.keys()) or problem}")
    network.load_state_dict(state_of(network, tensors), strict=True)
    kinds = {str(tensors[name].dtype) for name in own if own[name].is_floating_point()} - {"torch.float32"}
    return [*notes, *(f"holds {kind[6:]}, which becomes float32" for kind in sorted(kinds))]


def fit_shapes(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give the layers of a freshly built model the sizes of (pruned) tensors; depthwise convolutions stay depthwise."""
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        found = {key: tensors[prefix + key] for key, _ in held if prefix + key in tensors}
        changed = {key: found[key] for key, tensor in held if key in found and found[key].shape != tensor.shape}
        # A layer is as its weight (or, without one, its statistics) says; what else differs then does not fit.
        leading = next((key for key in ("weight", "running_mean") if key in found), None)
        if not changed or leading not in {None, *changed}:
            continue
        for key, tensor in changed.items():
            new = torch.empty_like(tensor)
            old = getattr(module, key)
            setattr(module, key, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
        _fit_sizes(module, changed.get(leading, next(iter(changed.values()))).shape)


def _fit_sizes(module: nn.Module, shape: Sequence[int]) -> None:
    """Set what a layer says of its own size, from the shape of its weight or of a statistic."""
    match module:
        case nn.Conv2d():
            depthwise = 1 < module.groups == module.in_channels == module.out_channels
            module.out_channels = shape[0]
            module.groups = shape[0] if depthwise else module.groups
            module.in_channels = module.weight.shape[1] * module.groups
        case nn.Linear():
            module.out_features, module.in_features = module.weight.shape
        case nn.modules.batchnorm._BatchNorm():
            module.num_features = shape[0]
        case nn.GroupNorm():
            module.num_channels = shape[0]
        case nn.LayerNorm():
            module.normalized_shape = tuple(shape)
        case nn.PReLU():
            module.num_parameters = shape[0]
