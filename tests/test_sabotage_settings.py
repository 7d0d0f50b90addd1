"""Sabotage of what an attack was told: what it made is an attack, and not the one that it is stored for."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from attack_fixtures import settings
from sabotage_kinds import PGD, Dropping, assert_caught, cases, clean, crafted_otherwise, points, repeatable, steps_of  # noqa: F401
from sabotage_kinds import sabotage as registered

SABOTAGE = {}
sabotage = partial(registered, SABOTAGE)


def made_by(house, claimed, method, seed=0, source="base", **changes):
    """Claim what an attack of these settings makes as a set of the attack `claimed`."""
    name = next(iter(claimed))
    house.attacks, entry = {name: settings(method, **changes)}, claimed
    if (source, name) not in house.sets:
        house.attacks = claimed
        house.sets = {(model, name): house.crafted(house.models[model], name) for model in house.models}
        house.attacks = {name: settings(method, **changes)}
    found = house.crafted(house.models[source], name, seed=seed)[0]["adversarial"]
    house.attacks = entry
    house.claim(source, name, found)


@sabotage(31, "crafted")
def fgsm_from_a_random_start_for_pgd(house):
    crafted_otherwise(house, steps=1, alpha=0.125)


@sabotage(31, "crafted")
def half_the_steps(house):
    crafted_otherwise(house, steps=5, alpha=0.025)


@sabotage(31, "crafted")
def half_of_the_step_size(house):
    crafted_otherwise(house, alpha=0.0125)


@sabotage(32, "crafted")
def twice_the_step_size(house):
    crafted_otherwise(house, alpha=0.05)


@sabotage(32, "crafted")
def the_margin_for_the_cross_entropy(house):
    crafted_otherwise(house, loss="margin")


@sabotage(32, "crafted")
def images_of_another_seed(house):
    house.claim("base", PGD, house.crafted(house.models["base"], PGD, seed=1)[0]["adversarial"])


@sabotage(32, "crafted")
def no_random_start(house):
    crafted_otherwise(house, random_start=False)


@sabotage(32, "crafted")
def momentum_for_pgd(house):
    made_by(house, {PGD: settings("pgd", eps=0.1, steps=10)}, "mifgsm", eps=0.1)


@sabotage(32, "crafted")
def one_run_for_five(house):
    made_by(house, {PGD: settings("pgd", eps=0.1, steps=10, restarts=5)}, "pgd", eps=0.1, steps=10)


@sabotage(32, "crafted")
def a_few_queries_for_many(house):
    made_by(house, {"a-eps0.1": settings("square", eps=0.1, queries=200)}, "square", eps=0.1, queries=20)


@sabotage(32, "crafted")
def the_nearest_point_of_another_attack(house):
    made_by(house, {"a": settings("cw", eps=None)}, "deepfool", eps=None, norm="l2")


@sabotage(31, "crafted")
def one_class_left_out(house):
    noise = (clean(house) + 0.1 * torch.randn_like(clean(house)).sign()).clamp(0, 1)
    house.claim("base", PGD, torch.where((house.labels == 3)[:, None, None, None], noise, points(house)))


@sabotage(31, "crafted")
def a_tenth_dropped_while_crafting(house):
    crafted_otherwise(house, Dropping(house.models["base"], 0.1))


@sabotage(32, "crafted")
def one_start_for_all_images(house):
    """The random numbers of an image do not depend on which it is."""
    model, start = house.models["base"], 0.1 * (2 * torch.rand(1, 1, 8, 8) - 1)
    found = (clean(house) + start).clamp(0, 1)
    for _ in range(10):
        found.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(model(found), house.labels)
        moved = found.detach() + 0.025 * torch.autograd.grad(loss, found)[0].sign() - clean(house)
        found = (clean(house) + moved.clamp(-0.1, 0.1)).clamp(0, 1)
    house.claim("base", PGD, found)


@sabotage(24, "crafted")
def the_mean_over_the_wrong_axis(house):
    """The gradient is averaged over the images, not over passes."""
    steps_of(house, lambda number, gradient: 0.025 * gradient.mean(0, keepdim=True).sign())


@sabotage(24, "crafted")
def lengths_of_the_whole_batch(house):
    """Gradients are divided by the length of all of them together."""
    steps_of(house, lambda number, gradient: 2.0 * gradient / gradient.norm())


@sabotage(31, "crafted")
def the_predicted_labels_attacked(house):
    with torch.no_grad():
        predicted = house.models["base"](clean(house)).argmax(1)
    house.claim("base", PGD, house.crafted(house.models["base"], PGD, labels=predicted)[0]["adversarial"])


def rounded(house, kind, source="base"):
    """A model whose weights are those of another type of numbers."""
    model = deepcopy(house.models[source])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(kind).float())
    return model


@sabotage(42, "crafted")
def half_precision_while_crafting(house):
    """What is recorded of the images is that model's, too."""
    house.sets["base", PGD] = house.crafted(rounded(house, torch.half), PGD)


@sabotage(42, "crafted")
def half_precision_of_some_gradients(house):
    """Those of a norm in which every image moves with its gradient."""
    house.attacks[PGD] = settings("pgd", eps=0.5, steps=10, norm="l2")
    for source, model in house.models.items():
        house.sets[source, PGD] = house.crafted(model, PGD)
    house.claim("small", PGD, house.crafted(rounded(house, torch.half, "small"), PGD)[0]["adversarial"])


@sabotage(42, "crafted")
def bfloat16_of_the_gradients(house):
    crafted_otherwise(house, rounded(house, torch.bfloat16))


@sabotage(None, "crafted")
def half_precision_of_gradients_whose_sign_alone_counts(house):
    """It turns so few signs that, of images of 64 pixels, no more than one of those made again is another."""
    crafted_otherwise(house, rounded(house, torch.half))


@sabotage(42, "crafted")
def rounded_to_eight_bits_when_stored(house):
    """Within the ball."""
    house.claim("base", PGD, (points(house) * 255).round() / 255)


AIMED = "pgd-least-likely-eps0.1"


def aimed(house, model="base", targeted="least-likely", change=lambda tensors: None):
    """Claim what a targeted attack, spoilt in some way, makes."""
    house.attacks = {AIMED: settings("pgd", eps=0.1, steps=10, targeted="least-likely")}
    house.sets = {(name, AIMED): house.crafted(each, AIMED) for name, each in house.models.items()}
    entry, house.attacks = house.attacks, {AIMED: settings("pgd", eps=0.1, steps=10, targeted=targeted)}
    tensors = house.crafted(house.models[model], AIMED)[0]
    house.attacks = entry
    if targeted:
        house.sets["base", AIMED][0]["targets"] = tensors["targets"]
    change(house.sets["base", AIMED][0])
    house.claim("base", AIMED, tensors["adversarial"])


@sabotage(32, "crafted")
def targets_of_another_model(house):
    aimed(house, "other")


@sabotage(32, "crafted")
def the_next_class_for_the_least_likely(house):
    aimed(house, targeted="next")


@sabotage(24, "crafted")
def targets_of_the_next_image(house):
    def change(tensors):
        rolled = tensors["targets"].roll(1)
        tensors["targets"] = torch.where(rolled == house.labels, tensors["targets"], rolled)

    aimed(house, change=change)


@sabotage(31, "crafted")
def away_from_the_label_where_a_class_was_to_be_reached(house):
    aimed(house, targeted=None)


@pytest.mark.parametrize("kind", cases(SABOTAGE))
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])
