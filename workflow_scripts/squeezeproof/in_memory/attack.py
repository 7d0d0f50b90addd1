"""`attack`: one attack on a model in memory, example by example."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError
from torch import nn

from squeezeproof.analysis.names import attack_display
from squeezeproof.attacks.craft import craft
from squeezeproof.datasets.prepare import stratified
from squeezeproof.entries import registry
from squeezeproof.entries.attack import DRAWN_TARGETS, eps_contradictions
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.settings import as_dict, suggest
from squeezeproof.errors import InputError
from squeezeproof.in_memory.inputs import as_images, as_labels, as_model, as_number, as_run
from squeezeproof.study.entities import plain
from squeezeproof.study.schema import in_words

# Per example, in the order of `Attacked.table`.
PER_EXAMPLE = ("labels", "clean_predictions", "predictions", "success", "norm", "loss", "margin", "scored")


@dataclass(frozen=True, eq=False, repr=False)
class Attacked:
    """What an attack made of every image, all tensors on the CPU.

    Attributes:
        attack, settings: the attack's name and all of its settings.
        images: the adversarial images [N, C, H, W], float32 in [0, 1], or uint8 where `stored` asks for that.
        labels, clean_predictions, predictions: int64 [N], the true labels, and the model's before and after.
        success: bool [N], whether the model misclassifies the image that is returned, or, of a targeted attack, gives
            it the class that it was to reach.
        targets: int64 [N], the classes to reach; None where the attack is not targeted.
        norm, loss, margin: float32 [N], of the perturbation (in `settings["norm"]`), cross-entropy, and the highest
            other logit minus the label's, or the target's minus the highest other.
        scored: bool [N]; images that belong to the attacker, or to the class that they were to reach, count in no rate.
        forwards, backwards: passes per example.
        seconds: that it took.
    """

    attack: str
    settings: dict[str, Any]
    images: torch.Tensor
    labels: torch.Tensor
    clean_predictions: torch.Tensor
    predictions: torch.Tensor
    success: torch.Tensor
    norm: torch.Tensor
    loss: torch.Tensor
    margin: torch.Tensor
    scored: torch.Tensor
    forwards: float
    backwards: float
    seconds: float
    targets: torch.Tensor | None = None

    @property
    def success_rate(self) -> float:
        """Share of the scored images on which the attack succeeded; of a targeted one that is to reach the class."""
        return self.success[self.scored].double().mean().item()

    @property
    def accuracy(self) -> float:
        """Share of the scored images that the model still labels rightly; no robust accuracy if it is targeted."""
        return (self.predictions == self.labels)[self.scored].double().mean().item()

    @property
    def clean_accuracy(self) -> float:
        """The same before the attack."""
        return (self.clean_predictions == self.labels)[self.scored].double().mean().item()

    @property
    def table(self) -> pd.DataFrame:
        """One row per example, a pandas.DataFrame."""
        names = [*PER_EXAMPLE, *(["targets"] if self.targets is not None else [])]
        return pd.DataFrame({name: getattr(self, name).numpy() for name in names})

    def __repr__(self) -> str:
        name = attack_display(self.attack, self.attack, self.settings["eps"])
        cost = f"{self.forwards:.0f} forward and {self.backwards:.0f} backward passes an image, {self.seconds:.1f} s"
        found = f"accuracy {100 * self.clean_accuracy:.1f} % to {100 * self.accuracy:.1f} %"
        if self.targets is not None:
            rule = self.settings["targeted"]
            found = f"targeted ({rule}), {100 * self.success_rate:.1f} % of {int(self.scored.sum())} reach their class"
        return f"{name} ({self.settings['norm']}) on {len(self.labels)} images: {found}; {cost}"


def attack(
    model: Callable[..., Any],
    images: Any,
    labels: Any,
    name: str,
    *,
    eps: float | None = None,
    norm: str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    training: tuple[Any, Any] | None = None,
    **settings: Any,
) -> Attacked:
    """Attack a model on some images with any attack of docs/choose_an_attack.md.

    Args:
        model: a torch.nn.Module (in eval mode while it is attacked) or a function; maps float32 pixels [N, C, H, W] in
            [0, 1] to logits [N, K]. The normalisation belongs to it.
        images: [N, C, H, W], tensor or array, uint8 or float in [0, 1].
        labels: [N], whole numbers from 0.
        name: of the attack, such as `apgd` or `torchattacks.NIFGSM`.
        eps: radius of the ball in pixels of [0, 1], such as 8 / 255; may be left out for attacks that look for the
            nearest adversarial image.
        norm: `linf` or `l2`; None for the attack's default.
        seed: of the attack's random numbers; the result does not depend on `batch_size`, but for what some processors
            round otherwise in batches of another size.
        batch_size: images in memory at a time; None for as many as fit.
        training: (images, labels) for attacks that learn from training images.
        settings: of the attack, by the names of docs/config.md; left out, its defaults. A class that `targeted` names
            is a label written as text, such as "3".

    Returns Attacked. Raises InputError where an argument is not what it should be, the model gives no gradients to an
    attack that needs them, its outputs are no logits, or another library's attack ends in an exception.
    """
    seed, batch_size = as_run(seed, batch_size)
    pixels = as_images(images)
    checked = checked_settings(name, {"eps": eps, "norm": norm, **settings}, pixels[0].numel())
    targets = as_labels(labels, len(pixels))
    module, classes = as_model(model, pixels, targets)
    if registry.attacks()[name].least_classes > classes:
        raise InputError(f"{name}: needs {registry.attacks()[name].least_classes} classes, the model has {classes}")
    if checked["stored"] == "uint8" and pixels.dtype != torch.uint8:
        raise InputError("stored: uint8 needs uint8 images")
    if registry.attacks()[name].trains_on_images:
        if training is None:
            raise InputError(f"{name}: learns from training images; give training=(images, labels)")
        learnt = as_images(training[0])
        training = learnt, as_labels(training[1], len(learnt))
    return crafted(name, module, pixels, targets, checked, seed=seed, batch_size=batch_size, training=training)


def crafted(
    name: str, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, settings: Any, **options: Any
) -> Attacked:
    """Attacked, by checked settings on checked inputs."""
    seen = registry.attacks()[settings["method"]].held_out(settings)
    order = _with_every_class_first(labels, seen)
    given = (images, labels) if order is None else (images[order], labels[order])
    tensors, metadata = craft(model, *given, settings, **options)
    if "failed" in metadata:
        raise InputError(metadata["failed"])
    scored = torch.ones(len(labels), dtype=torch.bool)
    # The attacker has seen these images.
    scored[: metadata.get("held_out", 0)] = False
    if order is not None:
        back = order.argsort()
        scored, tensors = scored[back], {key: rows[back] for key, rows in tensors.items()}
    targets = tensors.get("targets")
    if targets is not None:
        scored &= targets != labels
    reached = tensors["predictions"] != tensors["labels"] if targets is None else tensors["predictions"] == targets
    kept = {key: tensors[key] for key in ("labels", "clean_predictions", "predictions", "norm", "loss", "margin")}
    return Attacked(
        attack=name,
        settings=settings,
        images=tensors["adversarial"],
        success=reached,
        scored=scored,
        targets=targets,
        forwards=metadata["forwards_per_example"],
        backwards=metadata["backwards_per_example"],
        seconds=metadata["seconds"],
        **kept,
    )


def _with_every_class_first(labels: torch.Tensor, count: int) -> torch.Tensor | None:
    """An order of images in which the first `count` have every class in its share; None where they have every class."""
    if not 0 < count < len(labels) or len(labels[:count].unique()) == len(labels.unique()):
        return None
    # The same for every model, so that two are scored on the same images.
    shuffled = np.random.default_rng(0).permutation(len(labels))
    first = stratified(labels.numpy(), count, shuffled)
    return torch.from_numpy(np.concatenate([first, np.setdiff1d(shuffled, first)]))


def checked_settings(name: str, settings: dict[str, Any], values: int) -> dict[str, Any]:
    """All settings of the attack of that name, at one eps; those that are None are its defaults.

    Args:
        values: numbers in one image.

    Raises InputError with every problem at once, unknown names with the nearest that there is.
    """
    known = registry.attacks()
    if name not in known:
        library = str(name).partition(".")[0]
        own = registry.libraries()[library].methods() if library in registry.libraries() else known
        raise InputError(f"there is no attack {name!r}{suggest(name, own)}")
    entry = with_budget(known[name])
    if isinstance(targeted := settings.get("targeted"), bool) and "targeted" in entry.model_fields:
        kinds = ", ".join(map(repr, DRAWN_TARGETS))
        meant = f"write {kinds}, or a label as text, such as '3'" if targeted else "leave it out"
        raise InputError(f"{name}: targeted: {targeted} is no class to reach; {meant}")
    given = {"method": name, **{key: as_number(value) for key, value in settings.items() if value is not None}}
    try:
        checked = entry.model_validate(given)
    except ValidationError as error:
        checked, problems = None, in_words(error, given, entry)
    else:
        problems = list(checked.contradictions(name, SimpleNamespace(datasets={})))
        # Without data sets nobody knows there how large an image is.
        problems += [told for eps in checked.eps for told in eps_contradictions(name, eps, checked.norm, values)]
        if len(checked.eps) != 1:
            problems.append(f"eps: {len(checked.eps)} values, give one at a time")
    if checked is None or problems:
        raise InputError(
            f"{name}: " + "; ".join(dict.fromkeys(problem.removeprefix(f"{name}.") for problem in problems))
        )
    return plain({**as_dict(checked), "eps": checked.eps[0]})
