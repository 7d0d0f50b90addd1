"""How kinds of sabotage are registered and made of the study of sabotage_examples.py, and how one is caught."""

from copy import deepcopy
from functools import cache

import pytest
import torch
from attack_fixtures import settings
from sabotage_examples import COUNT, House, alarms
from torch import nn
from torch.nn import functional

PGD = "pgd-eps0.1"


def sabotage(kinds, check, when):
    """Register a kind of sabotage among `kinds`: `before` crafting, of what was `crafted`, or of what was `scored`;
    with None for `check`, one that nothing sees.
    """

    def register(function):
        kinds[function.__name__] = (function, check, when)
        return function

    return register


def cases(kinds, fast=3):
    """The names of some kinds as parameters: of each check `fast` in equal distances, the rest slow."""
    checked = {}
    for name, (_, check, _) in kinds.items():
        checked.setdefault(check, []).append(name)
    kept = {name for names in checked.values() for name in names[:: -(-len(names) // fast)]}
    return [pytest.param(name, marks=[] if name in kept else [pytest.mark.slow]) for name in kinds]


@pytest.fixture(autouse=True)
def repeatable():
    """torchattacks draws from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@cache
def sound():
    """The sets of the sound study, which most kinds of sabotage start from."""
    return House(None).craft().sets


def clean(house):
    return house.images / 255


def points(house, source="base", attack=PGD):
    return house.sets[source, attack][0]["adversarial"]


def moved(house, change, source="base"):
    """Claim the clean images with perturbations that `change` makes of the true ones."""
    delta = change(points(house, source) - clean(house))
    house.claim(source, PGD, (clean(house) + delta).clamp(0, 1))


def crafted_otherwise(house, model=None, **changes):
    """Claim what PGD finds with other settings, or on another model."""
    attacks, house.attacks = house.attacks, {PGD: settings("pgd", **{"eps": 0.1, "steps": 10, **changes})}
    found = house.crafted(model or house.models["base"], PGD)[0]["adversarial"]
    house.attacks = attacks
    house.claim("base", PGD, found)


def scored(house, target, source, model, change=lambda pixels: pixels):
    """Predictions of another model, or of changed images, for those of a target on the attacks of a source."""
    for attack in house.attacks:
        found = house.labelled(house.given[target, source], attack, model, change(points(house, source, attack)))
        house.predictions[target, source][attack] = found


def spoilt(folder, spoil, when):
    """The alarms of a study after a sabotage."""
    house = House(folder)
    if when == "before":
        spoil(house)
        house.craft().score()
    else:
        house.sets = deepcopy(sound())
        if when == "crafted":
            spoil(house)
        house.score()
        if when == "scored":
            spoil(house)
    return alarms(house.audit())


def assert_caught(folder, spoil, check, when):
    """The audit names the check of a sabotage; that of None it does not see."""
    found = spoilt(folder, spoil, when)
    if check is None:
        assert found == {}, "the audit sees it: write which check"
    else:
        assert check in {alarm[0] for alarm in found}, found
        assert all(found.values()), "an alarm without a message"


class Dropping(nn.Module):
    """A network that drops inputs of its last layer, whatever its mode."""

    def __init__(self, model, share):
        super().__init__()
        self.first, self.last, self.share = model[:-1], model[-1], share

    def forward(self, pixels):
        return self.last(functional.dropout(self.first(pixels), self.share, training=True))


def last_quarter(house, other, source="base"):
    found = points(house, source).clone()
    found[3 * COUNT // 4 :] = other[3 * COUNT // 4 :]
    house.claim(source, PGD, found)


def steps_of(house, size):
    """PGD from the clean images whose step is `size(number, gradient)`."""
    found = clean(house)
    for number in range(10):
        found.requires_grad_(True)
        loss = functional.cross_entropy(house.models["base"](found), house.labels, reduction="sum")
        moved = found.detach() + size(number, torch.autograd.grad(loss, found)[0]) - clean(house)
        found = (clean(house) + moved.clamp(-0.1, 0.1)).clamp(0, 1)
    house.claim("base", PGD, found)
