"""Features are what a layer gives, in order of execution, and looking at a model leaves it as it was."""

from copy import deepcopy

import pytest
import torch
from model_examples import EXAMPLES, assert_same_tensors, model_of, pixels_of, shape_of
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.models.build import FACTORIES
from squeezeproof.models.features import features, layer_names


def example(name):
    """A narrow network, the shape of its images and some of them."""
    spec = EXAMPLES[name]
    return model_of(spec), shape_of(spec), pixels_of(spec)


@pytest.mark.parametrize("kind", [kind for kind in FACTORIES if kind in EXAMPLES])
def test_the_last_named_layer_gives_the_logits(kind):
    model, shape, pixels = example(kind)
    names = layer_names(model, shape)
    found = features(model, names, pixels)
    assert list(found) == names
    assert torch.equal(found[names[-1]], model(pixels))
    assert {id(model.get_submodule(name)) for name in names} == {
        id(layer) for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))
    }


@pytest.mark.parametrize("kind", ["resnet34", "mobilenet_v2", "densenet121"])
def test_features_are_what_the_layer_gives_before_an_activation_in_place(kind):
    model, shape, pixels = example(kind)
    first = layer_names(model, shape)[0]
    maps = model.get_submodule(first)(model.normalize(pixels)).detach()
    block = first.rsplit(".", 1)[0]
    normalised = {"resnet34": "network.bn1", "densenet121": "network.features.norm0"}.get(kind, f"{block}.1")
    found = features(model, [normalised, first], pixels)
    assert torch.equal(found[first], maps)
    assert torch.equal(found[normalised], model.get_submodule(normalised)(maps).detach())
    assert (found[normalised] < 0).any()


def test_layers_are_named_in_order_of_execution():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(2, 3), nn.Conv2d(1, 2, 3)

        def forward(self, pixels):
            return self.last(self.first(pixels).mean((2, 3)))

    assert layer_names(Backwards(), (1, 8, 8)) == ["first", "last"]
    model, shape, _ = example("cnn8")
    assert layer_names(model, shape)[5:] == ["network.conv6", "network.fc1", "network.fc2"]


def states_of(model):
    """Everything that a look at the model must not change."""
    hooks = [hook for module in model.modules() for hook in module._forward_hooks.values()]
    return hooks, [module.training for module in model.modules()], model.state_dict()


@pytest.mark.parametrize("fails", [False, True])
def test_looking_at_a_model_leaves_it_as_it_was(fails):
    model, _, _ = example("resnet18")
    model.train()
    model.network.bn1.eval()
    _, modes, tensors = deepcopy(states_of(model))
    pixels = torch.rand(2, 4 if fails else 3, 8, 8)
    if fails:
        with pytest.raises(RuntimeError):
            features(model, ["network.conv1", "network.fc"], pixels)
    else:
        found = features(model, ["network.conv1", "network.fc"], pixels)
        assert not any(tensor.requires_grad for tensor in found.values())
    hooks, modes_after, tensors_after = states_of(model)
    assert not hooks
    assert modes_after == modes
    assert_same_tensors(tensors_after, tensors)


@pytest.mark.parametrize(
    ("name", "nearest"), [("network.conv9", "network.conv"), ("fc1", "network.fc1"), ("", "normalize")]
)
def test_a_name_that_the_model_does_not_have_is_answered_with_the_nearest(name, nearest):
    model, _, pixels = example("cnn8")
    with pytest.raises(InputError, match=f"the model has no layer '{name}'; the nearest are .*{nearest}"):
        features(model, ["network.conv1", name], pixels)


class Odd(nn.Module):
    """A layer that the pass does not reach, and one that returns two tensors."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(1, 1)
        self.pool = nn.MaxPool2d(2, return_indices=True)

    def forward(self, pixels):
        return self.pool(pixels)[0].flatten(1)


@pytest.mark.parametrize(("name", "problem"), [("unused", "is not reached"), ("pool", "returns tuple, not a tensor")])
def test_layers_without_features_are_named(name, problem):
    with pytest.raises(InputError, match=f"layer '{name}' of the model {problem}; choose another"):
        features(Odd(), [name], torch.rand(1, 1, 4, 4))
