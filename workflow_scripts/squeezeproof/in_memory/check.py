"""`check`: may a compressed model in memory replace its base? Attacks on both, the audit, and the answer."""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from squeezeproof.analysis.evidence import broken
from squeezeproof.analysis.faced import COMPRESSED
from squeezeproof.analysis.names import eps_display
from squeezeproof.analysis.pairs import BASE
from squeezeproof.analysis.replacement import Answer, replacement
from squeezeproof.analysis.tried import not_tried, tried
from squeezeproof.atomic import replacing
from squeezeproof.audit.findings import EVERY, FAILURE, WARNING, Finding
from squeezeproof.entries import registry
from squeezeproof.entries.expectation import expected_passes
from squeezeproof.entries.settings import Number, read_number
from squeezeproof.errors import InputError
from squeezeproof.in_memory.attack import checked_settings
from squeezeproof.in_memory.inputs import (
    as_images,
    as_labels,
    as_model,
    as_number,
    as_run,
    as_share,
    gives_gradients,
)
from squeezeproof.in_memory.repeats import distinct
from squeezeproof.in_memory.run import DATA, Run
from squeezeproof.in_memory.words import OF_CALL, averaging
from squeezeproof.pages import answer_page
from squeezeproof.study import quick
from squeezeproof.study.entities import Instance
from squeezeproof.study.instances import attack_at
from squeezeproof.study.surroundings import not_writable


@dataclass(frozen=True, eq=False, repr=False)
class Checked:
    """What `check` found.

    Attributes:
        answer: the squeezeproof.analysis.replacement.Answer: its verdict, headline, sentences and table.
        tried, not_tried: sentences on the attacks that were run, and on what they leave open.
        audit: every finding on both models.
        told: name -> text of what was compared and how.
        margin: difference in accuracy below which the two count as equivalent.
    """

    answer: Answer
    tried: list[str]
    not_tried: list[str]
    audit: list[Finding]
    told: dict[str, str]
    margin: float

    @property
    def verdict(self) -> str:
        """`keep`, `keep with care`, `do not ship` or `cannot tell`; docs/answers.md says when."""
        return self.answer.verdict

    @property
    def table(self) -> pd.DataFrame:
        """One row per attack, budget and model that it was crafted on, a pandas.DataFrame; accuracies in [0, 1]."""
        return self.answer.table

    def write(self, path: str | Path) -> None:
        """Write all of it as one HTML page that needs no other file."""
        text = answer_page.page(self.answer, self.tried, self.not_tried, self.audit, self.told, self.margin)
        with replacing(path) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")

    def __str__(self) -> str:
        problems = [finding for finding in self.audit if finding.verdict in (FAILURE, WARNING)]
        audited = [
            f"{DATA if finding.target == EVERY else finding.target}, {finding.verdict}: {finding.message}"
            for finding in problems
        ]
        parts = {"Tried": self.tried, "Not tried": self.not_tried, "Audit": list(dict.fromkeys(audited))}
        listed = [f"{title}:\n" + "\n".join(f"  {line}" for line in lines) for title, lines in parts.items() if lines]
        told = [
            self.answer.headline,
            f"Images: {self.told['Images']}.",
            f"Would change the answer: {self.answer.changes}",
            *self.answer.sentences,
        ]
        return "\n".join([*told, *listed])

    __repr__ = __str__


def check(
    base: Callable[..., Any],
    compressed: Callable[..., Any],
    images: Any,
    labels: Any,
    *,
    eps: float | Sequence[float],
    norm: str = "linf",
    attacks: str | Iterable[str] | Mapping[str, dict[str, Any]] | None = None,
    margin: float = 0.02,
    alpha: float = 0.05,
    seed: int = 0,
    batch_size: int | None = None,
    page: str | Path | None = None,
) -> Checked:
    """May the compressed model replace its base, under attacks within a ball around every image?

    Every attack is crafted on each of the two models, and every image scored on both. A model without gradients, such
    as a function around ONNX Runtime, is attacked by what needs none and with the images of the other one.

    Args:
        base, compressed: the models, as `attack` takes them.
        images, labels: as `attack` takes them; hundreds of images that neither model was trained on. One that is there
            several times counts once.
        eps: radius of the ball in pixels of [0, 1], or a list of them.
        norm: `linf` or `l2`.
        attacks: names of attacks, or a mapping of names to settings; None for noise, PGD, APGD and Square,
            and RayS where a model gives no gradients.
        margin: difference in accuracy, in [0, 1], below which the two count as equivalent.
        alpha: chance of a false difference, and of a false equivalence, of the clean images and of every attack.
        seed: of the attacks' random numbers.
        batch_size: images in memory at a time; None for as many as fit.
        page: path of an HTML page to write.

    Returns Checked. Raises InputError where an argument is not what it should be.
    """
    margin, alpha = as_share("margin", margin, 0.5), as_share("alpha", alpha, 0.2)
    seed, batch_size = as_run(seed, batch_size)
    if page is not None:
        _check_page(Path(page))
    pixels, targets, repeats = _distinct(images, labels)
    models, counts = {}, {}
    for name, model in ((BASE, base), (COMPRESSED, compressed)):
        models[name], counts[name] = as_model(model, pixels, targets, name)
    classes = counts[BASE]
    if classes != counts[COMPRESSED]:
        raise InputError(f"base: has {classes} classes, compressed: {counts[COMPRESSED]}; they cannot be compared")
    gradients = all(gives_gradients(model, pixels) for model in models.values())
    entries = _entries(quick.attacks(gradients, norm) if attacks is None else attacks)
    instances = _instances(entries, eps, norm, pixels[0].numel())
    expectation = expected_passes(instance.settings for instance in instances)
    run = Run(models, pixels, targets, seed, batch_size, expectation, averaging(entries))
    if told := run.of_negatives():
        raise InputError(told)
    if reason := broken([finding for finding in run.findings if finding.target == BASE]):
        raise InputError(
            f"base: {reason}, so that nothing can be compared with it; give `labels` by the numbers that it has for "
            f"its classes, and images in the size and order of channels that it was trained on"
        )
    for instance in instances:
        run.attack(instance)
    statistics, audit = {"alpha": alpha, "margin": margin}, [*repeats, *run.audited()]
    answer = replacement(run.clean, run.faced, classes, statistics, audit, ways=OF_CALL)
    more = len(images) - len(pixels)
    again = f"; {more} more are left out, as each is one of these" if more else ""
    told = {
        "Images": f"{len(pixels)} of {' × '.join(map(str, pixels.shape[1:]))}, {classes} classes{again}",
        "Equivalent": f"within {100 * margin:g} points",
        "Chance of a false difference, and of a false equivalence": f"{100 * alpha:g} %",
        "Seed": str(seed),
        "Versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
    }
    checked = Checked(answer, tried(run.faced), not_tried(run.faced), audit, told, margin)
    if page is not None:
        checked.write(page)
    return checked


def _distinct(images: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor, list[Finding]]:
    """(each image once, its label, findings on what was there several times) of the arguments of `check`."""
    pixels = as_images(images)
    targets = as_labels(labels, len(pixels))
    if len(targets.unique()) < 2:
        raise InputError(
            f"labels: all are {targets[0].item()}, of which a model that always answers so makes no mistake; give "
            f"images of several classes"
        )
    first, findings = distinct(pixels, targets, DATA)
    return pixels[first], targets[first], findings


def _check_page(path: Path) -> None:
    """InputError where no page can be written, before anything is attacked."""
    if path.is_dir():
        raise InputError(f"page: {path} is a folder; name a file, such as {path / 'check.html'}")
    place = next(place for place in path.absolute().parents if place.exists())
    if not place.is_dir():
        raise InputError(f"page: {path}: {place} is no folder; name a file in one")
    if problems := not_writable([place]):
        raise InputError(f"page: {path}: {problems[0]}")


def _radii(eps: Any) -> list[Any]:
    """Every radius of `eps`, one or several, a number each."""
    listed = [eps] if isinstance(eps, str) or np.ndim(eps) == 0 else list(eps)
    if not listed:
        raise InputError("eps: is empty, give at least one")
    numbers = [read_number(as_number(value)) for value in listed]
    if any(number in numbers[:index] for index, number in enumerate(numbers)):
        raise InputError(f"eps: {', '.join(map(str, numbers))}: the same radius stands there twice")
    return numbers


def _entries(attacks: str | Iterable[str] | Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name -> settings of the attacks of a call."""
    entries, usual = attacks, quick.attacks(gradients=False)
    if not isinstance(entries, dict):
        entries = {name: usual.get(name, {}) for name in ([entries] if isinstance(entries, str) else entries)}
    if not entries:
        raise InputError("attacks: is empty, name at least one")
    return entries


def _instances(
    entries: dict[str, dict[str, Any]],
    eps: float | Sequence[float],
    norm: str,
    values: int,
) -> list[Instance]:
    """The attacks of `check` at every eps, checked; `values` are the numbers in one image."""
    listed, found = _radii(eps), []
    for name, settings in entries.items():
        if not isinstance(settings, dict):
            raise InputError(
                f"attacks: {name}: {settings!r:.60} is no mapping of settings; write {{}} for its defaults"
            )
        if taken := {"eps", "norm", "stop_on_success"} & settings.keys():
            raise InputError(f"attacks: {name}: {min(taken)} is no setting here; all attacks have those of `check`")
        for value in listed:
            checked = checked_settings(name, {**settings, "eps": value, "norm": norm}, values)
            if checked.get("targeted"):
                raise InputError(f"attacks: {name}: targeted leads to no robust accuracy, which is compared here")
            entry = registry.attacks()[name]
            if entry.trains_on_images:
                raise InputError(f"attacks: {name} learns from training images; run it by `attack`")
            found.append(attack_at(name, checked, Number(checked["eps"], eps_display(checked["eps"]))))
    return found
