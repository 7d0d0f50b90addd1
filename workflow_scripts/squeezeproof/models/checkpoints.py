"""Checkpoints: a model's tensors, masks, quantizers and everything that rebuilds it, without pickle."""

import json

import torch
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.quantized import quantize_layers, quantized_layers
from squeezeproof.runtime import place
from squeezeproof.store.tensors import fingerprint, read_arrays, read_foreign, read_metadata, write_tensors

KIND = "model"
MASK = "mask:"


def save_model(path, model, spec, masks=None, **record):
    """Write a model, its specification, its pruning masks (parameter name -> bool tensor) and further JSON metadata."""
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in model.state_dict().items()}
    for name, mask in (masks or {}).items():
        arrays[MASK + name] = mask.cpu().numpy()
    digest = fingerprint(*(arrays[name] for name in sorted(arrays)))
    metadata = {"kind": KIND, "specification": spec, "quantization": quantized_layers(model), "fingerprint": digest}
    write_tensors(path, arrays, {**metadata, **record})


def load_model(path, device="cpu"):
    """Rebuild the model of a checkpoint, bit-equal to what was saved, in eval mode on `device`.

    Returns (model, masks, metadata). Raises InputError for files that are truncated, altered or not a model.
    """
    metadata = read_metadata(path, KIND)
    tensors = read_arrays(path, framework="pt")
    digest = fingerprint(*(tensors[name].numpy() for name in sorted(tensors)))
    if digest != metadata.get("fingerprint"):
        raise InputError(f"{path}: its tensors are not those that were saved; remove it and run again")
    masks = {name.removeprefix(MASK): tensors.pop(name) for name in list(tensors) if name.startswith(MASK)}
    try:
        model = _rebuild(metadata["specification"], metadata.get("quantization", {}), tensors)
    except Exception as error:
        # A specification that was not written here breaks the factories in any way.
        specification = f"{json.dumps(metadata.get('specification')):.1000}"
        raise InputError(f"{path}: cannot be rebuilt from its specification {specification}: {error}") from None
    shape = [metadata["specification"][key] for key in ("in_channels", "image_size", "image_size")]
    return place(model, device, shape), {name: mask.to(device) for name, mask in masks.items()}, metadata


def _rebuild(spec, quantization, tensors):
    model = build(spec, seed=0).eval()
    fit_shapes(model, tensors)
    quantize_layers(model, quantization)
    model.load_state_dict(tensors, strict=True)
    # fit_shapes follows the tensors wherever they lead: that the layers fit each other shows in a forward pass.
    with torch.no_grad():
        logits = model(torch.zeros(1, spec["in_channels"], spec["image_size"], spec["image_size"]))
    if logits.shape[1] != spec["num_classes"]:
        raise ValueError(f"it tells {logits.shape[1]} classes apart, not {spec['num_classes']}")
    return model


def load_weights(model, path):
    """Load a foreign safetensors state_dict into the network of `model`; InputError where names or shapes differ."""
    tensors = read_foreign(path, framework="pt")
    try:
        model.network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise InputError(f"{path}: does not fit the network: {error}") from None


def fit_shapes(model, tensors):
    """Give the layers of a freshly built model the sizes of (pruned) tensors.

    Convolutions, linear and batch-norm layers are covered; a depthwise convolution stays depthwise.
    """
    for name, module in model.named_modules():
        weight = tensors.get(f"{name}.weight")
        if weight is None or weight.shape == module.weight.shape:
            continue
        if isinstance(module, nn.Conv2d):
            depthwise = module.groups == module.in_channels and module.groups > 1
            module.out_channels = weight.shape[0]
            module.groups = weight.shape[0] if depthwise else module.groups
            module.in_channels = weight.shape[1] * module.groups
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = weight.shape
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = weight.shape[0]
        else:
            continue
        for key, parameter in module.named_parameters(recurse=False):
            setattr(module, key, nn.Parameter(torch.empty_like(tensors.get(f"{name}.{key}", parameter))))
        for key, buffer in module.named_buffers(recurse=False):
            setattr(module, key, torch.empty_like(tensors.get(f"{name}.{key}", buffer)))
