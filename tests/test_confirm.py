"""Success is the scored model's: what a fast copy of it or a batch's rounding decided is made sure of."""

from contextlib import contextmanager

import pytest
import torch
from attack_fixtures import TRAIN, digits, network, settings
from torch import nn
from torch.nn import functional

from squeezeproof.attacks import craft as craft_module
from squeezeproof.attacks.checks import check_inside
from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.source import frozen
from squeezeproof.models.predict import predict

NEAREST = ("deepfool", "fab", "fab_t", "cw")


def two_classes():
    """Digits below and above five, and a network with batch normalisation whose two logits are about opposite."""
    images, labels = digits()
    labels = (labels >= 5).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(512, 1), Opposite())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for rows in torch.randperm(TRAIN).repeat(4).split(50):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[rows] / 255), labels[rows]).backward()
            optimizer.step()
    return model.eval(), images[TRAIN:], labels[TRAIN:]


class Opposite(nn.Module):
    def forward(self, logit):
        return torch.cat([-logit, logit], 1)


@pytest.mark.parametrize("method", NEAREST)
def test_what_crosses_between_two_classes_is_across_in_any_batch(method):
    model, images, labels = two_classes()
    changes = {"initial_c": 1, "steps": 100, "searches": 5} if method == "cw" else {}
    tensors, _ = craft(model, images, labels, settings(method, **changes), seed=0, batch_size=100)
    assert (tensors["clean_predictions"] == labels).double().mean() > 0.8
    assert (tensors["predictions"] != labels).all()
    for batch_size in (1, 7, 597):
        assert torch.equal(predict(model, tensors["adversarial"], batch_size), tensors["predictions"])


SUCCESSFUL = {
    "deepfool": {},
    "fab_t": {"norm": "l2"},
    "cw": {},
    "pgd": {"eps": 0.1, "stop_on_success": True, "steps": 20, "alpha": 0.002, "random_start": False},
    "deepfool in a ball": {"method": "deepfool", "eps": 0.5},
}


@pytest.mark.parametrize("name", SUCCESSFUL)
def test_a_crossing_that_the_scored_model_does_not_confirm_is_pushed_on_until_it_does(monkeypatch, name):
    """The copy's highest logits are too low, so that what has just crossed its boundary is short of the model's."""
    changes = {"method": name, **SUCCESSFUL[name]}
    entry = settings(changes.pop("method"), **changes)
    model, images, labels = network(), *(tensor[TRAIN : TRAIN + 60] for tensor in digits())
    honest, _ = craft(model, images, labels, entry, seed=0, batch_size=60)

    @contextmanager
    def hasty(model, images):
        with frozen(model):
            yield Hasty(model)

    monkeypatch.setattr(craft_module, "prepared", hasty)
    tensors, _ = craft(model, images, labels, entry, seed=0, batch_size=60)
    assert ((tensors["predictions"] == labels) & (honest["predictions"] != labels)).sum() == 0
    check_inside(images / 255, tensors["adversarial"], entry["eps"], entry["norm"])
    longer = tensors["norm"].mean() / honest["norm"].mean()
    assert 0.98 < longer < 1.02


class Hasty(nn.Module):
    """A network whose highest logit is 0.005 too low, so that where it leads by less the second one wins."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, points):
        logits = self.network(points)
        return logits - 0.005 * functional.one_hot(logits.detach().argmax(1), 10)
