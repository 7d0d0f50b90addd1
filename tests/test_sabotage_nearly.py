"""Sabotage of adversarial images that are nearly as strong as they should be."""

from functools import partial

import pytest
import torch
from attack_fixtures import settings
from sabotage_examples import COUNT
from sabotage_kinds import (  # noqa: F401
    PGD,
    assert_caught,
    cases,
    clean,
    crafted_otherwise,
    last_quarter,
    moved,
    points,
    repeatable,
    steps_of,
)
from sabotage_kinds import sabotage as registered
from torch import nn
from torch.nn import functional

SABOTAGE = {}
sabotage = partial(registered, SABOTAGE)


@sabotage(25, "crafted")
def a_budget_in_the_wrong_unit(house):
    attacks, house.attacks = house.attacks, {"pgd-eps0.1": {**house.attacks["pgd-eps0.1"], "eps": 0.1 / 255}}
    points = house.crafted(house.models["base"], "pgd-eps0.1")[0]["adversarial"]
    house.attacks = attacks
    house.claim("base", "pgd-eps0.1", points)


@sabotage(25, "crafted")
def a_step_size_in_the_wrong_unit(house):
    attacks, changed = house.attacks, {"alpha": 0.01 / 255, "random_start": False}
    house.attacks = {"pgd-eps0.1": {**house.attacks["pgd-eps0.1"], **changed}}
    points = house.crafted(house.models["base"], "pgd-eps0.1")[0]["adversarial"]
    house.attacks = attacks
    house.claim("base", "pgd-eps0.1", points)


@sabotage(25, "crafted")
def a_budget_in_normalised_units(house):
    moved(house, lambda delta: 0.4 * delta)


@sabotage(25, "crafted")
def gradients_without_their_sign(house):
    found = clean(house)
    for _ in range(10):
        found.requires_grad_(True)
        loss = functional.cross_entropy(house.models["base"](found), house.labels)
        (gradient,) = torch.autograd.grad(loss, found)
        found = (clean(house) + (found.detach() + 0.025 * gradient - clean(house)).clamp(-0.1, 0.1)).clamp(0, 1)
    house.claim("base", PGD, found)


@sabotage(31, "crafted")
def the_last_shard_made_on_another_model(house):
    """Images of the other network break nearly as many here."""
    last_quarter(house, points(house, "other"))


@sabotage(25, "crafted")
def a_batch_stops_at_its_first_success(house):
    model, found = house.models["base"], clean(house).clone()
    for rows in torch.arange(COUNT).split(50):
        batch, labels = found[rows].clone(), house.labels[rows]
        right = model(batch).argmax(1) == labels
        for _ in range(10):
            batch.requires_grad_(True)
            logits = model(batch)
            if (right & (logits.argmax(1) != labels)).any():
                break
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), batch)
            moved = batch.detach() + 0.02 * gradient.sign() - clean(house)[rows]
            batch = (clean(house)[rows] + moved.clamp(-0.1, 0.1)).clamp(0, 1)
        found[rows] = batch.detach()
    house.claim("base", PGD, found)


def worst_of(house, restarts):
    """Of several runs of PGD, for every image the one that fools the model least."""
    worst, margins = None, None
    for seed in range(restarts):
        found, _ = house.crafted(house.models["base"], PGD, seed=seed)
        if worst is None:
            worst, margins = found["adversarial"].clone(), found["margin"].clone()
        smaller = found["margin"] < margins
        worst[smaller], margins[smaller] = found["adversarial"][smaller], found["margin"][smaller]
    return worst


@sabotage(32, "crafted")
def the_worst_of_runs_that_nobody_asked_for(house):
    """Each run of PGD is as strong as the fresh attack but for its start."""
    house.claim("base", PGD, worst_of(house, 5))


@sabotage(31, "crafted")
def restarts_keep_the_worst(house):
    worst = worst_of(house, 5)
    house.attacks[PGD] = settings("pgd", eps=0.1, steps=10, restarts=5)
    house.claim("base", PGD, worst)


@sabotage(31, "crafted")
def the_normalisation_applied_twice(house):
    """It hardly turns the gradients; where mean and deviation are 0 and 1, it is no bug."""
    model = nn.Sequential(house.models["base"][0], *house.models["base"])
    crafted_otherwise(house, model)


@sabotage(25, "crafted")
def steps_that_halve(house):
    steps_of(house, lambda number, gradient: 0.025 * 0.5**number * gradient.sign())


@sabotage(33, "crafted")
def one_attack_stored_for_another(house):
    """FGSM breaks nearly as many of these images as PGD."""
    house.claim("base", PGD, points(house, attack="fgsm-eps0.1").clone())


@pytest.mark.parametrize("kind", cases(SABOTAGE))
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])
