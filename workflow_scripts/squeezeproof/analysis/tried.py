"""What was tried on two models, and what that leaves open, in words; no torch."""

from collections.abc import Sequence
from typing import Any

from squeezeproof.analysis.faced import COMPRESSED, Faced, budget_display, by_strength, followed_gradients
from squeezeproof.analysis.names import display_name, entry_display, eps_display
from squeezeproof.analysis.pairs import BASE
from squeezeproof.entries import registry

NORMS = ("linf", "l2")
# Attacks that a person may ask for by name beside what was run, the strongest first.
STRONGER = ("autoattack", "apgd_t", "fab_t", "square")


def tried(faced: Sequence[Faced]) -> list[str]:
    """A sentence for every attack, the weakest first: its length, its budgets, the models that it was crafted on.

    Args:
        faced: every analysis.replacement.Faced.
    """
    sentences = []
    for entry in by_strength(faced):
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
    """What stays open, a sentence each, true of exactly these attacks."""
    followed = followed_gradients(faced)
    sentences = [
        f"Gradients of the {name} model: no attack followed them. What an attacker finds who does stays open; "
        f"{_in_their_place(faced, name)}."
        for name in (BASE, COMPRESSED)
        if name not in followed
    ]
    norms, methods = {one.settings["norm"] for one in faced}, _methods(faced)
    sentences += [
        f"Perturbations that are small in {norm.capitalize()}: none was looked for."
        for norm in NORMS
        if norm not in norms
    ]
    stronger = [display_name(method) for method in STRONGER if method not in methods]
    also = f"{', '.join(stronger)}, and others" if stronger else "others"
    sentences.append(f"Further attacks that this workflow has: {also}; docs/choose_an_attack.md lists them.")
    sentences += [f"Perturbations larger than {most}." for most in _largest(faced)]
    sentences.append(
        "An attack that somebody designs for these two models, who knows how they work: those above are the usual ones."
    )
    sentences.append("Other changes of an image than small perturbations, such as turns, blur or patches.")
    sentences.append("Other trainings of either model: the verdict is on these two, on images like these.")
    return sentences


def _methods(faced: Sequence[Faced]) -> set[str]:
    """The kinds of the attacks, and of those that a suite among them runs."""
    kinds = registry.attacks()
    found = {one.settings["method"] for one in faced}
    return found | {part["method"] for one in faced for part in kinds[one.settings["method"]].parts(one.settings)}


def _in_their_place(faced: Sequence[Faced], name: str) -> str:
    """What was tried on a model whose gradients nobody followed."""
    other = COMPRESSED if name == BASE else BASE
    shown = any(one.source == other and name in one.right for one in faced)
    asked = any(one.source == name for one in faced)
    stood = ["images made for the other model"] * shown + ["attacks without gradients"] * asked
    return f"{' and '.join(stood)} stand in for that" if stood else "nothing stands in for that"


def _largest(faced: Sequence[Faced]) -> list[str]:
    """The largest budget of every norm."""
    most: dict[str, float] = {}
    for one in faced:
        norm, eps = one.budget
        if eps is not None:
            most[norm] = max(eps, most.get(norm, 0.0))
    return [budget_display(norm, eps) for norm, eps in sorted(most.items())]
