"""Pruning schemes: caps of layers, rewinding to what a model was before its training, and what a config may combine."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import EXAMPLES, assert_same_tensors, custom_spec, model_of, shape_of, spec_of, split, training
from pruning_examples import entry, nothing, reproducible, wide
from study_examples import changed
from torch import nn

from squeezeproof.compression.compress import compress
from squeezeproof.compression.filters import dense_sizes, prune_filters
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


# Multiples


@pytest.mark.parametrize("steps", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("measured", ["channels", "macs"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", ["cnn8", pytest.param("resnet18", marks=pytest.mark.slow), "depthwise_separable"])
def test_every_layer_keeps_a_multiple_of_filters_and_the_target_is_met_within_five_points(name, scope, measured, steps):
    dense_model, shape, before, _ = wide(name)
    model = deepcopy(dense_model)
    pruning = entry("filter", importance="l2", scope=scope, measure=measured, steps=steps, multiple_of=8)
    compress(Task(model, shape, pruning, nothing))
    assert {width % 8 for width in widths(model).values()} == {0} and widths(model) != widths(dense_model)
    assert 1 - measure(model, {}, shape)[measured] / before[measured] == pytest.approx(0.5, abs=0.05)


def chain(first, second):
    """Two layers of so many filters, those of the first all weaker than those of the second."""
    model = nn.Sequential(nn.Conv2d(1, first, 1), nn.Conv2d(first, second, 1), nn.Flatten(), nn.Linear(second, 10))
    model[0].weight.data.abs_().mul_(1e-6)
    return model, dense_sizes(model, (1, 1, 1))


@pytest.mark.parametrize(
    ("filters", "ratio", "options", "left"),
    [
        # 16 and 24 are the multiples that come nearest to two thirds of the filters together.
        ((24, 36), 1 / 3, {}, [16, 24]),
        ((24, 36), 0.4, {"multiple_of": 12}, [12, 24]),
        # Both layers come to their next multiple at one level, and one of them is enough.
        ((32, 32), 0.37, {}, [24, 16]),
        # A layer of fewer filters keeps them all.
        ((6, 94), 0.3, {}, [6, 64]),
        ((6, 94), 0.3, {"multiple_of": 1}, [4, 66]),
        # The strong layer keeps its 64 until the weak one has its last multiple.
        ((64, 64), 0.4, {"scope": "global"}, [16, 64]),
        ((64, 64), 0.25, {"scope": "global", "max_layer_ratio": 0.45}, [40, 56]),
    ],
)
def test_the_nearest_multiples_are_kept(filters, ratio, options, left):
    model, dense = chain(*filters)
    options = {"scope": "layer", "multiple_of": 8} | options
    prune_filters(model, (1, 1, 1), dense, ratio, importance="l2", measure="channels", **options)
    assert [model[0].out_channels, model[1].out_channels] == left


def test_what_multiples_do_not_reach_is_refused_with_the_nearest():
    model, dense = chain(16, 16)
    options = {"importance": "l2", "scope": "layer", "measure": "channels", "multiple_of": 16}
    with pytest.raises(InputError, match=r"one, in multiples of 16\); ask for .*, or lower multiple_of"):
        prune_filters(model, (1, 1, 1), dense, 0.5, **options)
    assert model[0].out_channels == 16


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
        ({**FILTER, "multiple_of": 0}, "multiple_of: 0 is not in [1, 256]"),
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
        {**FILTER, "scope": "global", "measure": "parameters", "max_layer_ratio": 0.6, "multiple_of": 8},
        {**WEIGHT, "importance": "random", "scope": "funnel", "funnel_slope": 0.9},
        {**WEIGHT, "scope": "redundant", "rewind": True, "steps": 2},
    ],
)
def test_schemes_that_go_together_are_accepted(scheme):
    assert problems_of({"compressions.scheme": scheme}) == []
