"""Models that were compressed elsewhere: read from a file, and compared with the base before anything is attacked."""

from pathlib import Path
from typing import Any

import torch
from scipy.special import bdtr
from torch import nn

from squeezeproof.checked import ExternalSettings
from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.build import build, moments, specification
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.foreign import FORMATS, Foreign, open_file
from squeezeproof.models.normalize import Normalize
from squeezeproof.models.own_pixels import alike, another, normalization_in
from squeezeproof.models.predict import predict
from squeezeproof.types import DatasetMetadata, Masks, Specification

# Images that a model is compared with its base on.
COMPARED = 1000
# Standard errors by which a model that was read rightly is better than the largest class.
ERRORS = 3.0
# Share of zeros in a weight from which a bit per position and the non-zeros are smaller.
PACKED = 1 / 32
# Share of what the base knows beyond chance that the right reading of a model of its network would know.
NEARLY = 0.8
# Accuracy by which another reading must be better to be the right one.
BETTER = 0.05
# Probability below which a sound model is not taken to be no better than chance by bad luck.
UNLUCKY = 0.001


def read_external(
    path: str | Path, settings: ExternalSettings, base: Specification, dataset: DatasetMetadata
) -> tuple[nn.Module, Specification, Masks, list[str]]:
    """The model of a user's file.

    Args:
        path: the file.
        settings: the checked entry of `compressions`.
        base: the specification of the base.
        dataset: metadata of a prepared split.

    Returns (the model in eval mode, its specification, its masks, what was understood in words). Raises InputError
    where the file does not fit the network, or the network the data set.
    """
    if Path(path).suffix in FORMATS:
        return _deployed(path, settings, base, dataset)
    spec: Specification = base if settings["architecture"] is None else specification(settings["architecture"], dataset)
    if settings["normalization"] is not None:
        mean, std = moments(dataset)[settings["normalization"]]
        spec = {**spec, "mean": mean, "std": std}
    model = build(spec, seed=0).eval()
    own, given = normalization_in(path), (spec["mean"], spec["std"])
    if own is not None and not alike(own, given):
        raise another(path, own, given, "write the `normalization` of its entry that gives what the file says")
    notes = load_weights(model, path, resize=True)
    shape = (2, *dataset["shape"])
    try:
        with torch.no_grad():
            logits = model(torch.zeros(shape))
    except Exception as error:
        pass_on(error)
        # What the weights make of the network's layers may fail in any way.
        raise InputError(
            f"{path}: with its weights the network fails on images {shape} ({type(error).__name__}: {error}); it is of "
            f"images of another size, or of a network whose own code architecture: {{kind: custom, factory: ...}} has "
            f"to name"
        ) from error
    if logits.shape != (2, spec["num_classes"]):
        raise InputError(f"{path}: tells {logits.shape[-1]} classes apart, the data set has {spec['num_classes']}")
    return model, spec, zeros_as_masks(model), notes


def _deployed(
    path: str | Path, settings: ExternalSettings, base: Specification, dataset: DatasetMetadata
) -> tuple[nn.Module, Specification, Masks, list[str]]:
    """The same of a file that holds its network."""
    mean, std = moments(dataset)[settings["normalization"]] if settings["normalization"] else (None, None)
    options = {key: settings[key] for key in ("channels", "layout", "outputs", "output")}
    model = open_file(path, shape=dataset["shape"], classes=len(dataset["classes"]), mean=mean, std=std, **options)
    mean, std = (getattr(model.normalize, key).flatten().tolist() for key in ("mean", "std"))
    spec: Specification = {**base, "architecture": model.network.reading, "mean": mean, "std": std}
    return model, spec, {}, model.notes


def zeros_as_masks(model: nn.Module) -> Masks:
    """Parameter name -> bool tensor, False where a weight is zero, of weights that pay to be packed."""
    weights = {name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1}
    masks = {name: weight.detach() != 0 for name, weight in weights.items()}
    return {name: mask for name, mask in masks.items() if (~mask).float().mean() > PACKED}


def as_its_base(path: str | Path, settings: ExternalSettings) -> bool:
    """Whether a file is a checkpoint of the base's own network, of whose reading nothing is open: it is the base's."""
    return settings["architecture"] is None and settings["normalization"] is None and Path(path).suffix not in FORMATS


def compare(
    path: str | Path,
    model: Any,
    base: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    dataset: DatasetMetadata,
    batch_size: int | None = None,
    settled: bool = False,
) -> tuple[dict[str, float], list[str]]:
    """How a model from a file and its base label some images.

    Args:
        path: the file.
        model, base: map pixels in [0, 1] to logits; the model is a Normalize and a network.
        images, labels: uint8 [N, C, H, W] and int64 [N].
        dataset: metadata of a prepared split.
        settled: whether the model is read as its base (`as_its_base`): another reading must then be nearly as good as
            the base to be the right one.

    Returns (`images` compared, `accuracy`, `base_accuracy` and `agreement`, the share that both give one label; what a
    person has to know of them, in words). Raises InputError where the base is far better read in another way, and,
    unless it is settled, where the model is, or where it is no better than the largest class, which neither bad luck on
    few images nor a network that predicts one class explains. The message has what the other readings give.
    """
    images, labels = images[:COMPARED], labels[:COMPARED].cpu()
    own, theirs = predict(model, images, batch_size), predict(base, images, batch_size)
    found = {"images": len(labels), "accuracy": _mean(own == labels), "base_accuracy": _mean(theirs == labels)}
    found["agreement"] = _mean(own == theirs)
    tried = {name: _mean(other == labels) for name, other in _read(base, images, batch_size, dataset).items()}
    good = _clearly_better(found["base_accuracy"], labels)
    # A base that is no better than chance in any way is the audit's.
    if max(tried.values()) > good:
        raise InputError(
            f"{path}: its base labels {found['base_accuracy']:.1%} of {len(labels)} images right. "
            f"{_advice(tried, good, dataset)}, in the base's entry of `architectures`"
        )
    return found, _judged(path, found, labels, own, _read(model, images, batch_size, dataset), dataset, settled)


def _judged(
    path: str | Path,
    found: dict[str, float],
    labels: torch.Tensor,
    own: torch.Tensor,
    readings: dict[str, torch.Tensor],
    dataset: DatasetMetadata,
    settled: bool,
) -> list[str]:
    """What there is to say of a model whose labels are `own`, and `readings` where it is read in other ways; errors as
    of `compare`.
    """
    chance, usable = chance_of(labels)
    low, decided = found["accuracy"] <= usable, _decided(found, chance)
    single = all(len(labelled.unique()) == 1 for labelled in (own, *readings.values()))
    tried = {name: _mean(other == labels) for name, other in readings.items()}
    good = _clearly_better(found["accuracy"], labels)
    misread = max(tried.values()) > good
    shares = f"labels {found['accuracy']:.1%} of {len(labels)} images right"
    chances = f"no better than chance (the largest class is {chance:.1%})"
    # Compression does not make a network that works behind other pixels.
    trained_so = max(tried.values()) - chance >= NEARLY * (found["base_accuracy"] - chance)
    if (misread and (trained_so or not settled)) or (not settled and low and decided and not single):
        tried["its classes in another order"] = _reordered(own, labels, len(dataset["classes"]))
        raise InputError(
            f"{path}: {shares}, {chances if low else 'too few for what it can do'}, and agrees with its base on "
            f"{found['agreement']:.1%}. {_advice(tried, good, dataset)}"
        )
    notes = []
    if low:
        broken = "predicts one class however it is read" if single else "is read as its base, so compressing did that"
        few = f"these images are too few to decide that, beside {found['base_accuracy']:.1%} of its base"
        notes.append(f"{shares}, {chances}; {f'it {broken}' if decided else few}")
    if misread:
        best = max(tried, key=tried.get)  # ty: ignore[no-matching-overload]
        notes.append(
            f"{shares}, {tried[best]:.1%} with {best}: it is read as its base; write another reading only if it was "
            f"trained with that"
        )
    return notes


def _decided(found: dict[str, float], chance: float) -> bool:
    """Whether a model that knows half of what its base knows beyond chance would hardly ever be right so seldom."""
    images = found["images"]
    base = (found["base_accuracy"] * images + 1) / (images + 2)
    return bool(bdtr(round(found["accuracy"] * images), images, (base + chance) / 2) < UNLUCKY)


def _clearly_better(accuracy: float, labels: torch.Tensor) -> float:
    """The accuracy from which another reading than one of `accuracy` is the right one, by more than chance."""
    return max(chance_of(labels)[1], accuracy + max(BETTER, ERRORS * (0.5 / len(labels)) ** 0.5))


def chance_of(labels: torch.Tensor) -> tuple[float, float]:
    """(accuracy of the largest class alone, accuracy from which a model is better) on images of these labels.

    Of images so few that a good model might miss the second by chance, it is the first: they tell nothing, and what is
    attacked afterwards are other images.
    """
    chance = labels.bincount().max().item() / len(labels)
    better = chance + ERRORS * (chance * (1 - chance) / len(labels)) ** 0.5
    return chance, better if better <= (1 + chance) / 2 else chance


def _reordered(predicted: torch.Tensor, labels: torch.Tensor, kinds: int) -> float:
    """Accuracy as if every class that is predicted were the one that it means most often on all other images."""
    counts = (predicted * kinds + labels).bincount(minlength=kinds**2).view(kinds, kinds)
    most, next_most = counts.topk(2, dim=1).values.unbind(1)
    # An image that is left out of the counts is right where its class is the most frequent one all the same.
    return most[most - 1 > next_most].sum().item() / len(labels)


def _advice(tried: dict[str, float], good: float, dataset: DatasetMetadata) -> str:
    """What to write, or to look at, by the accuracies of what was tried."""
    listed = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in tried.items())
    best = max(tried, key=tried.get)  # ty: ignore[no-matching-overload]
    if tried[best] > good:
        return f"Read in other ways: {listed}. Most likely the right one: {best}"
    return (
        f"Read in other ways: {listed}. As none helps, compare the order of the classes "
        f"({', '.join(map(str, dataset['classes'][:3]))}, ...), the size and crop of the images, and the layout and "
        f"scale of the pixels with those that it was trained on"
    )


def _read(
    model: Any, images: torch.Tensor, batch_size: int | None, dataset: DatasetMetadata
) -> dict[str, torch.Tensor]:
    """What to write -> the labels int64 [N] of images where the model is read so."""
    return {name: predict(other, images, batch_size) for name, other in _readings(model, dataset).items()}


def _readings(model: Any, dataset: DatasetMetadata) -> dict[str, nn.Module]:
    """What to write -> the model read so."""
    found = {f"normalization: {name}": _behind(Normalize(*pair), model) for name, pair in moments(dataset).items()}
    if dataset["shape"][0] > 1:
        found["channels in reverse order"] = _behind(torch.nn.Sequential(Reversed(), model.normalize), model)
    if isinstance(model.network, Foreign):
        found["outputs: energies"] = torch.nn.Sequential(model, Negated())
    return found


class Negated(torch.nn.Module):
    """The logits of a file of which the smallest output is the class."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return -logits


class Reversed(torch.nn.Module):
    """The channels of an image in the opposite order."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flip(1)


def _behind(normalize: nn.Module, model: Any) -> nn.Module:
    """The network of a model behind another normalisation."""
    return torch.nn.Sequential(normalize.to(model.normalize.mean.device), model.network)


def _mean(values: torch.Tensor) -> float:
    return values.double().mean().item()
