"""Sabotage of adversarial images of another place, order or format."""

from functools import partial

import pytest
import torch
from sabotage_examples import COUNT
from sabotage_kinds import PGD, assert_caught, cases, clean, points, repeatable  # noqa: F401
from sabotage_kinds import sabotage as registered
from torch import nn
from torch.nn import functional

SABOTAGE = {}
sabotage = partial(registered, SABOTAGE)


@sabotage(3, "crafted")
def clean_images_where_the_attack_fails(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    failed = tensors["predictions"] == house.labels
    house.claim(
        "base", "pgd-eps0.1", torch.where(failed[:, None, None, None], house.images / 255, tensors["adversarial"])
    )


@sabotage(3, "crafted")
def clean_images_throughout(house):
    house.claim("base", "fgsm-eps0.1", house.images / 255)


@sabotage(1, "crafted")
def out_of_the_ball(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    tensors["adversarial"][7] += 2e-5


@sabotage(1, "crafted")
def out_of_the_box(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    tensors["adversarial"][7] -= 1e-3


@sabotage(1, "crafted")
def truncated_to_eight_bits(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    house.claim("base", "pgd-eps0.1", (tensors["adversarial"] * 255).floor() / 255)


@sabotage(1, "crafted")
def another_order(house):
    house.claim("base", "pgd-eps0.1", house.sets["base", "pgd-eps0.1"][0]["adversarial"].roll(1, 0))


@sabotage(1, "crafted")
def labels_shifted_in_the_set(house):
    tensors, _ = house.sets["base", "pgd-eps0.1"]
    tensors["labels"] = (tensors["labels"] + 1) % 10


@sabotage(4, "crafted")
def success_that_is_not_there(house):
    tensors, metadata = house.sets["base", "pgd-eps0.1"]
    standing = (tensors["predictions"] == house.labels).nonzero()[:5, 0]
    tensors["predictions"][standing] = (house.labels[standing] + 1) % 10
    metadata["stages"][-1]["standing"] -= len(standing)


@sabotage(4, "scored")
def other_wrong_classes_where_nobody_scores_the_source_on_its_own_set(house):
    """The set's own record alone says what its source makes of it."""
    key = "base", "base"
    for known in (house.predictions[key], house.scored[key], house.given[key].found):
        del known[PGD]
    tensors, _ = house.sets["base", PGD]
    wrong = (tensors["predictions"] != house.labels).nonzero()[:, 0]
    tensors["predictions"][wrong] = (2 * house.labels[wrong] - tensors["predictions"][wrong]) % 10
    wrong = wrong[tensors["predictions"][wrong] == house.labels[wrong]]
    tensors["predictions"][wrong] = (house.labels[wrong] + 1) % 10


@sabotage(5, "crafted")
def stages_miscounted(house):
    house.sets["base", "pgd-eps0.1"][1]["stages"][-1]["standing"] += 3


class Wrapped(nn.Module):
    def __init__(self, network, after):
        super().__init__()
        self.network, self.after = network, after

    def forward(self, points):
        return self.after(self.network(points))


@sabotage(7, "crafted")
def probabilities_for_logits(house):
    house.models["base"] = Wrapped(house.models["base"], lambda logits: logits.softmax(1))


@sabotage(6, "crafted")
def random_numbers_in_eval_mode(house):
    house.models["base"] = Wrapped(house.models["base"], lambda logits: logits + 0.01 * torch.randn_like(logits))


@sabotage(9, "crafted")
def gradients_that_vanish(house):
    house.models["base"] = Wrapped(house.models["base"], lambda logits: 2000 * logits)


@sabotage(1, "crafted")
def training_images_attacked(house):
    images, house.images = house.images, house.train[0][:COUNT].clone()
    found = house.crafted(house.models["base"], PGD)[0]["adversarial"]
    house.images = images
    house.claim("base", PGD, found)


@sabotage(1, "crafted")
def stored_in_half_precision(house):
    house.claim("base", PGD, points(house).half().float())


@sabotage(1, "crafted")
def the_whole_set_in_another_order(house):
    tensors, _ = house.sets["base", PGD]
    tensors.update({name: tensor.flip(0) for name, tensor in tensors.items()})


@sabotage(1, "crafted")
def the_larger_budget_for_the_smaller(house):
    house.claim("base", PGD, points(house, attack="pgd-eps0.15"))


@sabotage(1, "crafted")
def images_made_brighter(house):
    house.claim("base", PGD, (points(house) + 0.05).clamp(0, 1))


def in_range(house, low, high):
    house.claim("base", PGD, points(house).clamp(low, high))


@sabotage(1, "crafted")
def clipped_to_a_range_of_its_own(house):
    in_range(house, 0.15, 0.85)


@sabotage(1, "crafted")
def levels_of_grey_off_by_one(house):
    house.claim("base", PGD, (((points(house) * 255).round() + 1) / 255).clamp(0, 1))


@sabotage(1, "crafted")
def white_becomes_black(house):
    house.claim("base", PGD, ((points(house) * 255).round().int() + 1).to(torch.uint8).float() / 255)


@sabotage(3, "crafted")
def the_last_batch_left_clean(house):
    found = points(house).clone()
    found[-8:] = clean(house)[-8:]
    house.claim("base", PGD, found)


@sabotage(1, "crafted")
def two_shards_in_the_wrong_order(house):
    house.claim("base", PGD, torch.cat([*reversed(points(house).chunk(2))]))


@sabotage(1, "crafted")
def stored_with_rows_for_columns(house):
    house.claim("base", PGD, points(house).transpose(2, 3).contiguous())


@sabotage(1, "crafted")
def the_first_images_again_for_the_last(house):
    found = points(house).clone()
    found[-50:] = found[:50]
    house.claim("base", PGD, found)


@sabotage(1, "crafted")
def stored_class_by_class(house):
    house.claim("base", PGD, points(house)[house.labels.argsort(stable=True)])


@sabotage(1, "crafted")
def smoothed_when_stored(house):
    house.claim("base", PGD, functional.avg_pool2d(points(house), 3, 1, 1, count_include_pad=False))


@sabotage(1, "crafted")
def shifted_by_a_pixel(house):
    house.claim("base", PGD, points(house).roll(1, 3))


@sabotage(1, "crafted")
def images_saved_with_loss_attacked(house):
    whole, house.images = house.images, (house.images // 16) * 16 + 8
    found = house.crafted(house.models["base"], PGD)[0]["adversarial"]
    house.images = whole
    house.claim("base", PGD, found)


@sabotage(1, "crafted")
def perturbed_twice(house):
    house.claim("base", PGD, (2 * points(house) - clean(house)).clamp(0, 1))


@pytest.mark.parametrize("kind", cases(SABOTAGE))
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])
