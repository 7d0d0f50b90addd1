"""What was tried on two models, and what that leaves open, in words; no torch."""

from collections.abc import Sequence
from typing import Any

from squeezeproof.analysis.faced import COMPRESSED, Faced, followed_gradients
from squeezeproof.analysis.names import display_name, entry_display, eps_display
from squeezeproof.analysis.pairs import BASE
from squeezeproof.entries import registry

NORMS = ("linf", "l2")
# Attacks that a person may ask for by name beside what was run, the strongest first.
STRONGER = ("autoattack", "apgd_t", "fab_t", "square")


def tried(faced: Sequence[Faced]) -> list[str]:
    """A sentence for every attack: its length, its budgets, the models that it was crafted on.

    Args:
        faced: every analysis.replacement.Faced.
    """
    sentences = []
    for entry in dict.fromkeys(one.settings["entry"] for one in faced):
        own = [one for one in faced if one.settings["entry"] == entry]
        settings = own[0].settings
        budgets = [f"eps {eps_display(eps)}" for eps in sorted({one.settings["eps"] for one in own} - {None})]
        parts = [_name(entry, settings), *_length(settings), *([" and ".join(budgets)] if budgets else [])]
        sources = " and ".join(dict.fromkeys(one.source for one in own))
        alone = any(len(one.right) == 1 for one in own)
        scored = "each scored on its own; it ends where it succeeds" if alone else "scored on both"
        sentences.append(f"{', '.join(parts)} ({settings['norm'].capitalize()}): crafted on {sources}, {scored}.")
    return sentences


def _name(entry: str, settings: dict[str, Any]) -> str:
    name = entry_display(entry, settings["method"])
    return name[:1].upper() + name[1:]


def _length(settings: dict[str, Any]) -> list[str]:
    """How long an attack was, such as `10 steps`."""
    units = registry.attacks()[settings["method"]].units
    return [f"{settings[unit]:,} {unit}" for unit in units if settings.get(unit, 1) > 1]


def not_tried(faced: Sequence[Faced]) -> list[str]:
    """What stays open, a sentence each."""
    followed = followed_gradients(faced)
    sentences = [
        f"Gradients of the {name} model: no attack followed them. What an attacker finds who does stays open; the "
        f"images of the other model and the attacks without gradients stand in for that."
        for name in (BASE, COMPRESSED)
        if name not in followed
    ]
    norms, methods = ({one.settings[key] for one in faced} for key in ("norm", "method"))
    sentences += [f"Perturbations that are small in {norm.capitalize()}." for norm in NORMS if norm not in norms]
    stronger = [display_name(method) for method in STRONGER if method not in methods]
    if stronger:
        sentences.append(f"Stronger and other attacks: {', '.join(stronger)} and all else that the workflow has.")
    sentences.append("Attacks made for these very models; larger budgets; changes that are no small perturbations.")
    sentences.append("Other trainings of either model: the verdict is on these two, on images like these.")
    return sentences
