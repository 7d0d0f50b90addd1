"""Which network a file of weights belongs to, and what its pixels are made of: tried, and the best is taken."""

import warnings
from dataclasses import dataclass

import torch

from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.models.build import build, specification
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.predict import accuracy
from squeezeproof.models.state_dicts import plain_state
from squeezeproof.store.tensors import read_foreign

# Of torchvision's networks the stem is not told by the weights.
STEMS = ("small", "original")
NORMALIZATIONS = ("none", "half", "imagenet", "bytes")
# Standard errors by which a model that was read rightly is better than the largest class.
ERRORS = 3.0


@dataclass(frozen=True)
class Network:
    """A network with its weights: its entry of `architectures`, accuracy on some images, what was understood."""

    settings: dict
    accuracy: float
    note: str


def find_network(path, images, labels, classes, architecture=None, normalization=None):
    """The Network of a file of weights that labels some images best.

    Args:
        path: a safetensors file with a state_dict.
        images, labels: uint8 [N, C, H, W] and int64 [N].
        architecture: its entry of `architectures`; None for every network that has tensors of these names and shapes.
        normalization: None for the one of NORMALIZATIONS that gives the highest accuracy.

    Raises InputError where no network fits, or none is better than the largest class.
    """
    channels = images.shape[1]
    dataset = {"shape": list(images.shape[1:]), "classes": list(range(classes))}
    # Nothing is known of the images that it was trained on.
    dataset |= {"mean": [0.0] * channels, "std": [1.0] * channels}
    candidates = [architecture] if architecture else _fitting(path, dataset)
    pixels = [normalization] if normalization else [one for one in NORMALIZATIONS if _goes_with(one, images)]
    tried = {}
    for settings in candidates:
        for one in pixels:
            complete = {**_defaults(settings), **settings, "normalization": one}
            model = build(specification(complete, dataset), seed=0)
            load_weights(model, path)
            written = {**settings, "normalization": one}
            tried[_said(written)] = accuracy(model, images, labels), written
    chance = labels.bincount().max().item() / len(labels)
    usable = chance + ERRORS * (chance * (1 - chance) / len(labels)) ** 0.5
    best = max(tried, key=lambda name: tried[name][0])
    found, settings = tried[best]
    others = [f"{name} {share:.1%}" for name, (share, _) in tried.items() if name != best]
    if found <= usable:
        raise InputError(
            f"BASE={path}: labels {found:.1%} of {len(labels)} images rightly at best, the largest class alone is "
            f"{chance:.1%}. Tried: {', '.join([best, *others])}. Compare the order of the class folders, the size of "
            f"the images and their normalisation with those that it was trained on; NORMALIZATION= and ARCHITECTURE= "
            f"say what the file does not"
        )
    note = f"{best}: {found:.1%} of {len(labels)} images right"
    return Network(settings, found, note + (f" ({', '.join(others)})" if others else ""))


def _goes_with(normalization, images):
    return normalization != "imagenet" or images.shape[1] == 3


def _said(settings):
    """A network in a few words."""
    name = settings.get("factory") or settings.get("name") or settings["kind"]
    stem = f", stem {settings['stem']}" if "stem" in settings else ""
    return f"{name}{stem}, normalization {settings['normalization']}"


def _defaults(settings):
    return registry.architectures()[settings["kind"]].defaults()


def _fitting(path, dataset):
    """Entries of `architectures` whose networks have tensors of the names and shapes in a file."""
    shapes = {name: tuple(tensor.shape) for name, tensor in plain_state(read_foreign(path, "pt"))[0].items()}
    found = next(filter(None, ([one for one in alike if _shapes(one, dataset) == shapes] for alike in _known())), [])
    if not found:
        raise InputError(
            f"BASE={path}: its {len(shapes)} tensors ({', '.join(list(shapes)[:3])}, ...) are those of no network that "
            f"is known here for {len(dataset['classes'])} classes of images {dataset['shape']}; write FACTORY="
            f"module:function, the function of yours that makes it, or ARCHITECTURE='{{kind: cnn8, width: 16}}'"
        )
    return found


def _known():
    """Every network that needs no setting and every classifier of torchvision, each in the forms that weights leave
    open.
    """
    from torchvision import models

    for kind, entry in registry.architectures().items():
        if all(not field.is_required() for field in entry.model_fields.values()):
            yield [{"kind": kind}]
    for name in models.list_models(module=models):
        yield [{"kind": "torchvision", "name": name, "stem": stem} for stem in STEMS]


def _shapes(settings, dataset):
    """Name -> shape of the tensors of a network; None where it takes no such images."""
    entry = registry.architectures()[settings["kind"]]
    arguments = {**entry.defaults(), **settings}
    for key in ("kind", "normalization", "checkpoint"):
        arguments.pop(key, None)
    channels, side, _ = dataset["shape"]
    try:
        # Some of torchvision's networks warn of their initial weights, which are not used.
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            network = entry.imported()(
                in_channels=channels, num_classes=len(dataset["classes"]), image_size=side, **arguments
            )
    except Exception:
        # A network that cannot be built for such images is none that the weights are of.
        return None
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
