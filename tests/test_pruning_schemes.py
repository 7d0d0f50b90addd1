"""Pruning schemes: importances equal their definitions, budgets are exact, rewinding returns what is kept."""

from copy import deepcopy
from functools import cache
from itertools import pairwise

import pytest
import torch
import torch_pruning as tp
from entry_examples import complete
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import EXAMPLES, assert_same_tensors, custom_spec, model_of, shape_of, spec_of, split, training
from study_examples import changed
from torch import nn
from torch.nn import functional

from squeezeproof.compression import importance as importances
from squeezeproof.compression.compress import compress
from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.groups import groups_and_layers, root_name
from squeezeproof.compression.importance import lamp, random_scores, taylor
from squeezeproof.compression.projections import funnel, irregular, redundant
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable, prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.build import build, initial_model
from squeezeproof.models.measure import measure
from squeezeproof.seeds import derive_seed
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.schedules import fractions

reproducible = settings(max_examples=20)
NEW = ["lamp", "taylor", "random"]
WIDE = {
    "cnn8": spec_of("cnn8", width=32),
    "resnet18": spec_of("resnet18", channels=3, width=16),
    "depthwise_separable": custom_spec("depthwise_separable", width=64),
}


@cache
def wide(name):
    model, shape = model_of(WIDE[name]), shape_of(WIDE[name])
    return model, shape, measure(model, {}, shape), dense_sizes(model, shape)


def examples_of(shape, count=20, seed=0):
    """Random uint8 images and classes."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    return images, torch.randint(10, (count,), generator=generator)


def entry(method, **changes):
    """Checked settings of a pruning at one ratio: the schema's defaults and these."""
    return complete("compressions", method, **{"ratio": 0.5, **changes})


def nothing(model, masks, stage):
    """A fine-tuning that trains nothing."""


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


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("measured", ["channels", "parameters", "macs"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("importance", NEW)
@pytest.mark.parametrize("name", WIDE)
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


def widths(model):
    return {name: layer.out_channels for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("measured", ["channels", "parameters", "macs"])
@pytest.mark.parametrize("importance", ["l1", "lamp", "random"])
def test_no_layer_loses_more_than_its_cap_and_the_target_is_reached(importance, measured, steps):
    dense_model, shape, before, _ = wide("cnn8")
    model = deepcopy(dense_model)
    pruning = entry("filter", importance=importance, scope="global", measure=measured, steps=steps, max_layer_ratio=0.7)
    compress(Task(model, shape, pruning, nothing))
    assert 1 - measure(model, {}, shape)[measured] / before[measured] == pytest.approx(0.5, abs=0.01)
    left = widths(model)
    for name, width in widths(dense_model).items():
        assert width - left[name] <= 0.7 * width


def test_the_cap_moves_what_a_weak_layer_would_lose_to_the_others():
    dense_model, shape, _, dense = wide("cnn8")
    dense_model = deepcopy(dense_model)
    weak = next(name for name, layer in dense_model.named_modules() if isinstance(layer, nn.Conv2d))
    dense_model.get_submodule(weak).weight.data *= 1e-3
    free, capped = deepcopy(dense_model), deepcopy(dense_model)
    options = {"importance": "l1", "scope": "global", "measure": "channels"}
    prune_filters(free, shape, dense, 0.4, **options)
    prune_filters(capped, shape, dense, 0.4, **options, max_layer_ratio=0.75)
    assert (widths(free)[weak], widths(capped)[weak]) == (1, 8)
    assert sum(widths(free).values()) == sum(widths(capped).values())


@reproducible
@given(st.integers(1, 99))
def test_a_cap_in_per_cent_counts_whole_filters(percent):
    model = nn.Sequential(nn.Conv2d(1, 100, 1), nn.Conv2d(100, 100, 1), nn.Flatten(), nn.Linear(100, 10))
    model[0].weight.data.abs_().mul_(1e-6)
    prune_filters(
        *(model, (1, 1, 1), dense_sizes(model, (1, 1, 1)), percent / 200),
        **{"importance": "l2", "scope": "global", "measure": "channels", "max_layer_ratio": percent / 100},
    )
    assert [model[0].out_channels, model[1].out_channels] == [max(1, 100 - percent), 100]


@pytest.mark.parametrize("measured", ["channels", "parameters", "macs"])
def test_a_target_beyond_the_cap_is_refused_and_the_nearest_is_accepted(measured):
    dense_model, shape, _, _ = wide("cnn8")
    model = deepcopy(dense_model)
    pruning = entry("filter", ratio=0.95, scope="global", measure=measured, max_layer_ratio=0.5)
    with pytest.raises(InputError, match=r"max_layer_ratio: 0\.5 of a layer may go.*or raise max_lay") as caught:
        compress(Task(model, shape, pruning, nothing))
    assert_same_tensors(model.state_dict(), dense_model.state_dict())
    nearest = float(str(caught.value).partition("ask for ratio: ")[2].partition(",")[0])
    compress(Task(model, shape, {**pruning, "ratio": nearest}, nothing))
    assert widths(model) == {name: width // 2 for name, width in widths(dense_model).items()}


# Weights: budgets


@reproducible
@given(
    fraction=st.floats(0.01, 0.8),
    scope=st.sampled_from(["global", "layer", "funnel", "redundant"]),
    importance=st.sampled_from(["magnitude", "lamp", "random"]),
)
def test_every_scheme_removes_exactly_the_asked_number_of_weights(fraction, scope, importance):
    model = model_of(EXAMPLES["flattened"])
    sizes = [weight.numel() for weight in prunable(model).values()]
    masks = prune_weights(model, fraction, scope=scope, importance=importance, seed=1)
    wanted = [round(fraction * size) for size in sizes] if scope == "layer" else [round(fraction * sum(sizes))]
    removed = [int((~mask).sum()) for mask in masks.values()]
    assert (removed if scope == "layer" else [sum(removed)]) == wanted
    assert all(torch.equal(weight != 0, masks[name]) for name, weight in prunable(model).items())


@pytest.mark.parametrize(
    ("scope", "importance"),
    [("global", "lamp"), ("global", "random"), ("layer", "random"), ("funnel", "random"), ("redundant", "magnitude")],
)
def test_steps_remove_first_what_earlier_ones_did(scope, importance):
    model = model_of(EXAMPLES["flattened"])
    seen = []

    def train_on(model, masks, stage):
        seen.append(masks)
        with torch.no_grad():
            for name, weight in prunable(model).items():
                weight.copy_(masks[name] * (weight + 0.01 * torch.sign(weight)))

    pruning = entry("weight", scope=scope, importance=importance, steps=3, ratio=0.7)
    compress(Task(model, (1, 8, 8), pruning, train_on))
    for masks, fraction in zip(seen, fractions(0.7, 3, "exponential"), strict=True):
        sizes = [mask.numel() for mask in masks.values()]
        wanted = sum(round(fraction * size) for size in (sizes if scope == "layer" else [sum(sizes)]))
        assert sum(int((~mask).sum()) for mask in masks.values()) == wanted
    for before, after in pairwise(seen):
        assert all(not (after[name] & ~before[name]).any() for name in before)


# Weights: funnel


def layers_of(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


@reproducible
@given(
    sizes=st.lists(st.integers(2000, 20000), min_size=2, max_size=6),
    density=st.floats(0.1, 0.9),
    slope=st.floats(0.2, 0.99),
)
def test_a_funnel_keeps_a_strictly_smaller_share_of_every_deeper_layer(sizes, density, slope):
    tensors = layers_of(*((size,) for size in sizes))
    keep = round(density * sum(sizes))
    masks = funnel(tensors, keep, slope)
    assert sum(int(mask.sum()) for mask in masks) == keep
    shares = [float(mask.float().mean()) for mask in masks]
    falls = [first - second for first, second in pairwise(shares)]
    assert min(falls) > 0
    assert falls == pytest.approx([falls[0]] * len(falls), abs=0.002)
    for tensor, mask in zip(tensors, masks, strict=True):
        assert mask.any() and tensor[mask].abs().min() >= max(tensor[~mask].abs().tolist(), default=0)


def test_a_funnel_is_the_steeper_the_larger_its_slope():
    tensors = layers_of((1000,), (1000,), (1000,))
    kept = {slope: [int(mask.sum()) for mask in funnel(tensors, 1500, slope)] for slope in (0.1, 0.5, 0.9)}
    # At the steepest the first layer is full and the last one empty.
    assert kept == {0.1: [550, 500, 450], 0.5: [750, 500, 250], 0.9: [950, 500, 50]}
    assert [int(mask.sum()) for mask in funnel(tensors, 3000, 0.5)] == [1000] * 3
    assert int(funnel(tensors[:1], 400, 0.5)[0].sum()) == 400


class Backwards(nn.Module):
    """Lists its layers in the reverse of their order of execution."""

    def __init__(self):
        super().__init__()
        self.last, self.middle, self.first = nn.Linear(40, 10), nn.Linear(60, 40), nn.Linear(64, 60)

    def forward(self, pixels):
        return self.last(self.middle(self.first(pixels.flatten(1))))


def test_a_funnel_narrows_in_the_order_of_execution():
    model = Backwards()
    masks = compress(Task(model, (1, 8, 8), entry("weight", scope="funnel", steps=2), nothing))
    shares = {name: float(mask.float().mean()) for name, mask in masks.items()}
    assert shares["first.weight"] > shares["middle.weight"] > shares["last.weight"]


def test_a_funnel_that_rounding_keeps_from_narrowing_is_refused_but_for_an_early_step():
    layers = [nn.Linear(2, 2), *(nn.Linear(2, 2) for _ in range(6))]
    with pytest.raises(InputError, match="a funnel that removes 50 % of the weights keeps"):
        prune_weights(nn.Sequential(*deepcopy(layers)), 0.5, scope="funnel")
    masks = prune_weights(nn.Sequential(*layers), 0.5, scope="funnel", final=False)
    assert sum(int(mask.sum()) for mask in masks.values()) == 14


# Weights: redundant


def with_duplicates():
    """Three layers, the first two with filters of one length; [0][5] is near [0][1], and [1][2] near [0][3]."""
    first, second, third = layers_of((6, 4, 3, 3), (8, 4, 3, 3), (5, 8, 3, 3))
    first[5] = 0.99 * first[1]
    second[2] = 0.98 * first[3]
    return [first, second, third, *layers_of((10, 5))]


def zeroed(masks):
    return {(layer, row) for layer, mask in enumerate(masks) for row in range(len(mask)) if not mask[row].any()}


def test_planted_duplicates_go_first_the_smaller_of_each_pair():
    tensors = with_duplicates()
    total = sum(tensor.numel() for tensor in tensors)
    assert zeroed(redundant(tensors, total - 36)) == {(0, 5)}
    assert zeroed(redundant(tensors, total - 72)) == {(0, 5), (1, 2)}


def test_the_smallest_weights_make_the_number_of_a_redundant_pruning_exact():
    tensors = with_duplicates()
    total = sum(tensor.numel() for tensor in tensors)
    masks = redundant(tensors, total - 50)
    assert sum(int(mask.sum()) for mask in masks) == total - 50
    assert zeroed(masks) == {(0, 5)}
    left = [tensor.clone() for tensor in tensors]
    left[0][5] = 0
    assert all(map(torch.equal, masks, irregular(left, total - 50)))


def test_redundant_filters_are_those_nearer_than_phi_to_a_larger_one():
    tensors = with_duplicates()
    rows = [(layer, row, tensors[layer][row].flatten()) for layer in range(3) for row in range(len(tensors[layer]))]
    nearest = {}
    for layer, row, filter_ in rows:
        others = [other for _, _, other in rows if len(other) == len(filter_) and other.norm() > filter_.norm()]
        if others and row != max(range(len(tensors[layer])), key=lambda r: tensors[layer][r].norm()):
            nearest[layer, row] = min(float((filter_ - other).norm()) for other in others)
    for count in (3, 6, 9):
        expected = sorted(nearest, key=nearest.get)[:count]
        cost = sum(tensors[layer][row].numel() for layer, row in expected)
        assert zeroed(redundant(tensors, sum(tensor.numel() for tensor in tensors) - cost)) == set(expected)


def test_every_layer_keeps_its_largest_filter_however_redundant():
    first, second = layers_of((4, 2, 3, 3), (4, 2, 3, 3))
    second[:] = 0.01 * first
    [_, kept] = redundant([first, second], 80)
    largest = int(first.flatten(1).norm(dim=1).argmax())
    assert zeroed([kept]) == {(0, row) for row in range(4) if row != largest}


def test_without_convolutions_the_redundant_scheme_is_irregular():
    tensors = layers_of((5, 4), (3, 5))
    assert all(map(torch.equal, redundant(tensors, 20), irregular(tensors, 20)))


# Rewinding


def rewound(method, **changes):
    spec = spec_of("resnet18", channels=3, width=8)
    model, untrained = model_of(spec, seed=1), build(spec, 7)
    seen = []

    def train_on(model, masks, stage):
        seen.append(({name: tensor.clone() for name, tensor in model.state_dict().items()}, masks))

    settings_here = entry(method, rewind=True, **changes)
    compress(Task(model, shape_of(spec), settings_here, train_on, initial=lambda: deepcopy(untrained)))
    return untrained, model_of(spec, seed=1), seen


def test_kept_weights_return_to_the_initial_ones_and_the_others_are_zero():
    untrained, trained, seen = rewound("weight", ratio=0.7, steps=2)
    initial = untrained.state_dict()
    alone = prune_weights(trained, fractions(0.7, 2, "exponential")[0], scope="global")
    assert all(torch.equal(alone[name], seen[0][1][name]) for name in alone)
    for state, masks in seen:
        assert state.keys() == initial.keys()
        for name, tensor in state.items():
            expected = initial[name] * masks[name] if name in masks else initial[name]
            assert torch.equal(tensor, expected), name
    removed, kept = (sum(int(mask.eq(value).sum()) for mask in masks.values()) for value in (False, True))
    assert removed == round(0.7 * (removed + kept))


@pytest.mark.parametrize("steps", [1, 3])
def test_kept_filters_return_to_the_initial_ones(steps):
    untrained, trained, seen = rewound("filter", scope="global", measure="channels", steps=steps)
    chosen = deepcopy(trained)
    shape = (3, 8, 8)
    prune_filters(
        chosen, shape, dense_sizes(chosen, shape), fractions(0.5, steps, "exponential")[0],
        importance="l1", scope="global", measure="channels",
    )  # fmt: skip
    state, first = seen[0][0], "network.layer1.0.conv1.weight"
    # Which outputs of an inner convolution survive shows in the trained weights, which ones return in the initial.
    dense = dict(trained.named_parameters())["network.layer1.0.bn1.weight"]
    kept = torch.isin(dense, dict(chosen.named_parameters())["network.layer1.0.bn1.weight"])
    stem = torch.isin(trained.network.bn1.weight, chosen.network.bn1.weight)
    assert 0 < int(kept.sum()) == len(state[first])
    assert torch.equal(state[first], untrained.state_dict()[first][kept][:, stem])
    assert state["network.bn1.running_mean"].abs().max() == 0
    for state, masks in seen:
        assert masks == {}
        assert all(state[name].dim() == tensor.dim() for name, tensor in untrained.state_dict().items())


def test_finetuning_starts_from_the_rewound_weights_and_holds_the_masks(tmp_path):
    spec = custom_spec("flattened", width=4)
    model = model_of(spec, seed=1)
    train, validation = split(0, 40), split(40, 50)
    tune = Finetuner(
        *(train, validation, training(1, batch_size=20)),
        **{"steps": 1, "step_epochs": 1, "seed": 0, "resume": tmp_path / "resume"},
    )
    masks = compress(Task(model, (1, 8, 8), entry("weight", rewind=True), tune, initial=lambda: initial_model(spec, 3)))
    expected = initial_model(spec, 3)
    with torch.no_grad():
        for name, weight in prunable(expected).items():
            weight.mul_(masks[name])
    tune.resume = tmp_path / "other"
    tune(expected, masks, 0)
    assert_same_tensors(model.state_dict(), expected.state_dict())
    assert all(not weight[~masks[name]].any() for name, weight in prunable(model).items())


def test_the_initial_model_is_drawn_from_the_seed_of_the_weights():
    spec = EXAMPLES["flattened"]
    assert_same_tensors(initial_model(spec, 3).state_dict(), build(spec, derive_seed(3, "weights")).state_dict())


# Contradictions

STUDY = """
study: schemes
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 1}}
finetunings: {tuned: {epochs: 1}}
compressions: {scheme: {method: filter, ratio: [0.5, 0.7]}}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
"""
WEIGHT = {"method": "weight", "ratio": 0.5}
FILTER = {"method": "filter", "ratio": [0.5, 0.7]}
CUSTOM = {"kind": "custom", "factory": "mine:net", "checkpoint": "mine.safetensors"}


def problems_of(changes):
    try:
        Study(changed(STUDY, changes))
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("scheme", "problem"),
    [
        ({**FILTER, "importance": "lamp"}, "importance: lamp ranks as l2 within a layer; write scope: global, or"),
        ({**FILTER, "importance": "l1_over_mean"}, "importance: l1_over_mean ranks as l1 within a layer; write scope:"),
        ({**WEIGHT, "importance": "lamp", "scope": "funnel"}, "importance: lamp ranks as magnitude within a layer"),
        ({**WEIGHT, "importance": "random", "scope": "redundant"}, "importance: scope: redundant goes by norms"),
        ({**WEIGHT, "importance": "lamp", "scope": "redundant"}, "importance: scope: redundant goes by norms"),
        ({**FILTER, "max_layer_ratio": 0.8}, "max_layer_ratio: scope: layer removes the same share of every layer"),
        (
            {**FILTER, "scope": "global", "max_layer_ratio": 0.6},
            "max_layer_ratio: 0.6 of every layer is less than the ratio 0.7 of all channels; write at least 0.7",
        ),
        (
            {**WEIGHT, "rewind": True, "steps": 2, "step_epochs": 0},
            "step_epochs: rewind: true would rank untrained weights at every step but the first",
        ),
        ({**WEIGHT, "scope": "funnel", "funnel_slope": 1}, "funnel_slope: 1 is not in (0, 1)"),
        ({**FILTER, "max_layer_ratio": 0}, "max_layer_ratio: 0 is not in (0, 1]"),
        ({**FILTER, "importance": "taylor", "taylor_images": 0}, "taylor_images: 0 is not in [1, inf)"),
        ({**WEIGHT, "importance": "taylor"}, "importance: 'taylor' is unknown"),
        ({**WEIGHT, "rewind": "epoch"}, "rewind: 'epoch' is not of type boolean"),
    ],
)
def test_a_scheme_that_contradicts_itself_is_refused(scheme, problem):
    [found] = problems_of({"compressions.scheme": scheme})
    assert found.startswith(f"compressions.scheme.{problem}")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"variants": [{"finetunings": ["none"]}]}, "compressions.scheme.rewind: true leaves untrained weights"),
        ({"finetunings.tuned.epochs": 0}, "finetunings.tuned.epochs: 0 trains nothing, which compressions.scheme"),
        ({"architectures": {"net": CUSTOM}}, "compressions.scheme.rewind: returns to random weights, and arch"),
    ],
)
@pytest.mark.parametrize("scheme", [WEIGHT, FILTER])
def test_rewinding_needs_a_finetuning_and_random_weights_to_return_to(scheme, changes, problem):
    [found] = problems_of({"compressions.scheme": {**scheme, "rewind": True}, **changes})
    assert found.startswith(problem)
    assert problems_of({"compressions.scheme": scheme, **changes}) == []


@pytest.mark.parametrize(
    "scheme",
    [
        {**FILTER, "importance": "lamp", "scope": "global", "max_layer_ratio": 0.7, "rewind": True},
        {**FILTER, "importance": "taylor", "taylor_images": 64, "steps": 3},
        {**FILTER, "scope": "global", "measure": "parameters", "max_layer_ratio": 0.6},
        {**WEIGHT, "importance": "random", "scope": "funnel", "funnel_slope": 0.9},
        {**WEIGHT, "scope": "redundant", "rewind": True, "steps": 2},
    ],
)
def test_schemes_that_go_together_are_accepted(scheme):
    assert problems_of({"compressions.scheme": scheme}) == []
