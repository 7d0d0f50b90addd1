"""Sabotage of adversarial images that hardly attack the model they are stored for."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from attack_fixtures import settings
from sabotage_examples import COUNT, fitted, normalised
from sabotage_kinds import (  # noqa: F401
    PGD,
    Dropping,
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

from squeezeproof.models.build import Normalize

SABOTAGE = {}
sabotage = partial(registered, SABOTAGE)


@sabotage(24, "crafted")
def crafted_through_the_base(house):
    house.claim("small", "pgd-eps0.1", house.crafted(house.models["base"], "pgd-eps0.1")[0]["adversarial"])


@sabotage(24, "crafted")
def gradients_through_another_normalisation(house):
    model = deepcopy(house.models["base"])
    model[0] = Normalize([0.0], [0.02])
    house.claim("base", "pgd-eps0.1", house.crafted(model, "pgd-eps0.1")[0]["adversarial"])


@sabotage(24, "crafted")
def fgsm_through_another_normalisation(house):
    model = deepcopy(house.models["base"])
    model[0] = Normalize([0.9], [0.05])
    house.claim("base", "fgsm-eps0.1", house.crafted(model, "fgsm-eps0.1")[0]["adversarial"])


@sabotage(24, "crafted")
def batch_normalisation_in_training_mode(house):
    import torchattacks

    model = deepcopy(house.models["other"]).train()
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.0
    points = []
    for first in range(0, COUNT, 2):
        attack = torchattacks.PGD(model, eps=0.1, alpha=0.025, steps=10)
        attack.set_model_training_mode(True, batchnorm_training=True)
        points.append(attack(house.images[first : first + 2] / 255, house.labels[first : first + 2]))
    house.claim("other", "pgd-eps0.1", torch.cat(points))


@sabotage(24, "crafted")
def a_stale_checkpoint(house):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        before = fitted(normalised(), epochs=1)
    house.claim("other", "pgd-eps0.1", house.crafted(before, "pgd-eps0.1")[0]["adversarial"])


@sabotage(24, "crafted")
def noise_called_pgd(house):
    house.attacks["noise"] = settings("noise", eps=0.1)
    points = house.crafted(house.models["base"], "noise")[0]["adversarial"]
    del house.attacks["noise"]
    house.claim("base", "pgd-eps0.1", points)


@sabotage(24, "crafted")
def the_wrong_labels_attacked(house):
    with torch.no_grad():
        ranked = house.models["base"](house.images / 255).argsort(1, descending=True)
    points, _ = house.crafted(house.models["base"], "pgd-eps0.1", labels=ranked[:, -1])
    house.claim("base", "pgd-eps0.1", points["adversarial"])


@sabotage(24, "crafted")
def steps_down_the_loss(house):
    clean = house.images / 255
    points = house.sets["base", "pgd-eps0.1"][0]["adversarial"]
    house.claim("base", "pgd-eps0.1", (2 * clean - points).clamp(0, 1))


@sabotage(24, "crafted")
def every_second_batch_left_out(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    noise = (house.images / 255 + 0.1 * torch.randn_like(tensors["adversarial"]).sign()).clamp(0, 1)
    odd = torch.arange(COUNT) // 10 % 2 == 1
    house.claim("base", "pgd-eps0.1", torch.where(odd[:, None, None, None], noise, tensors["adversarial"]))


@sabotage(24, "crafted")
def cut_to_half_the_budget(house):
    moved(house, lambda delta: delta.clamp(-0.05, 0.05))


@sabotage(24, "crafted")
def the_labels_of_the_next_image_attacked(house):
    house.claim("base", PGD, house.crafted(house.models["base"], PGD, labels=house.labels.roll(1))[0]["adversarial"])


@sabotage(24, "crafted")
def the_random_start_alone(house):
    moved(house, lambda delta: 0.1 * (2 * torch.rand_like(delta) - 1))


@sabotage(24, "crafted")
def gradients_of_the_neighbour(house):
    moved(house, lambda delta: delta.roll(1, 0))


@sabotage(24, "crafted")
def one_perturbation_for_a_batch(house):
    moved(house, lambda delta: torch.cat([0.1 * each.mean(0).sign().expand_as(each) for each in delta.split(50)]))


@sabotage(24, "crafted")
def half_of_every_image_attacked(house):
    moved(house, lambda delta: torch.cat([delta[..., :4], torch.zeros_like(delta[..., 4:])], dim=-1))


@sabotage(24, "crafted")
def a_ball_in_another_norm(house):
    crafted_otherwise(house, norm="l2")


@sabotage(24, "crafted")
def the_smaller_budget_for_the_larger(house):
    house.claim("base", "pgd-eps0.15", points(house))


@sabotage(24, "crafted")
def images_made_for_another_network(house):
    house.claim("base", PGD, points(house, "other"))


@sabotage(24, "crafted")
def the_points_before_the_successful_ones(house):
    model, start, end = house.models["base"], clean(house), points(house)
    low, high = torch.zeros(COUNT, 1, 1, 1), torch.ones(COUNT, 1, 1, 1)
    for _ in range(12):
        middle = (low + high) / 2
        right = (model(start + (end - start) * middle).argmax(1) == house.labels)[:, None, None, None]
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    fooled = ((model(start).argmax(1) == house.labels) & (model(end).argmax(1) != house.labels))[:, None, None, None]
    house.claim("base", PGD, torch.where(fooled, start + (end - start) * low, end).detach())


@sabotage(24, "crafted")
def one_step_for_ten(house):
    crafted_otherwise(house, steps=1, alpha=0.02)


@sabotage(24, "crafted")
def dropout_while_crafting(house):
    crafted_otherwise(house, Dropping(house.models["base"], 0.8))


@sabotage(24, "crafted")
def statistics_of_another_network(house):
    model = deepcopy(house.models["other"])
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean += torch.randn_like(layer.running_mean) * layer.running_var.sqrt()
            layer.running_var *= 4 * torch.rand_like(layer.running_var)
    house.claim("other", PGD, house.crafted(model, PGD)[0]["adversarial"])


@sabotage(24, "crafted")
def labels_shuffled_within_batches(house):
    shuffled = torch.cat([batch[torch.randperm(len(batch))] for batch in house.labels.split(64)])
    house.claim("base", PGD, house.crafted(house.models["base"], PGD, labels=shuffled)[0]["adversarial"])


@sabotage(24, "crafted")
def noise_in_the_last_shard(house):
    noise = torch.randn_like(points(house)).sign()
    last_quarter(house, (clean(house) + 0.1 * noise).clamp(0, 1))


@sabotage(24, "crafted")
def targeted_images_counted_as_untargeted(house):
    with torch.no_grad():
        least = house.models["base"](clean(house)).argmin(1)
    found = clean(house)
    for _ in range(10):
        found.requires_grad_(True)
        loss = nn.functional.cross_entropy(house.models["base"](found), least)
        (gradient,) = torch.autograd.grad(loss, found)
        moved = found.detach() - 0.025 * gradient.sign() - clean(house)
        found = (clean(house) + moved.clamp(-0.1, 0.1)).clamp(0, 1)
    house.claim("base", PGD, found)


@sabotage(24, "crafted")
def the_first_iterate_kept_of_all(house):
    crafted_otherwise(house, steps=1, alpha=0.025)


class Seen(nn.Module):
    """A model that sees pixels as `change` leaves them."""

    def __init__(self, model, change):
        super().__init__()
        self.model, self.change = model, change

    def forward(self, pixels):
        return self.model(self.change(pixels))


def through(house, change):
    """Craft on the base as it sees changed pixels."""
    crafted_otherwise(house, Seen(house.models["base"], change))


@sabotage(24, "crafted")
def augmentation_flips_while_crafting(house):
    through(house, lambda pixels: pixels.flip(3))


@sabotage(24, "crafted")
def augmentation_shifts_while_crafting(house):
    through(house, lambda pixels: pixels.roll(2, 3))


@sabotage(24, "crafted")
def pixels_from_minus_one_to_one(house):
    through(house, lambda pixels: 2 * pixels - 1)


@sabotage(24, "crafted")
def every_image_normalised_by_itself(house):
    through(house, lambda pixels: functional.instance_norm(pixels) / 5)


@sabotage(24, "crafted")
def pixels_out_of_order_while_crafting(house):
    through(house, lambda pixels: pixels.transpose(2, 3))


@sabotage(24, "crafted")
def two_networks_averaged(house):
    """The mean of probabilities is attacked where the base alone was asked for."""

    class Mean(nn.Module):
        def forward(self, pixels):
            return sum(house.models[name](pixels).softmax(1) for name in ("base", "other", "other")).log()

    crafted_otherwise(house, Mean())


@sabotage(24, "crafted")
def gradients_that_underflow(house):
    """Half precision without a scale for the loss keeps the largest alone."""
    steps_of(house, lambda number, gradient: 0.025 * (gradient * 1e-7).half().sign().float())


@pytest.mark.parametrize("kind", cases(SABOTAGE))
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])
