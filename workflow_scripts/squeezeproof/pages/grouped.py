"""Sentences that hold for many models, each said once, with whom it is of."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Models that are named in the line itself.
NAMED = 2
NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Grouped:
    """A sentence, and what a reader may unfold below it."""

    text: str
    details: list[str] = field(default_factory=list)


def grouped(said: Iterable[tuple[str, str]]) -> list[Grouped]:
    """One Grouped for all models of which the same is said, in the order of the first of each.

    Args:
        said: (model, sentence) of each. Sentences that differ in their numbers alone are one, that of the first, with
            each model's own to unfold.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for model, text in said:
        groups.setdefault(NUMBER.sub("", text), []).append((model, text))
    return [_group(members) for members in groups.values()]


def _group(members: list[tuple[str, str]]) -> Grouped:
    models, texts = [model for model, _ in members], [text for _, text in members]
    if len(set(texts)) > 1:
        first = f"{len(models)} models, such as {models[0]}: {texts[0]}"
        return Grouped(first, [f"{model}: {text}" for model, text in members])
    if len(models) <= NAMED:
        return Grouped(f"{' and '.join(models)}: {texts[0]}")
    return Grouped(f"{len(models)} models: {texts[0]}", models)
