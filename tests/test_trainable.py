"""Networks that compute otherwise in training mode: which of them can be trained after a compression."""

import copy
import random
import sys
from types import ModuleType

import pytest
import torch
from entry_examples import complete
from model_examples import assert_same_tensors, spec_of, split, training
from torch import nn
from torch.nn import functional

from squeezeproof.evaluation.support import check_kept, not_supported
from squeezeproof.models.build import build
from squeezeproof.runtime import place
from squeezeproof.training.loop import fit

SHAPE = (1, 8, 8)
ENTRIES = {"quantization": {"bits": 8}, "weight": {"ratio": 0.5}, "filter": {"ratio": 0.3}}


class Plain(nn.Module):
    """Two convolutions with batch normalisations, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norms, self.fc = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2)), nn.Linear(6 * 64, 10)

    def block(self, maps):
        return functional.relu(self.norms[1](self.conv(maps)))

    def maps(self, pixels):
        return self.block(functional.relu(self.norms[0](self.stem(pixels))))

    def forward(self, pixels):
        return self.fc(self.maps(pixels).flatten(1))


class Averaged(nn.Module):
    """Trains one copy of its weights and is evaluated with their running average."""

    def __init__(self):
        super().__init__()
        self.live = Plain()
        self.average = copy.deepcopy(self.live).requires_grad_(False)

    def follow(self):
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.live.parameters(), strict=True):
                mean.lerp_(value, 0.1)
            for mean, value in zip(self.average.buffers(), self.live.buffers(), strict=True):
                mean.copy_(value)

    def forward(self, pixels):
        if not self.training:
            return self.average(pixels)
        self.follow()
        return self.live(pixels)


class Aside(Averaged):
    """Keeps the average for later, and is evaluated with what it trains."""

    def forward(self, pixels):
        if self.training:
            self.follow()
        return self.live(pixels)


class SecondForm(Plain):
    """Has another layer for eval mode, which it fills when it gets there."""

    def __init__(self):
        super().__init__()
        self.deployed = nn.Conv2d(6, 6, 3, padding=1)

    def train(self, mode=True):
        self.deployed.load_state_dict(self.conv.state_dict())
        return super().train(mode)

    def block(self, maps):
        return functional.relu(self.norms[1]((self.conv if self.training else self.deployed)(maps)))


class Fused(SecondForm):
    """Fuses the scale of its normalisation into the other layer, as RepVGG does."""

    def train(self, mode=True):
        super().train(mode)
        if not mode:
            norm = self.norms[1]
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            self.deployed.weight.data = (self.conv.weight * scale[:, None, None, None]).detach()
        return self


class Skipping(Plain):
    """Leaves a block out, by chance, in training."""

    def block(self, maps):
        return maps if self.training and random.random() < 0.7 else maps + super().block(maps)


class Dropped(Plain):
    """Drops weights in training, so that it multiplies with others than its parameters."""

    def block(self, maps):
        weight = functional.dropout(self.conv.weight, 0.2, self.training)
        return functional.relu(functional.conv2d(maps, weight, padding=1))


class HalfFrozen(Plain):
    def __init__(self):
        super().__init__()
        self.stem.requires_grad_(False)


class AllFrozen(Plain):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


class Helped(Plain):
    """Has a second classifier in training."""

    def __init__(self):
        super().__init__()
        self.helper = nn.Linear(6, 10)

    def forward(self, pixels):
        maps = self.maps(pixels)
        logits = self.fc(maps.flatten(1))
        return logits + 0.1 * self.helper(maps.mean((2, 3))) if self.training else logits


def tried(network):
    model = nn.Sequential()
    model.network = network
    entries = {name: [complete("compressions", name, **given)] for name, given in ENTRIES.items()}
    return not_supported(place(model, "cpu", SHAPE), SHAPE, entries, {}, *split(0, 16))


def drawn(factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return factory()


@pytest.mark.parametrize(
    ("factory", "named"),
    [
        (Averaged, "network.average.conv.weight, network.average.fc.weight, network.average.stem.weight,"),
        (SecondForm, "network.deployed.weight,"),
    ],
)
def test_weights_that_no_training_reaches_are_named_for_every_compression(factory, named):
    found = tried(drawn(factory))
    assert found.keys() == ENTRIES.keys() and len(set(found.values())) == 1
    assert f"in eval mode the network multiplies with {named} in training mode with other" in found["filter"]
    assert "let the factory return the network without its averaged copy" in found["filter"]


@pytest.mark.parametrize(
    ("factory", "refused", "error"),
    [
        (Aside, {"quantization", "filter"}, "(RuntimeError: The size of tensor"),
        (Helped, {"filter"}, "(RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_a_part_that_only_training_uses_refuses_what_changes_the_sizes_that_it_follows(factory, refused, error):
    found = tried(drawn(factory))
    assert found.keys() == refused
    assert all("after the compression the network fails in training mode" in reason for reason in found.values())
    assert error in found["filter"]


@pytest.mark.parametrize("factory", [Plain, Skipping, HalfFrozen, AllFrozen], ids=lambda each: each.__name__)
def test_a_network_whose_training_reaches_its_weights_is_compressed(factory):
    assert tried(drawn(factory)) == {}


def test_weights_that_training_multiplies_with_in_part_are_trained():
    assert "weight" not in tried(drawn(Dropped))


def test_a_network_that_fuses_its_layers_when_it_leaves_training_mode_is_kept(monkeypatch):
    module = ModuleType("made_up_networks")
    module.factory = lambda **_: drawn(Fused)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    given = spec_of("custom", factory="made_up_networks:factory", arguments={})
    check_kept(build(given, seed=1), given, split(0, 16)[0])


def test_looking_leaves_the_network_and_the_generators_as_they_were():
    network = drawn(Skipping)
    before, states = copy.deepcopy(network.state_dict()), (random.getstate(), torch.get_rng_state())
    tried(network)
    assert_same_tensors(network.state_dict(), before)
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])


def test_a_network_that_is_evaluated_with_its_average_is_trained():
    model = place(drawn(Averaged), "cpu", SHAPE)
    before = model.average.fc.weight.clone()
    history = fit(model, split(0, 96), split(96, 128), training(2, batch_size=32), seed=0)
    assert history[-1]["train_loss"] < history[0]["train_loss"] and not torch.equal(model.average.fc.weight, before)
