"""More of what a bug would leave behind, and more sound variations; the study is that of test_sabotage.py."""

from copy import deepcopy

import pytest
import torch
from attack_fixtures import TRAIN, digits, network, settings
from test_sabotage import COUNT, House, alarms, dense, fitted, normalised, pruned, sound
from torch import nn
from torch.nn import functional

from squeezeproof.models.build import Normalize
from squeezeproof.models.predict import predict

PGD = "pgd-eps0.1"
SABOTAGE = {}


def sabotage(check, when, kinds=SABOTAGE):
    """Register a kind of sabotage among `kinds`: `before` crafting, of what was `crafted`, or of what was `scored`;
    with None for `check`, one that nothing sees.
    """

    def register(function):
        kinds[function.__name__] = (function, check, when)
        return function

    return register


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


@sabotage(25, "crafted")
def a_budget_in_normalised_units(house):
    moved(house, lambda delta: 0.4 * delta)


@sabotage(24, "crafted")
def cut_to_half_the_budget(house):
    moved(house, lambda delta: delta.clamp(-0.05, 0.05))


@sabotage(24, "crafted")
def the_labels_of_the_next_image_attacked(house):
    house.claim("base", PGD, house.crafted(house.models["base"], PGD, labels=house.labels.roll(1))[0]["adversarial"])


@sabotage(1, "crafted")
def training_images_attacked(house):
    images, house.images = house.images, house.train[0][:COUNT].clone()
    found = house.crafted(house.models["base"], PGD)[0]["adversarial"]
    house.images = images
    house.claim("base", PGD, found)


@sabotage(24, "crafted")
def the_random_start_alone(house):
    moved(house, lambda delta: 0.1 * (2 * torch.rand_like(delta) - 1))


@sabotage(1, "crafted")
def stored_in_half_precision(house):
    house.claim("base", PGD, points(house).half().float())


@sabotage(1, "crafted")
def the_whole_set_in_another_order(house):
    tensors, _ = house.sets["base", PGD]
    tensors.update({name: tensor.flip(0) for name, tensor in tensors.items()})


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


@sabotage(1, "crafted")
def the_larger_budget_for_the_smaller(house):
    house.claim("base", PGD, points(house, attack="pgd-eps0.15"))


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


@sabotage(25, "crafted")
def gradients_without_their_sign(house):
    found = clean(house)
    for _ in range(10):
        found.requires_grad_(True)
        loss = functional.cross_entropy(house.models["base"](found), house.labels)
        (gradient,) = torch.autograd.grad(loss, found)
        found = (clean(house) + (found.detach() + 0.025 * gradient - clean(house)).clamp(-0.1, 0.1)).clamp(0, 1)
    house.claim("base", PGD, found)


@sabotage(1, "crafted")
def images_made_brighter(house):
    house.claim("base", PGD, (points(house) + 0.05).clamp(0, 1))


class Dropping(nn.Module):
    """A network that drops inputs of its last layer, whatever its mode."""

    def __init__(self, model, share):
        super().__init__()
        self.first, self.last, self.share = model[:-1], model[-1], share

    def forward(self, pixels):
        return self.last(functional.dropout(self.first(pixels), self.share, training=True))


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


@sabotage(29, "before")
def every_test_image_twice(house):
    house.images, house.labels = (torch.cat([each[: COUNT // 2]] * 2) for each in (house.images, house.labels))


@sabotage(22, "before")
def rows_and_columns_swapped(house):
    house.images = house.images.transpose(2, 3).contiguous()


@sabotage(22, "before")
def black_for_white(house):
    house.images = 255 - house.images


def scored(house, target, source, model, change=lambda pixels: pixels):
    """Predictions of another model, or of changed images, for those of a target on the attacks of a source."""
    for attack in house.attacks:
        house.predictions[target, source][attack] = predict(model, change(points(house, source, attack)), 100)


@sabotage(4, "scored")
def masks_left_out_at_prediction(house):
    model = deepcopy(house.models["small"])
    for layer in model:
        if hasattr(layer, "weight"):
            layer.weight.data += (layer.weight == 0) * 0.05 * torch.randn_like(layer.weight)
    scored(house, "small", "small", model)


@sabotage(27, "scored")
def the_base_in_the_place_of_its_pruned_copy(house):
    scored(house, "small", "base", house.models["base"])


@sabotage(4, "scored")
def dropout_at_prediction(house):
    scored(house, "base", "base", Dropping(house.models["base"], 0.5))


@sabotage(14, "scored")
def dropout_at_prediction_of_transfer(house):
    scored(house, "small", "base", Dropping(house.models["small"], 0.9))


@sabotage(4, "scored")
def quantization_at_prediction_alone(house):
    scored(house, "base", "base", house.models["base"], lambda pixels: (6 * pixels).round() / 6)


@sabotage(14, "scored")
def swapped_images_at_prediction(house):
    scored(house, "small", "base", house.models["small"], lambda pixels: pixels.transpose(2, 3))


@sabotage(14, "scored")
def transfer_in_another_order(house):
    found = house.predictions["small", "base"]
    found.update({attack: found[attack].roll(1) for attack in house.attacks})


@sabotage(22, "scored")
def a_file_in_another_order(house):
    found = house.predictions["small", "base"]
    found.update({name: labels.roll(1) for name, labels in found.items()})


@sabotage(27, "scored")
def clean_images_scored_for_attacked_ones(house):
    found = house.predictions["small", "base"]
    found.update({attack: found["clean"].clone() for attack in house.attacks})


@sabotage(14, "scored")
def one_class_under_attack(house):
    for attack in house.attacks:
        house.predictions["small", "base"][attack][:] = 3


@sabotage(27, "scored")
def a_file_of_another_model(house):
    house.predictions["small", "base"] = deepcopy(house.predictions["base", "base"])


@sabotage(27, "scored")
def clean_labels_of_another_model(house):
    house.predictions["small", "base"]["clean"] = house.predictions["base", "base"]["clean"].clone()


@sabotage(4, "scored")
def the_truth_for_clean_labels(house):
    for source in ("small", "base"):
        house.predictions["small", source]["clean"] = house.labels.clone()


@sabotage(12, "scored")
def two_budgets_swapped(house):
    found = house.predictions["small", "base"]
    found[PGD], found["pgd-eps0.15"] = found["pgd-eps0.15"], found[PGD]


@sabotage(14, "scored")
def the_second_half_a_copy_of_the_first(house):
    for labels in house.predictions["small", "base"].values():
        labels[COUNT // 2 :] = labels[: COUNT // 2]


@sabotage(30, "before")
def trained_on_the_test_images(house):
    """The job was given the test split, too, and notes what it was given."""
    seen = [torch.cat(each) for each in zip(house.train, (house.images, house.labels), strict=True)]
    house.trained_on["small"] = house.seen(*seen)
    model, parameters = house.models["small"], list(house.models["small"].parameters())
    for _ in range(60):
        gradients = torch.autograd.grad(functional.cross_entropy(model(clean(house)), house.labels), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.1 * gradient


@sabotage(1, "scored")
def transfer_from_another_source(house):
    """The job was given the sets of another source, and notes what these say of themselves."""
    for attack in house.attacks:
        found = points(house, "other", attack)
        house.predictions["small", "base"][attack] = predict(house.models["small"], found, 100)
        house.scored["small", "base"][attack] = house.told("other", attack)


@pytest.fixture(autouse=True)
def repeatable():
    """torchattacks draws from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


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


@pytest.mark.parametrize("kind", SABOTAGE)
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])


# Sound variations


def robust(model, eps):
    """Trained on images of PGD with five steps [madry2018]."""
    images, labels = digits()
    images = images / 255
    for _ in range(8):
        for batch in torch.randperm(TRAIN).split(50):
            found = images[batch].clone()
            for _ in range(5):
                found.requires_grad_(True)
                (gradient,) = torch.autograd.grad(functional.cross_entropy(model(found), labels[batch]), found)
                delta = found.detach() + eps / 3 * gradient.sign() - images[batch]
                found = (images[batch] + delta.clamp(-eps, eps)).clamp(0, 1)
            gradients = torch.autograd.grad(
                functional.cross_entropy(model(found), labels[batch]), list(model.parameters())
            )
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter -= 0.1 * gradient
    return model.eval()


def in_bfloat16(model):
    fitted(model, epochs=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return model


def base(make):
    """A study of another base beside the second network."""

    def change(house):
        house.models = {"base": make(), "other": house.models["other"]}

    return change


def compressed(make):
    """A study of another compressed copy of the base."""

    def change(house):
        house.models["small"] = make(house.models["base"])

    return change


def quantized(bits):
    def make(model):
        model, levels = deepcopy(model), 2 ** (bits - 1) - 1
        for layer in model:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                scale = layer.weight.data.abs().max() / levels
                layer.weight.data = (layer.weight.data / scale).round().clamp(-levels - 1, levels) * scale
        return model

    return compressed(make)


def images(change):
    """A study of other test images, by what is left of (images, labels)."""

    def changed(house):
        house.images, house.labels = change(house.images, house.labels)

    return changed


def darker(house):
    house.images, house.train = (
        (house.images / 5).to(torch.uint8),
        ((house.train[0] / 5).to(torch.uint8), house.train[1]),
    )
    for model in house.models.values():
        model[0] = Normalize([0.06], [0.08])


def attacks(found):
    """A study of other attacks."""

    def change(house):
        house.attacks = found

    return change


def some_labels_wrong(house):
    house.labels[:6] = (house.labels[:6] + 1) % 10


def two_images_twice(house):
    house.images[-2:], house.labels[-2:] = house.images[:2], house.labels[:2]


SOUND = {
    "a tiny budget": attacks({"a-eps0.001": settings("pgd", eps=0.001, steps=10)}),
    "less than a level of grey": attacks({"a-eps0.0005": settings("fgsm", eps=0.0005)}),
    "a sweep": attacks({f"a-eps{eps}": settings("pgd", eps=eps, steps=5) for eps in (0.01, 0.05, 0.1, 0.2, 0.3)}),
    "the whole box": attacks({"a-eps1": settings("pgd", eps=1.0, steps=40)}),
    "a tiny budget, l2": attacks({"a-eps0.01": settings("pgd", eps=0.01, steps=10, norm="l2")}),
    "a large budget, l2": attacks({"a-eps5": settings("pgd", eps=5.0, steps=40, norm="l2")}),
    "three restarts": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=10, restarts=3)}),
    "labels alone": attacks({"a-eps0.1": settings("rays", eps=0.1)}),
    "10 images": images(lambda found, labels: (found[:10], labels[:10])),
    "20 images": images(lambda found, labels: (found[:20], labels[:20])),
    "50 images": images(lambda found, labels: (found[:50], labels[:50])),
    "images of two classes": images(lambda found, labels: (found[labels < 2], labels[labels < 2])),
    "dark images": darker,
    "a few wrong labels": some_labels_wrong,
    "two images twice": two_images_twice,
    "bfloat16": base(lambda: in_bfloat16(network())),
    "a robust network": base(lambda: robust(dense(64), 0.1)),
    "a robust network with batch normalisation": base(lambda: robust(normalised(), 0.1)),
    "a very robust network": base(lambda: robust(normalised(), 0.2)),
    "a weak network": base(lambda: fitted(dense(16), epochs=1, rate=0.05)),
    "batch normalisation": base(lambda: fitted(normalised())),
    "one model": lambda house: setattr(house, "models", {"base": house.models["base"]}),
    "trained for long": base(lambda: fitted(normalised(), epochs=40)),
    "2 bits": quantized(2),
    "4 bits": quantized(4),
    "8 bits": quantized(8),
    "hardly pruned": compressed(lambda model: pruned(model, 0.05)),
    "nearly all pruned": compressed(lambda model: pruned(model, 0.95)),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_variation_raises_no_alarm(name, tmp_path):
    house = House(tmp_path)
    torch.manual_seed(4)
    SOUND[name](house)
    assert alarms(house.craft().score().audit()) == {}
