"""Importances equal their definitions: lamp, taylor and random."""

from copy import deepcopy

import pytest
import torch
import torch_pruning as tp
from model_examples import EXAMPLES, assert_same_tensors, model_of, shape_of
from pairwise import paired
from pruning_examples import WIDE, entry, nothing, wide
from torch import nn
from torch.nn import functional

from squeezeproof.compression import importance as importances
from squeezeproof.compression.compress import compress
from squeezeproof.compression.groups import groups_and_layers, root_name
from squeezeproof.compression.importance import lamp, random_scores, taylor
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable, prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.measure import measure
from squeezeproof.training.schedules import fractions

NEW = ["lamp", "taylor", "random"]


def examples_of(shape, count=20, seed=0):
    """Random uint8 images and classes."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    return images, torch.randint(10, (count,), generator=generator)


# LAMP


def test_lamp_scores_are_those_computed_by_hand():
    scores = lamp(torch.tensor([4.0, 1, 0, 9]))
    assert scores.tolist() == pytest.approx([4 / 13, 1 / 14, 0, 1])
    assert lamp(torch.tensor([2.0, 2, 2])).tolist() == pytest.approx([1 / 3, 1 / 2, 1])
    assert lamp(torch.zeros(3)).tolist() == [0, 0, 0]


def test_lamp_does_not_depend_on_the_scale_of_a_layer_and_ranks_as_the_magnitudes():
    squares = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(lamp(1e-9 * squares), lamp(squares))
    assert torch.equal(lamp(squares).argsort(), squares.argsort())


@pytest.mark.parametrize("name", ["cnn3", "cnn8", "flattened"])
def test_lamp_of_filters_on_chains_equals_torch_prunings(name):
    model, shape = model_of(EXAMPLES[name]), shape_of(EXAMPLES[name])
    groups, _, _ = groups_and_layers(model, shape, "lamp")
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=torch.zeros(1, *shape))
    reference = tp.importance.LAMPImportance(p=2, group_reduction="first")
    expected = {
        next(key for key, module in model.named_modules() if module is group[0].dep.target.module): reference(group)
        for group in graph.get_all_groups(root_module_types=[nn.Conv2d])
    }
    assert {root_name(model, group) for group in groups} == expected.keys()
    for group in groups:
        torch.testing.assert_close(group.scores.float(), expected[root_name(model, group)])


def test_lamp_of_tied_filters_is_that_of_their_mean_squared_norm():
    model, shape = model_of(EXAMPLES["residual"]), shape_of(EXAMPLES["residual"])
    groups, _, _ = groups_and_layers(model, shape, "lamp")
    tied = (model.network.stem, model.network.first[0])
    [group] = [group for group in groups if {layer for layer, _ in group.tied} == set(tied)]
    squares = sum(layer.weight.detach().flatten(1).square().sum(1) for layer in tied) / 2
    torch.testing.assert_close(group.scores, lamp(squares))


@pytest.mark.parametrize("fraction", [0.3, 0.8])
def test_lamp_of_weights_equals_its_definition(fraction):
    model = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 4))
    model[1].weight.data *= 30
    weights = {name: weight.detach().clone() for name, weight in prunable(model).items()}
    masks = prune_weights(model, fraction, scope="global", importance="lamp")
    scores = {}
    for name, weight in weights.items():
        squares = weight.double().square()
        scores[name] = torch.stack([s / squares[squares >= s].sum() for s in squares.flatten()]).view_as(weight)
    removed = torch.cat([scores[name][~masks[name]] for name in masks])
    kept = torch.cat([scores[name][masks[name]] for name in masks])
    assert removed.max() < kept.min()
    # By magnitude the layer of large weights would keep them all.
    assert not masks["1.weight"].all()


# Taylor


class Small(nn.Module):
    """Two convolutions with what stands between layers: batch normalisation, dropout, a ReLU in place or not."""

    def __init__(self, inplace=False):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 3, 3, bias=False)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3, 10)
        self.inplace = inplace

    def forward(self, pixels):
        maps = functional.relu(self.norm(self.first(pixels)), inplace=self.inplace)
        maps = functional.relu(self.second(maps), inplace=self.inplace)
        return self.fc(self.drop(maps.mean((2, 3))))


def small(inplace=False):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Small(inplace)
    model.norm.running_mean.fill_(0.1)
    return model


def test_taylor_equals_finite_differences_of_the_loss():
    images, labels = examples_of((1, 8, 8), count=6)
    model, pixels = small().double().eval(), images.double() / 255
    scores = taylor(model, [model.first, model.second], pixels, labels)
    step = 1e-4
    for layer in (model.first, model.second):
        for index in range(layer.out_channels):
            changes = 0
            for sign in (1, -1):
                scaled = deepcopy(model)
                twin = scaled.first if layer is model.first else scaled.second
                with torch.no_grad():
                    for parameter in twin.parameters():
                        parameter[index] *= 1 + sign * step
                    losses = functional.cross_entropy(scaled(pixels), labels, reduction="none")
                changes = changes + sign * losses / (2 * step)
            assert float(scores[layer][index]) == pytest.approx(float(changes.square().mean()), rel=1e-4)


def test_taylor_leaves_no_gradient_and_draws_nothing():
    model = small()
    model.first.weight.grad = torch.full_like(model.first.weight, 3.0)
    state = torch.random.get_rng_state()
    first = taylor(model, [model.first], *examples_of((1, 8, 8)))
    assert torch.equal(model.first.weight.grad, torch.full_like(model.first.weight, 3.0))
    assert all(parameter.grad is None for parameter in [model.first.bias, *model.fc.parameters()])
    assert not model.first._forward_hooks
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(taylor(model, [model.first], *examples_of((1, 8, 8)))[model.first], first[model.first])
    assert model.norm.num_batches_tracked == 0


def test_taylor_depends_neither_on_batches_nor_on_work_in_place(monkeypatch):
    sample = examples_of((1, 8, 8), count=11)
    plain, inplace = small(), small(inplace=True)
    whole = taylor(plain, [plain.first, plain.second], *sample)
    monkeypatch.setattr(importances, "BATCH", 4)
    parts = taylor(inplace, [inplace.first, inplace.second], *sample)
    for layer, twin in ((plain.first, inplace.first), (plain.second, inplace.second)):
        torch.testing.assert_close(parts[twin], whole[layer], rtol=1e-4, atol=0)


def test_a_network_without_gradients_is_refused_for_taylor():
    model = small()
    with torch.no_grad():
        model.fc.weight.zero_()
    with pytest.raises(InputError, match="taylor finds no usable gradient"):
        taylor(model, [model.first], *examples_of((1, 8, 8)))


def test_taylor_is_computed_anew_on_other_images_at_every_step(monkeypatch):
    dense_model, shape, _, _ = wide("cnn8")
    seen = []

    def spy(model, layers, images, labels):
        seen.append(images)
        return taylor(model, layers, images, labels)

    monkeypatch.setattr(importances, "taylor", spy)
    images, labels = examples_of(shape, count=40)
    pruning = entry("filter", importance="taylor", taylor_images=30, steps=2)
    for _ in range(2):
        compress(Task(deepcopy(dense_model), shape, pruning, nothing, (images, labels), seed=1))
    assert [len(sample) for sample in seen] == [30] * 4
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])


# Random


def test_random_scores_repeat_by_name_and_leave_the_global_generator_alone():
    state = torch.random.get_rng_state()
    scores = random_scores(1000, 3, "conv")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(scores, random_scores(1000, 3, "conv"))
    assert not torch.equal(scores, random_scores(1000, 4, "conv"))
    assert not torch.equal(scores, random_scores(1000, 3, "other"))
    assert scores.mean() == pytest.approx(0.5, abs=0.05)


def test_tied_filters_have_one_random_number():
    dense_model, shape, _, _ = wide("resnet18")
    groups, _, _ = groups_and_layers(dense_model, shape, "random", seed=5)
    assert max(len(group.tied) for group in groups) > 1
    for group in groups:
        assert torch.equal(group.scores, random_scores(group.filters, 5, root_name(dense_model, group)))


@pytest.mark.parametrize("method", ["filter", "weight"])
def test_random_pruning_depends_on_its_seed_alone(method):
    dense_model, shape, _, _ = wide("cnn8")
    states = []
    for seed in (1, 1, 2):
        model = deepcopy(dense_model)
        compress(Task(model, shape, entry(method, importance="random", scope="global", steps=2), nothing, seed=seed))
        states.append(model.state_dict())
    assert_same_tensors(states[0], states[1])
    assert any(not torch.equal(tensor, states[2][name]) for name, tensor in states[0].items())


# Filters: every combination, and the cap on a layer


@pytest.mark.parametrize(
    ("name", "importance", "scope", "measured", "steps"),
    paired(WIDE, NEW, ["layer", "global"], ["channels", "parameters", "macs"], [1, 3]),
)
def test_targets_are_reached_with_the_new_importances(name, importance, scope, measured, steps):
    dense_model, shape, before, _ = wide(name)
    model = deepcopy(dense_model)
    shares = []

    def train_on(model, masks, stage):
        shares.append(1 - measure(model, {}, shape)[measured] / before[measured])

    pruning = entry("filter", importance=importance, scope=scope, measure=measured, steps=steps, ratio=0.6)
    compress(Task(model, shape, pruning, train_on, examples_of(shape, count=4)))
    assert shares == pytest.approx(fractions(0.6, steps, "exponential"), abs=0.015)
    assert shares[-1] == pytest.approx(0.6, abs=0.01)
