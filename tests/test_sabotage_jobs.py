"""A fourth lot of what a bug would leave behind, and more sound variations; the study is that of test_sabotage.py."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from attack_fixtures import settings
from conftest import ROOT
from test_sabotage import KINDS, VARIATIONS, House, alarms, fitted, normalised, repeatable  # noqa: F401
from test_sabotage_bugs import SABOTAGE as BUGS
from test_sabotage_more import (
    PGD,
    assert_caught,
    attacks,
    base,
    clean,
    compressed,
    crafted_otherwise,
    images,
    points,
    quantized,
)
from test_sabotage_more import SABOTAGE as MORE
from test_sabotage_more import SOUND as MORE_SOUND
from test_sabotage_more import sabotage as registered
from torch import nn
from torch.nn import functional

from squeezeproof.models.build import Normalize

SABOTAGE = {}
sabotage = partial(registered, kinds=SABOTAGE)


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


def steps_of(house, size):
    """PGD from the clean images whose step is `size(number, gradient)`."""
    found = clean(house)
    for number in range(10):
        found.requires_grad_(True)
        loss = functional.cross_entropy(house.models["base"](found), house.labels, reduction="sum")
        moved = found.detach() + size(number, torch.autograd.grad(loss, found)[0]) - clean(house)
        found = (clean(house) + moved.clamp(-0.1, 0.1)).clamp(0, 1)
    house.claim("base", PGD, found)


@sabotage(25, "crafted")
def steps_that_halve(house):
    steps_of(house, lambda number, gradient: 0.025 * 0.5**number * gradient.sign())


@sabotage(24, "crafted")
def gradients_that_underflow(house):
    """Half precision without a scale for the loss keeps the largest alone."""
    steps_of(house, lambda number, gradient: 0.025 * (gradient * 1e-7).half().sign().float())


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


@sabotage(None, "crafted")
def one_attack_stored_for_another(house):
    """FGSM breaks nearly as many of these images as PGD."""
    house.claim("base", PGD, points(house, attack="fgsm-eps0.1").clone())


@sabotage(4, "scored")
def two_attacks_swapped_at_prediction(house):
    found = house.predictions["base", "base"]
    found[PGD], found["fgsm-eps0.1"] = found["fgsm-eps0.1"], found[PGD]


@sabotage(27, "scored")
def the_files_of_two_targets_swapped(house):
    found = house.predictions
    found["small", "base"], found["other", "base"] = found["other", "base"], found["small", "base"]


@sabotage(22, "scored")
def classes_counted_from_one(house):
    for labels in house.predictions["small", "base"].values():
        labels += 1
        labels %= 10


@sabotage(30, "scored")
def made_of_itself(house):
    house.made_of["small"] = house.digests["small"]


@sabotage(30, "scored")
def trained_on_the_first_batch_alone(house):
    house.trained_on["base"] = house.seen(house.train[0][:50], house.train[1][:50])


@pytest.mark.parametrize("kind", SABOTAGE)
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])


def test_the_documentation_counts_them():
    text = (ROOT / "docs" / "read_the_tables.md").read_text()
    lots = [set(KINDS), set(MORE), set(BUGS), set(SABOTAGE)]
    known = [*KINDS.values(), *(check for _, check, _ in (MORE | BUGS | SABOTAGE).values())]
    tried, seen = len(known), sum(check is not None for check in known)
    assert f"in {tried} ways" in text and f"{seen} are caught" in text
    sounds = [set(VARIATIONS), set(MORE_SOUND), set(SOUND)]
    assert f"{sum(map(len, sounds))} sound variations" in text
    # No name hides another.
    assert len(set.union(*lots)) == tried and len(set.union(*sounds)) == sum(map(len, sounds))
    assert f"{seen} of the {tried} kinds of sabotage" in (ROOT / "README.md").read_text()


def layers(*middle, features=256):
    return nn.Sequential(Normalize([0.3], [0.4]), *middle, nn.Flatten(), nn.Linear(features, 10))


def convolutions(activation, *after):
    return layers(
        *(nn.Conv2d(1, 8, 3, padding=1), activation(), nn.Conv2d(8, 16, 3, stride=2, padding=1), activation()), *after
    )


def last(model, scale=1.0, offset=0.0):
    """The logits of a model times a number, plus another."""
    model = deepcopy(model)
    with torch.no_grad():
        model[-1].weight *= scale
        model[-1].bias.mul_(scale).add_(offset)
    return model


def rare_classes(found, labels):
    kept = (labels > 2) | (torch.arange(len(labels)) % 4 == 0)
    return found[kept], labels[kept]


SOUND = {
    "gelu": base(lambda: fitted(convolutions(nn.GELU))),
    "tanh": base(lambda: fitted(convolutions(nn.Tanh))),
    "a linear model": base(lambda: fitted(layers(features=64))),
    "layer normalisation": base(lambda: fitted(convolutions(nn.ReLU, nn.LayerNorm([16, 4, 4])))),
    "dropout": base(lambda: fitted(convolutions(nn.ReLU, nn.Dropout(0.3)))),
    "logits far from zero": lambda house: house.models.update(base=last(house.models["base"], offset=50.0)),
    "large logits": lambda house: house.models.update(base=last(house.models["base"], scale=3.0)),
    "small logits": lambda house: house.models.update(base=last(house.models["base"], scale=0.3)),
    "another order of images": images(lambda found, labels: (found.flip(0), labels.flip(0))),
    "rare classes": images(rare_classes),
    "a class that is not there": images(lambda found, labels: (found[labels != 4], labels[labels != 4])),
    "6 bits": quantized(6),
    "3 bits": quantized(3),
    "fine-tuned alone": compressed(lambda model: fitted(deepcopy(model), epochs=2, rate=0.05)),
    "many steps": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=100, alpha=0.002)}),
    "two restarts, l2": attacks({"a-eps0.5": settings("pgd", eps=0.5, steps=20, restarts=2, norm="l2")}),
    "a single budget of many": attacks({f"a-eps{eps}": settings("fgsm", eps=eps) for eps in (0.02, 0.04, 0.06, 0.08)}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_variation_raises_no_alarm(name, tmp_path):
    house = House(tmp_path)
    torch.manual_seed(4)
    SOUND[name](house)
    assert alarms(house.craft().score().audit()) == {}
