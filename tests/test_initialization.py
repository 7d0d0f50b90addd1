"""Initial weights that a study names."""

import math

import pytest
import torch
from model_examples import spec_of
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from squeezeproof.errors import InputError
from squeezeproof.models.build import build, initial_model
from squeezeproof.models.initialization import initialize
from squeezeproof.seeds import derive_seed


def layers(**settings):
    model = initial_model(spec_of("cnn3", size=28, width=16, **settings), seed=0)
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def fans(layer):
    field = math.prod(layer.weight.shape[2:])
    return layer.weight.shape[1] * field, layer.weight.shape[0] * field


def test_glorots_weights_are_uniform_between_the_bounds_of_their_fans():
    for layer in layers(initialization="glorot_uniform"):
        bound = math.sqrt(6 / sum(fans(layer)))
        weight = layer.weight.detach()
        assert bound * 0.98 < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.06)
        assert not layer.bias.any()


def test_hes_weights_are_normal_with_variance_two_over_the_fan_in():
    for layer in layers(initialization="he_normal"):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fans(layer)[0]), rel=0.06)
        assert not layer.bias.any()


def test_a_network_keeps_its_own_weights_unless_others_are_named():
    spec = spec_of("cnn3", size=28)
    expected = build(spec, derive_seed(3, "weights")).state_dict()
    for other in (spec, spec | {"architecture": spec["architecture"] | {"initialization": "own"}}):
        assert all(map(torch.equal, initial_model(other, 3).state_dict().values(), expected.values()))


@pytest.mark.parametrize("initialization", ["glorot_uniform", "he_normal"])
def test_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone(initialization):
    spec = spec_of("resnet18", channels=3, size=8, width=4, initialization=initialization)
    before = torch.get_rng_state()
    first, again, other = (initial_model(spec, seed).network.fc.weight for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_weight_that_is_computed_is_refused_by_name():
    network = nn.Sequential(nn.Linear(4, 4), weight_norm(nn.Linear(4, 2)))
    with pytest.raises(InputError, match=r"the weight of 1 is computed from others; write initialization: own"):
        initialize(network, "he_normal", 0)
