"""What an attack learnt before it attacks any image, and its file: fitted once, used by every shard of a set."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.store.tensors import AGAIN, read_arrays, read_metadata, write_tensors
from squeezeproof.types import ModelMetadata

KIND = "fitted attack"
NEEDS = {"options": dict, "metadata": dict, "passes": dict, "source_fingerprint": str}


@dataclass(frozen=True)
class Fitted:
    """What an attack's function is called with, and what it took to learn it.

    Attributes:
        options: settings; those that were learnt are tensors, or networks of linear layers and ReLU.
        metadata: of the set.
        passes: as attacks.source.Counted counts them.
        seconds: wall time.
    """

    options: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def save_fitted(path: str, fitted: Fitted, source: ModelMetadata) -> None:
    """Write a Fitted of a source, of whose checkpoint `source` are the metadata."""
    arrays, options = {}, {}
    for key, value in fitted.options.items():
        if isinstance(value, nn.Module):
            arrays |= {f"{key}.{name}": tensor.cpu().numpy() for name, tensor in value.state_dict().items()}
        elif isinstance(value, torch.Tensor):
            arrays[key] = value.cpu().numpy()
        else:
            options[key] = value
    metadata = {"options": options, "metadata": fitted.metadata, "passes": fitted.passes, "seconds": fitted.seconds}
    write_tensors(path, arrays, {"kind": KIND, "source_fingerprint": source["fingerprint"], **metadata})


def load_fitted(path: str, source: ModelMetadata, device: torch.device) -> Fitted:
    """The Fitted of a file; InputError where it is damaged, or was fitted on other weights than the source has."""
    metadata = read_metadata(path, KIND, NEEDS)
    if metadata["source_fingerprint"] != source["fingerprint"]:
        raise InputError(f"{path}: was fitted on other weights than the source has; {AGAIN}")
    learnt, layers = {}, {}
    for name, tensor in read_arrays(path, framework="pt").items():
        key, _, place = name.partition(".")
        if place:
            layers.setdefault(key, {})[place] = tensor.to(device)
        else:
            learnt[key] = tensor.to(device)
    networks = {key: _network(tensors).to(device) for key, tensors in layers.items()}
    options = {**metadata["options"], **learnt, **networks}
    return Fitted(options, metadata["metadata"], metadata["passes"], metadata["seconds"])


def _network(tensors: dict[str, torch.Tensor]) -> nn.Module:
    """The frozen network of linear layers and ReLU of a state_dict."""
    places = sorted({int(name.partition(".")[0]) for name in tensors})
    layers: list[nn.Module] = [nn.Flatten()]
    for place in places:
        outputs, inputs = tensors[f"{place}.weight"].shape
        layers += [nn.utils.skip_init(nn.Linear, inputs, outputs), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    network.load_state_dict(tensors)
    return network.requires_grad_(False).eval()
