"""Checks that compare the cells of one target with each other; no torch.

All are warnings. `se` stands for one standard error of a difference, taken example by example.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np

from squeezeproof.attacks.suite import stages
from squeezeproof.audit.cells import CHANCE, Cell, gap, together
from squeezeproof.audit.findings import WARNING, Finding, judge, listed, not_applicable
from squeezeproof.entries.attack import UNTOLD
from squeezeproof.norms import Norm
from squeezeproof.study.entities import Instance
from squeezeproof.study.instances import needs_gradients

LARGE_EPS = 0.5
ABOUT_ZERO = 0.01
SQUARE_AHEAD = 0.002


def audit_target(cells: list[Cell], labels: np.ndarray) -> list[Finding]:
    """Findings of checks 5 (members of suites), 10, 12, 13, 14 and 15 on the cells of one target.

    Args:
        cells: every Cell of the target, from all its sources.
        labels: true labels [N] of its data set.
    """
    white_box = [cell for cell in cells if cell.white_box]
    findings = list(falling_with_eps(cells))
    findings += [finding for cell in white_box for finding in (*members(cell, white_box), large_budget(cell, labels))]
    for budget in dict.fromkeys(cell.budget for cell in cells):
        own = [cell for cell in white_box if cell.budget == budget]
        following = [cell for cell in own if not cell.entry.blind]
        others = [cell for cell in cells if cell.budget == budget and not cell.white_box]
        findings += [*ordered(own), *beats_transfer(following, others), *beats_square(own)]
    return findings


def members(suite: Cell, cells: list[Cell]) -> Iterator[Finding]:
    """Check 5, of a suite: it is at least as strong as those of its attacks that the study also runs alone.

    They draw other random numbers alone than in the suite, hence a warning, and only beyond one standard error.
    """
    settings: Any = suite.settings
    if not suite.entry.is_sequence:
        return
    parts = [_alone(stage) for stage in stages(settings)]
    alone = [cell for cell in cells if cell is not suite and _alone(cell.settings) in parts]
    if alone:
        joint = together(alone)
        excess, se = gap(suite, joint)
        names = ", ".join(cell.attack for cell in alone)
        message = f"{names}, run alone, leave fewer examples standing than the suite; give its attacks more steps"
        yield judge(suite.key, 5, excess, se, message, verdict=WARNING)


def _alone(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("stop_on_success", *UNTOLD)}


def ordered(cells: list[Cell]) -> Iterator[Finding]:
    """Check 10: at one budget, accuracy under noise >= FGSM >= PGD >= a suite, within one standard error."""
    ranked = [(strength, cell) for cell in cells if (strength := cell.entry.strength) is not None]
    for strength, cell in ranked:
        weaker = [other for less, other in ranked if less < strength]
        if not weaker:
            yield not_applicable(cell.key, 10, "no weaker attack of noise, fgsm and pgd is run at this eps and norm")
            continue
        best = min(weaker, key=lambda other: other.accuracy)
        excess, se = gap(cell, best)
        message = (
            f"{best.attack}, a weaker attack, breaks more; give {cell.attack} more steps, or look for masked gradients"
        )
        yield judge(cell.key, 10, excess, se, message)


def falling_with_eps(cells: list[Cell]) -> Iterator[Finding]:
    """Check 12: an attack's accuracy does not rise with its eps by more than one standard error."""
    cells = [cell for cell in cells if cell.settings["eps"] is not None]
    for _, group in groupby(sorted(cells, key=_attack), key=_attack):
        smaller, *larger = sorted(group, key=lambda cell: cell.settings["eps"])
        if not larger:
            yield not_applicable(smaller.key, 12, "the study has this attack at one eps only; list several")
        for cell in larger:
            if cell.settings["eps"] == smaller.settings["eps"]:
                continue
            excess, se = gap(cell, smaller)
            message = (
                f"accuracy is higher than at eps {smaller.settings['eps']:g}; give the attack more steps or restarts"
            )
            yield judge(cell.key, 12, excess, se, message)
            smaller = min(smaller, cell, key=lambda other: other.accuracy)


def _attack(cell: Cell) -> tuple[str, str]:
    settings = {key: value for key, value in cell.settings.items() if key != "eps"}
    return cell.source, json.dumps(settings, sort_keys=True)


def large_budget(cell: Cell, labels: np.ndarray) -> Finding:
    """Check 13: a linf eps of 0.5 or more leaves at most the largest class, no budget at all leaves about nothing."""
    norm, eps = cell.budget
    unbounded = eps is None
    if cell.entry.blind or cell.entry.own_budget or not (unbounded or (norm == Norm.LINF and eps >= LARGE_EPS)):
        return not_applicable(cell.key, 13, "for gradient attacks with a linf eps of 0.5 or more, or without a budget")
    known = labels[cell.scored]
    most = ABOUT_ZERO if unbounded else float(np.unique(known, return_counts=True)[1].max() / len(known))
    message = (
        "at this budget any model can be broken, so the attack fails: give it more steps, or look for masked gradients"
    )
    return judge(cell.key, 13, cell.accuracy, most, message)


def _follows_gradients(cell: Cell) -> bool:
    return needs_gradients(Instance(cell.attack, cell.attack, cell.settings))


def beats_transfer(own: list[Cell], others: list[Cell]) -> Iterator[Finding]:
    """Check 14: at one budget, the white-box attacks together leave no more standing than any transfer set does, but by
    chance: to a model that hardly differs from the source, images of either are much the same.
    """
    if not own:
        return
    if not any(map(_follows_gradients, own)):
        reason = "no attack follows its gradients, so that images of another model may well break more"
        yield from (not_applicable(cell.key, 14, reason) for cell in own)
        return
    if not others or own[0].settings["eps"] is None:
        reason = "no set of another source is scored on it at this eps and norm"
        yield from (not_applicable(cell.key, 14, reason) for cell in own)
        return
    joint, best = together(own), min(others, key=lambda other: other.accuracy)
    transferred = together(others)
    only = np.flatnonzero(joint.correct & joint.scored & ~transferred.correct & transferred.scored)
    message = (
        f"{best.attack} crafted on {best.source} breaks more; {len(only)} examples fall to transfer alone "
        f"({listed(only)}): strengthen the white-box attacks, or look for masked gradients"
    )
    ahead, se = gap(joint, best)
    for cell in own:
        yield judge(cell.key, 14, ahead, CHANCE * se, message)


def beats_square(own: list[Cell]) -> Iterator[Finding]:
    """Check 15: at one budget, Square breaks at most 0.2 points more than the suite (all gradient attacks together)."""
    square = [cell for cell in own if cell.method == "square"]
    gradient = [cell for cell in own if not cell.entry.blind and _follows_gradients(cell)]
    suites = [cell for cell in gradient if cell.entry.is_sequence]
    judged = suites or gradient
    if not square:
        reason = "the study has no square at this eps and norm; add it"
        yield from (not_applicable(cell.key, 15, reason) for cell in judged)
        return
    if not judged:
        return
    ahead, _ = gap(together(judged), together(square))
    message = (
        "Square, which sees no gradients, breaks more: the model masks its gradients or the attacks need more steps"
    )
    for cell in judged:
        yield judge(cell.key, 15, ahead, SQUARE_AHEAD, message)
