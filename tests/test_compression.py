"""Compression in steps, targets that are met within a point, and what is refused with a reason."""

import random
import re
from copy import deepcopy
from functools import cache, partial

import numpy as np
import pytest
import torch
from compression_examples import dense_example, entry, example
from model_examples import (
    EXAMPLES,
    assert_same_tensors,
    custom_spec,
    model_of,
    pixels_of,
    shape_of,
    spec_of,
)
from pairwise import paired
from torch import nn
from torch.nn import functional

from squeezeproof.compression.compress import compress
from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.importance import IMPORTANCES
from squeezeproof.compression.task import Task
from squeezeproof.entries import registry
from squeezeproof.errors import InputError, OfModel
from squeezeproof.models.measure import measure
from squeezeproof.training.schedules import fractions


def nothing(model, masks, stage):
    """A fine-tuning that trains nothing."""


WIDE = {
    "cnn3": spec_of("cnn3", size=28, width=64),
    "cnn8": spec_of("cnn8", width=32),
    "resnet18": spec_of("resnet18", channels=3, width=16),
    "concatenated": custom_spec("Concatenated", width=64),
    "depthwise_separable": custom_spec("depthwise_separable", width=64),
}


@cache
def wide(name):
    model, shape = model_of(WIDE[name]), shape_of(WIDE[name])
    return model, shape, measure(model, {}, shape), dense_sizes(model, shape)


@pytest.mark.parametrize(
    ("name", "scope", "measured", "ratio"), paired(WIDE, ["layer", "global"], ["parameters", "macs"], [0.1, 0.5, 0.9])
)
def test_targets_are_reached_within_one_point(name, scope, measured, ratio):
    dense_model, shape, before, dense = wide(name)
    model = deepcopy(dense_model)
    prune_filters(model, shape, dense, ratio, importance="l1_per_parameter", scope=scope, measure=measured)
    assert 1 - measure(model, {}, shape)[measured] / before[measured] == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.9])
def test_the_layer_scope_rounds_the_kept_share_of_every_layer(ratio):
    dense_model, shape, _, dense = wide("cnn8")
    model = deepcopy(dense_model)
    prune_filters(model, shape, dense, ratio, importance="l1", scope="layer", measure="channels")
    widths = [layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [max(1, round((1 - ratio) * width)) for width in (32, 32, 64, 64, 128, 128)]


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_the_global_scope_removes_the_least_of_all_layers_but_each_ones_best(importance):
    dense_model, shape, _, dense = wide("cnn3")
    model = deepcopy(dense_model)
    prune_filters(model, shape, dense, 0.6, importance=importance, scope="global", measure="channels")
    removed, kept = [], []
    for key in ("conv1", "conv2", "conv3"):
        dense_layer, layer = getattr(dense_model.network, key), getattr(model.network, key)
        scores = IMPORTANCES[importance](dense_layer.weight.detach())
        survives = torch.isin(dense_layer.bias, layer.bias)
        assert int(survives.sum()) == layer.out_channels
        assert survives[scores.argmax()]
        removed += scores[~survives].tolist()
        kept += scores[survives].sort().values[:-1].tolist()
    assert max(removed) <= min(kept, default=torch.inf)
    assert len(removed) == round(0.6 * 320)


def test_the_global_scope_keeps_a_filter_of_every_group():
    model, shape = example("resnet18")
    with torch.no_grad():
        model.network.layer2[0].conv1.weight.mul_(1e-9)
    prune_filters(model, shape, dense_sizes(model, shape), 0.5, importance="l1", scope="global", measure="parameters")
    assert model.network.layer2[0].conv1.out_channels == 1
    assert model(pixels_of(EXAMPLES["resnet18"])).shape == (3, 10)


@pytest.mark.parametrize("schedule", ["linear", "exponential"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruning_in_steps_removes_as_much_as_at_once(scope, schedule):
    dense_model, shape, before, _ = wide("cnn8")
    left = []
    model = deepcopy(dense_model)
    settings = entry("filter", ratio=0.6, steps=4, schedule=schedule, scope=scope)
    compress(
        Task(model, shape, settings, lambda model, masks, stage: left.append(measure(model, {}, shape)["channels"]))
    )
    at_once = deepcopy(dense_model)
    compress(Task(at_once, shape, {**settings, "steps": 1}, nothing))
    assert left[-1] == measure(at_once, {}, shape)["channels"]
    assert [1 - count / before["channels"] for count in left] == pytest.approx(fractions(0.6, 4, schedule), abs=0.01)


@pytest.mark.parametrize("measured", ["parameters", "macs"])
def test_pruning_in_steps_measures_against_the_dense_model(measured):
    dense_model, shape, before, _ = wide("resnet18")
    shares = []
    compress(
        Task(
            deepcopy(dense_model),
            shape,
            entry("filter", ratio=0.9, steps=3, scope="global", measure=measured),
            lambda model, masks, stage: shares.append(1 - measure(model, {}, shape)[measured] / before[measured]),
        )
    )
    assert shares == pytest.approx(fractions(0.9, 3, "exponential"), abs=0.01)


def test_steps_too_small_to_remove_a_filter_are_passed_over():
    dense_model, shape, _ = dense_example("flattened")
    stages = []
    model, at_once = deepcopy(dense_model), deepcopy(dense_model)
    compress(Task(model, shape, entry("filter", steps=40), lambda model, masks, stage: stages.append(stage)))
    compress(Task(at_once, shape, entry("filter"), nothing))
    assert stages == list(range(40))
    assert measure(model, {}, shape) == measure(at_once, {}, shape)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_depthwise_convolution_left_with_one_filter_does_not_stop_later_steps(scope):
    dense_model, shape, _ = dense_example("depthwise_separable")
    model = deepcopy(dense_model)
    settings = entry("filter", ratio=0.89, steps=6, scope=scope, measure="channels")
    compress(Task(model, shape, settings, nothing))
    assert min(layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)) == 1
    assert model(pixels_of(EXAMPLES["depthwise_separable"])).shape == (3, 10)


def test_filters_are_ranked_again_after_every_training():
    model, shape = example("flattened")
    first = model.network[0]
    marked = []

    def train_on(model, masks, stage):
        # The filter that training made weakest is the next to go.
        first.weight.data[0] = 1e-6
        first.bias.data[0] = 100.0 + stage
        marked.append(100.0 + stage in first.bias.tolist())
        if stage:
            assert 100.0 + stage - 1 not in first.bias.tolist()

    compress(Task(model, shape, entry("filter", ratio=0.75, steps=3, schedule="linear"), train_on))
    assert marked == [True] * 3


def test_pruned_models_train():
    model, shape = example("concatenated")
    prune_filters(model, shape, dense_sizes(model, shape), 0.5, importance="l1", scope="layer", measure="channels")
    functional.cross_entropy(model(pixels_of(EXAMPLES["concatenated"])), torch.tensor([0, 1, 2])).backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in model.parameters())


def test_compressing_by_filters_returns_no_masks():
    model, shape = example("flattened")
    assert compress(Task(model, shape, entry("filter"), nothing)) == {}


# What filter pruning refuses, and what it leaves alone


def refused(model, shape, problem, ratio=0.5, **changes):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError, match=problem):
        compress(Task(model, shape, entry("filter", ratio=ratio, **changes), nothing))
    assert_same_tensors(model.state_dict(), before)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_removing_no_filter_is_refused(scope):
    refused(*example("flattened"), "pruning 0.5 % of the channels removes no filter at all", ratio=0.005, scope=scope)


def test_a_target_beyond_the_last_filters_is_refused_with_the_nearest():
    model, shape = example("flattened")
    problem = r"nearest that global .* removing 99 % of the parameters is 9\d\.\d %.*ask for ratio: 0\.9\d\d"
    refused(model, shape, problem, ratio=0.99, scope="global", measure="parameters")


def test_the_nearest_ratio_named_by_a_refusal_is_accepted():
    model, shape = example("cnn3")
    settings = {"scope": "layer", "measure": "macs"}
    with pytest.raises(InputError) as caught:
        compress(Task(model, shape, entry("filter", ratio=0.1, **settings), nothing))
    nearest = float(str(caught.value).rsplit(" ", 1)[1])
    compress(Task(model, shape, entry("filter", ratio=nearest, **settings), nothing))


class Tied(nn.Module):
    """A sum of one convolution with two others side by side: half of its filters are tied to each."""

    def __init__(self):
        super().__init__()
        self.whole = nn.Conv2d(1, 8, 1)
        self.halves = nn.ModuleList(nn.Conv2d(1, 4, 1) for _ in range(2))
        self.fc = nn.Linear(8, 10)

    def forward(self, pixels):
        maps = self.whole(pixels) + torch.cat([half(pixels) for half in self.halves], 1)
        return self.fc(maps.mean((2, 3)))


class Padded(nn.Module):
    """The parameter-free shortcut of [he2016resnet], option A: the missing channels are zeros."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.conv = nn.Conv2d(4, 8, 1)
        self.fc = nn.Linear(8, 10)

    def forward(self, pixels):
        maps = self.stem(pixels)
        return self.fc((self.conv(maps) + functional.pad(maps, (0, 0, 0, 0, 2, 2))).mean((2, 3)))


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ([nn.Conv2d(1, 8, 3), nn.GroupNorm(8, 8)], "removes no filter at all"),
        (
            [nn.Conv2d(1, 9, 3), nn.Conv2d(9, 9, 3, groups=3), nn.ConvTranspose2d(9, 4, 1)],
            "does not cover 2: filters are",
        ),
        ([nn.AdaptiveAvgPool2d(2)], "no convolution in two dimensions whose filters could be pruned"),
    ],
    ids=["one channel a group", "transposed", "no convolution"],
)
def test_layers_that_are_not_covered_are_named(network, problem):
    model = nn.Sequential(*network, nn.Flatten(), nn.LazyLinear(10)).eval()
    model(torch.zeros(1, 1, 8, 8))
    refused(model, (1, 8, 8), problem)


class OfNoLayer(nn.Module):
    """Maps of a convolution, and weights that `multiply` takes of no layer."""

    def __init__(self, shape, multiply, outputs=8):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 1), nn.Linear(outputs, 10)
        self.weights, self.multiply = nn.Parameter(torch.zeros(shape)), multiply

    def forward(self, pixels):
        return self.fc(self.multiply(functional.relu(self.conv(pixels)), self.weights).mean((2, 3)))


class FlattenedTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 1), nn.Linear(512, 10)

    def forward(self, pixels):
        flat = functional.relu(self.conv(pixels)).flatten(1)
        return self.fc(flat.reshape(-1, 8, 8, 8).flatten(1))


class Shuffled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.other, self.fc = nn.Conv2d(1, 32, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 10)

    def forward(self, pixels):
        return self.fc(self.other(functional.pixel_shuffle(self.conv(pixels), 2)).mean((2, 3)))


PARAMETER = "conv: its 8 filters come to the parameter weights {}, which is of no layer"
INDEX = "{}: one of its {} filters is taken for number {} of the {}"


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Tied, "halves.0: it is in a sum that ties some"),
        (Padded, INDEX.format("conv", 8, 8, "4 filters of stem")),
        (partial(OfNoLayer, (8, 8, 3, 3), functional.conv2d), PARAMETER.format("(8, 8, 3, 3)")),
        (partial(OfNoLayer, (8, 8, 3, 3), functional.conv_transpose2d), PARAMETER.format("(8, 8, 3, 3)")),
        (
            partial(OfNoLayer, (8, 6), lambda maps, weights: (maps.movedim(1, 3) @ weights).movedim(3, 1), 6),
            PARAMETER.format("(8, 6)"),
        ),
        (FlattenedTwice, "conv: its 8 filters are taken for 32768 channels on the way to fc, more than the 512"),
        (Shuffled, INDEX.format("conv", 32, 32, "8 inputs of other")),
    ],
)
def test_filters_that_cannot_be_followed_are_refused_with_the_layer_and_the_numbers(network, problem):
    refused(network().eval(), (1, 8, 8), f"does not cover {re.escape(problem)}.*under `variants`.*method: weight")


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_filters_that_are_classes_stay(scope):
    dense_model, shape, dense = dense_example("all_convolutional")
    model = deepcopy(dense_model)
    prune_filters(model, shape, dense, 0.4, importance="l1", scope=scope, measure="channels", final=False)
    assert [layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)][-1] == 10


def test_a_depthwise_convolution_of_the_image_stays():
    model = nn.Sequential(
        *(nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 8, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )
    compress(Task(model, (3, 8, 8), entry("filter"), nothing))
    assert [model[0].out_channels, model[1].out_channels] == [3, 4]
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_what_a_compression_of_the_users_draws_does_not_depend_on_what_ran_before(monkeypatch):
    def drop(task):
        weight = task.model.get_parameter("network.conv1.weight")
        mask = torch.from_numpy(np.random.random(weight.shape) < random.random()) & (torch.rand(weight.shape) < 0.9)
        weight.data.mul_(mask)
        return {"network.conv1.weight": mask}

    entries = registry.compressions()
    monkeypatch.setattr(entries["weight"], "imported", classmethod(lambda cls: drop))
    masks = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        model, shape = example("cnn8")
        masks.append(compress(Task(model, shape, entry("weight"), nothing, seed=3)))
    assert_same_tensors(*masks)


def kept_in(dtype):
    return lambda model: model.to(dtype) and {}


# What a compression of the user's does to the model and returns -> what is told of it.
BROKEN = {
    "nothing": (lambda model: None, "returned NoneType; let it return a dictionary"),
    "a list": (lambda model: [], "returned list"),
    "the model": (lambda model: model, "returned Sequential"),
    "a half": (kept_in(torch.float16), "left network.conv1.weight in float16, float32 is needed"),
    "a double": (kept_in(torch.float64), "left network.conv1.weight in float64"),
    "nowhere": (kept_in("meta"), "left network.conv1.weight on meta, the model was on cpu; move it back"),
    "another name": (lambda model: {"conv1": torch.ones(3) > 0}, "mask of conv1 .* is of no parameter of the model"),
    "another shape": (
        lambda model: {"network.conv1.bias": torch.ones(3) > 0},
        r"mask of network.conv1.bias .* has the shape \[3\], its parameter \[8\]",
    ),
    "numbers": (lambda model: {"network.conv1.bias": torch.ones(8)}, "is no bool tensor but torch.float32"),
    "no tensor": (lambda model: {"network.conv1.bias": [True] * 8}, "is no bool tensor but list"),
    "weights that are left": (
        lambda model: {"network.conv1.weight": torch.zeros(8, 1, 3, 3) > 0},
        "is False at 72 weights that are not zero",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_no_compressed_model_is_refused_in_words(monkeypatch, broken):
    act, told = BROKEN[broken]
    monkeypatch.setattr(
        registry.compressions()["weight"], "imported", classmethod(lambda cls: lambda task: act(task.model))
    )
    model, shape = model_of(spec_of("cnn8", width=8)), (1, 28, 28)
    with pytest.raises(OfModel, match=rf"^the (mask|compression) .*{told}|^the {told}"):
        compress(Task(model, shape, entry("weight"), nothing))
