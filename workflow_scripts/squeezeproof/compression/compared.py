"""A model from a user's file beside its base, before anything is attacked: is it read rightly, broken, or neither?"""

from pathlib import Path
from typing import Any

import torch
from scipy.special import bdtr
from torch import nn

from squeezeproof.compression.negatives import of_negatives, what_to_write
from squeezeproof.errors import InputError
from squeezeproof.guessing import ERRORS, Answers, judged
from squeezeproof.models.foreign import Foreign
from squeezeproof.models.moments import Moments, moments, named_moments, public_normalizations, said
from squeezeproof.models.normalize import Normalize
from squeezeproof.models.predict import predict
from squeezeproof.types import DatasetMetadata

# Images that a model is compared with its base on.
COMPARED = 1000
# Share of what the base knows beyond chance that the right reading would know: of a checkpoint of its own network,
# which is read as its base is, and of another file.
NEARLY, HALF = 0.8, 0.5
ORDER = "its classes in another order"
# Accuracy by which another reading must be better to be the right one.
BETTER = 0.05
# Probability below which a sound model is not taken to be no better than chance by bad luck.
UNLUCKY = 0.001


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
    person has to know of them, in words). Raises InputError where the base or the model is far better read in another
    way, and, unless it is settled, where the model is no better than chance however it is read: an answer would be on
    a misreading as likely as on a wreck. Neither bad luck on few images nor a network that predicts one
    class is refused. The message has what the other readings give.
    """
    images, labels = images[:COMPARED], labels[:COMPARED].cpu()
    own, theirs = predict(model, images, batch_size), predict(base, images, batch_size)
    ours, known = judged(own, labels), judged(theirs, labels)
    found = {"images": len(labels), "accuracy": ours.accuracy, "base_accuracy": known.accuracy}
    found["agreement"] = share(own == theirs)
    wrong = known.accuracy <= known.usable
    read = _read(base, images, labels, batch_size, dataset, negatives=wrong)
    tried = {name: judged(other, labels) for name, other in read.items()}
    better = _clearly_better(known, tried, len(labels))
    # A base that is no better than chance in any way is the audit's.
    if better:
        negatives = what_to_write(better, _known(dataset), "the base's network")
        where = negatives or ", in the base's entry of `architectures`"
        raise InputError(
            f"{path}: its base labels {known.accuracy:.1%} of {len(labels)} images right. "
            f"{_advice(tried, better)}{where}"
        )
    wrong = ours.beyond < HALF * known.beyond
    readings = _read(model, images, labels, batch_size, dataset, negatives=wrong)
    return found, _judged(path, (ours, known), found["agreement"], labels, own, readings, dataset, settled)


def _judged(
    path: str | Path,
    answers: tuple[Answers, Answers],
    agreement: float,
    labels: torch.Tensor,
    own: torch.Tensor,
    readings: dict[str, torch.Tensor],
    dataset: DatasetMetadata,
    settled: bool,
) -> list[str]:
    """What there is to say of a model whose labels are `own`, and `readings` where it is read in other ways; errors as
    of `compare`.

    Args:
        answers: its Answers and its base's.
        agreement: the share of images that both give one label.
    """
    ours, base = answers
    low = ours.accuracy <= ours.usable
    tried = {name: judged(other, labels) for name, other in readings.items()}
    renamed = judged(_reordered(own, labels, len(dataset["classes"])), labels)
    # Some classes have their place in another order, too; some may be mixed up by compression.
    if not settled and (low or renamed.beyond >= NEARLY * base.beyond):
        tried[ORDER] = renamed
    better = _clearly_better(ours, tried, len(labels))
    shares = f"labels {ours.accuracy:.1%} of {len(labels)} images right"
    chances = f"no better than chance ({ours.unrelated_in_words})"
    # Of a wreck one reading or another is better by chance, the more so the fewer the classes.
    known = (NEARLY if settled else HALF) * base.beyond
    if better and tried[better].beyond >= known:
        raise InputError(
            f"{path}: {shares}, {chances if low else 'too few for what it can do'}, and agrees with its base on "
            f"{agreement:.1%}. {_advice(tried, better)}{what_to_write(better, _known(dataset), 'its network')}"
        )
    notes = []
    if low:
        decided = _decided(ours, base, len(labels))
        single = all(len(labelled.unique()) == 1 for labelled in (own, *readings.values()))
        if decided and not single and not settled:
            raise InputError(
                f"{path}: {shares}, {chances}, and agrees with its base on {agreement:.1%}. "
                f"{_advice(tried, '')} {_look(dataset)}. If they are the same, compressing broke it, and no attack is "
                f"needed to tell"
            )
        few = f"these images are too few to decide that, beside {base.accuracy:.1%} of its base"
        broken = (
            "it predicts one class however it is read" if single else "it is read as its base, so compressing did that"
        )
        notes.append(f"{shares}, {chances}; {broken if decided else few}")
    if better:
        as_it_is = "it is read as its base" if settled else "that is little beside its base"
        told = f"{tried[better].accuracy:.1%} with {better}: {as_it_is}"
        notes.append(f"{shares}, {told}; write that only if it was trained so")
    return notes


def _decided(ours: Answers, base: Answers, images: int) -> bool:
    """Whether a model that knows half of what its base knows beyond chance would hardly ever be right so seldom."""
    known = (base.accuracy * images + 1) / (images + 2) - base.unrelated
    return bool(bdtr(round(ours.accuracy * images), images, min(ours.unrelated + known / 2, 1)) < UNLUCKY)


def _clearly_better(ours: Answers, tried: dict[str, Answers], images: int) -> str:
    """The reading of those tried that knows most, where it is better than `ours` by more than chance; else nothing."""
    best = max(tried, key=lambda name: tried[name].beyond)
    found, apart = tried[best], max(BETTER, ERRORS * (0.5 / images) ** 0.5)
    return best if found.accuracy > found.usable and found.beyond > ours.beyond + apart else ""


def _reordered(predicted: torch.Tensor, labels: torch.Tensor, kinds: int) -> torch.Tensor:
    """The labels [N] as if every class that is predicted were the one that it means most often on all other images."""
    counts = (predicted * kinds + labels).bincount(minlength=kinds**2).view(kinds, kinds)
    values, names = counts.topk(2, dim=1)
    (most, next_most), (meant, other) = (pair.unbind(1) for pair in (values[predicted], names[predicted]))
    # An image that is left out of the counts is right where its class is the most frequent one all the same.
    return torch.where((meant == labels) & (most - 1 <= next_most), other, meant)


def _advice(tried: dict[str, Answers], right: str) -> str:
    """What the readings that were tried give, and which one is right, if any."""
    listed = f"Read in other ways: {', '.join(f'{name} {found.accuracy:.1%}' for name, found in tried.items())}."
    return f"{listed} Most likely the right one: {right}" if right else listed


def _look(dataset: DatasetMetadata) -> str:
    return (
        f"As none helps, compare the order of the classes ({', '.join(map(str, dataset['classes'][:3]))}, ...), the "
        f"size and crop of the images, and the layout and scale of the pixels with those that it was trained on"
    )


def _read(
    model: Any,
    images: torch.Tensor,
    labels: torch.Tensor,
    batch_size: int | None,
    dataset: DatasetMetadata,
    negatives: bool,
) -> dict[str, torch.Tensor]:
    """What to write -> the labels int64 [N] of images where the model is read so; with `negatives` also where it gets
    those of the images.
    """
    found = {name: predict(other, images, batch_size) for name, other in _readings(model, dataset).items()}
    if negatives:
        name, answers = of_negatives(model.network, _known(dataset), images, labels, batch_size)
        found[name] = answers
    return found


def _known(dataset: DatasetMetadata) -> dict[str, Moments]:
    """What to write -> (mean, std) of every usual normalization; that of the data set where it is none of the others,
    as it is where nothing is known of the training images.
    """
    public = public_normalizations(dataset["shape"][0]).values()
    known = named_moments(dataset) | {said(numbers): moments(numbers, dataset) for numbers in public}
    own = known["dataset"]
    if any(pair == own for name, pair in known.items() if name != "dataset"):
        del known["dataset"]
    return {f"normalization: {name}": pair for name, pair in known.items()}


def _readings(model: Any, dataset: DatasetMetadata) -> dict[str, nn.Module]:
    """What to write -> the model read so."""
    found = {name: _behind(Normalize(*pair), model) for name, pair in _known(dataset).items()}
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


def share(right: torch.Tensor) -> float:
    """The share of True in a bool tensor."""
    return right.double().mean().item()
