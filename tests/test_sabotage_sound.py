"""Sound variations of a small study, which raise no alarm; see sabotage_examples.py."""

from copy import deepcopy

import pytest
import torch
from attack_fixtures import TRAIN, digits, network, settings
from quantization_examples import entry
from sabotage_examples import House, alarms, dense, fitted, normalised, pruned
from sabotage_kinds import PGD, repeatable  # noqa: F401
from torch import nn
from torch.nn import functional

from squeezeproof.compression.quantization import quantize
from squeezeproof.models.build import Normalize


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
        house.expected = len(house.labels)

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


def one_photograph_twice(house):
    """In the training images with another bit."""
    house.images[0], house.labels[0] = house.train[0][0] ^ 1, house.train[1][0]


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


def calibrated(bits, epochs=0, **changes):
    """Quantization by the project's own code, and training of what it gives."""

    def make(model):
        model = deepcopy(model)
        quantize(model, (1, 8, 8), entry(bits, **changes), digits()[0][:TRAIN], 0)
        return fitted(model, epochs=epochs, rate=0.02)

    return compressed(make)


def masks_known(house):
    weights = house.models["small"].state_dict()
    house.masks["small"] = {name: tensor != 0 for name, tensor in weights.items() if "weight" in name}


def reached(targeted, method="pgd", **changes):
    """A study of a targeted attack."""
    return attacks({"a-eps0.1": settings(method, **{"eps": 0.1, "targeted": targeted, **changes})})


SOUND = {
    "as it is": lambda house: None,
    **{f"{method}, linf": attacks({"a-eps0.1": settings(method, eps=0.1)}) for method in ("fgsm", "bim", "pgd")},
    **{
        f"{method}, l2": attacks({"a-eps0.5": settings(method, eps=0.5, norm="l2")})
        for method in ("fgsm", "bim", "pgd", "apgd", "square", "noise", "mifgsm")
    },
    **{
        f"{method}, other schemes": attacks({"a-eps0.1": settings(method, eps=0.1)})
        for method in ("apgd", "apgd_t", "square", "noise", "mifgsm", "difgsm", "uap")
    },
    **{f"{method}, minimum-norm": attacks({"a": settings(method)}) for method in ("deepfool", "fab", "fab_t")},
    "cw, cut to a ball": attacks({"a-eps1": settings("cw", eps=1.0)}),
    "a black box": attacks({"a-eps0.1": settings("substitute", eps=0.1)}),
    "a small budget": attacks({"a-eps0.01": settings("pgd", eps=0.01, steps=10)}),
    "a large budget": attacks({"a-eps0.5": settings("pgd", eps=0.5, steps=40)}),
    "one step more": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=1)}),
    "Madry's step size": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=40, alpha=0.01)}),
    "no random start": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=10, random_start=False)}),
    "the last iterate": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=10, keep="last")}),
    "stops at success": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=10, stop_on_success=True)}),
    "eight bits": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=10, stored="uint8")}),
    "eight bits, stops at success": attacks(
        {"a-eps0.06": settings("pgd", eps=0.06, steps=40, stored="uint8", stop_on_success=True)}
    ),
    "the margin loss": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=10, loss="margin")}),
    "three budgets": attacks({f"a-eps{eps}": settings("pgd", eps=eps, steps=10) for eps in (0.05, 0.1, 0.2)}),
    "another architecture": base(lambda: fitted(dense(), rate=0.2)),
    "a narrow network": base(lambda: fitted(dense(8), rate=0.2)),
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
    "one photograph in both splits": one_photograph_twice,
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
    "the same function in other weights": compressed(lambda model: last(deepcopy(model), offset=1.0)),
    "many steps": attacks({"a-eps0.1": settings("pgd", eps=0.1, steps=100, alpha=0.002)}),
    "two restarts, l2": attacks({"a-eps0.5": settings("pgd", eps=0.5, steps=20, restarts=2, norm="l2")}),
    "a single budget of many": attacks({f"a-eps{eps}": settings("fgsm", eps=eps) for eps in (0.02, 0.04, 0.06, 0.08)}),
    "8 bits, calibrated": calibrated(8),
    "4 bits, least error": calibrated(4, calibration="mse"),
    "6 bits, a percentile, float inputs": calibrated(6, calibration="percentile", activation_bits=32),
    "4 bits, fine-tuned": calibrated(4, 1),
    **{f"{bits} bits, scales learned": calibrated(bits, 2, mode="qat") for bits in (2, 3, 4, 8)},
    "calibrated on few images": calibrated(8, calibration_images=8),
    "masks known": masks_known,
    "the least likely class": reached("least-likely"),
    "the next class": reached("next", "fgsm"),
    "a class by its name": reached("3", norm="l2", eps=0.5),
    "the last iterate of five runs": attacks({"a-eps0.1": settings("pgd", eps=0.1, keep="last", restarts=5)}),
}


# Neighbours in the list are alike.
FAST = list(SOUND)[::3]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in SOUND]
)
def test_a_sound_variation_raises_no_alarm(name, tmp_path):
    house = House(tmp_path)
    torch.manual_seed(4)
    SOUND[name](house)
    assert alarms(house.craft().score().audit()) == {}
