"""Compression: what is removed equals torch's and torch-pruning's choice, sizes equal the forecast, targets are met."""

from copy import deepcopy
from functools import cache
from itertools import pairwise

import pytest
import torch
import torch_pruning as tp
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import (
    EXAMPLES,
    assert_same_tensors,
    custom_spec,
    model_of,
    pixels_of,
    shape_of,
    spec_of,
    split,
    training,
)
from scipy.spatial.distance import cdist
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from squeezeproof.compression.compress import compress
from squeezeproof.compression.filters import dense_sizes, groups_and_layers, prune_filters, root_name, size_after
from squeezeproof.compression.importance import IMPORTANCES
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable, prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.measure import measure
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.schedules import fractions

reproducible = settings(max_examples=25)


def example(name):
    """A fresh model and the shape of its images."""
    return model_of(EXAMPLES[name]), shape_of(EXAMPLES[name])


# Fractions


@reproducible
@given(ratio=st.floats(0.01, 0.99), steps=st.integers(1, 50), schedule=st.sampled_from(["linear", "exponential"]))
def test_fractions_rise_to_the_ratio_by_equal_parts(ratio, steps, schedule):
    removed = fractions(ratio, steps, schedule)
    assert len(removed) == steps
    assert removed[-1] == ratio
    levels = [0.0, *removed]
    if schedule == "linear":
        parts = [after - before for before, after in pairwise(levels)]
    else:
        parts = [(1 - after) / (1 - before) for before, after in pairwise(levels)]
    assert parts == pytest.approx([parts[0]] * steps)
    assert removed == sorted(removed)


# Weights


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in prunable(model).items()}


@pytest.mark.parametrize("name", ["flattened", "resnet18", "depthwise_separable"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_global_weight_pruning_equals_torchs(name, fraction):
    model, reference = example(name)[0], example(name)[0]
    layers = [module for module in reference.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=fraction)
    masks = prune_weights(model, fraction, scope="global")
    expected = {f"{key}.weight": layer for key, layer in reference.named_modules() if layer in layers}
    assert masks.keys() == expected.keys()
    for key, layer in expected.items():
        assert torch.equal(masks[key], layer.weight_mask.bool())
        assert torch.equal(prunable(model)[key], layer.weight)


def test_weight_pruning_by_layer_equals_torchs():
    model, reference = example("cnn8")[0], example("cnn8")[0]
    masks = prune_weights(model, 0.3, scope="layer")
    for key, module in reference.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            prune.l1_unstructured(module, "weight", 0.3)
            assert torch.equal(masks[f"{key}.weight"], module.weight_mask.bool())


@reproducible
@given(fraction=st.floats(0.001, 0.9), scope=st.sampled_from(["global", "layer"]))
def test_exactly_the_asked_number_of_weights_is_removed(fraction, scope):
    model = example("cnn8")[0]
    before = weights_of(model)
    rest = {name: parameter.clone() for name, parameter in model.named_parameters() if name not in before}
    masks = prune_weights(model, fraction, scope=scope)
    removed = {name: int((~mask).sum()) for name, mask in masks.items()}
    if scope == "global":
        assert sum(removed.values()) == round(fraction * sum(weight.numel() for weight in before.values()))
    else:
        assert removed == {name: round(fraction * weight.numel()) for name, weight in before.items()}
    for name, weight in prunable(model).items():
        assert masks[name].dtype == torch.bool
        assert torch.equal(weight, torch.where(masks[name], before[name], 0.0))
    for name, parameter in rest.items():
        assert torch.equal(dict(model.named_parameters())[name], parameter), name


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_every_removed_weight_is_no_larger_than_every_kept_one(scope):
    model = example("flattened")[0]
    before = weights_of(model)
    masks = prune_weights(model, 0.4, scope=scope)
    pools = [list(before)] if scope == "global" else [[name] for name in before]
    for names in pools:
        removed = torch.cat([before[name][~masks[name]].abs() for name in names])
        kept = torch.cat([before[name][masks[name]].abs() for name in names])
        assert removed.max() <= kept.min()


def test_of_equal_weights_the_earlier_goes_first():
    model = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, -0.5)
    masks = prune_weights(model, 5 / 14, scope="global")
    kept = torch.cat([mask.flatten() for mask in masks.values()])
    assert kept.tolist() == [False] * 5 + [True] * 9


def test_weight_pruning_counts_what_is_zero_already():
    twice, once = example("cnn8")[0], example("cnn8")[0]
    prune_weights(twice, 0.5, scope="global")
    prune_weights(twice, 0.5, scope="global")
    prune_weights(once, 0.5, scope="global")
    assert_same_tensors(twice.state_dict(), once.state_dict())


def test_emptying_a_layer_is_refused_and_changes_nothing():
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 2))
    before = weights_of(model)
    with pytest.raises(InputError, match=r"leaves none in 1\.weight; lower the ratio"):
        prune_weights(model, 0.99, scope="layer")
    assert_same_tensors(weights_of(model), before)


def test_removing_no_weight_is_refused():
    with pytest.raises(InputError, match=r"removing 0.01 % of the weights removes none; raise the ratio"):
        prune_weights(nn.Linear(10, 10), 1e-4, scope="global")


def entry(method, **changes):
    """Checked settings of a compression at one ratio."""
    shared = {"ratio": 0.5, "steps": 1, "schedule": "exponential", "step_epochs": 1}
    own = {
        "weight": {"scope": "global"},
        "filter": {"importance": "l1", "scope": "layer", "measure": "channels"},
    }[method]
    return {"method": method, **shared, **own, **changes}


def nothing(model, masks, stage):
    """A fine-tuning that trains nothing."""


@pytest.mark.parametrize("schedule", ["linear", "exponential"])
def test_weight_pruning_in_steps_holds_its_masks_through_finetuning(tmp_path, schedule):
    model = model_of(custom_spec("flattened", width=4))
    total = sum(weight.numel() for weight in prunable(model).values())
    train = Finetuner(
        *(split(0, 40), split(40, 50), training(2, batch_size=20, momentum=0.9)),
        **{"steps": 3, "step_epochs": 1, "seed": 0, "resume": tmp_path / "resume"},
    )
    zeros = []

    def train_on(model, masks, stage):
        before = weights_of(model)
        train(model, masks, stage)
        zeros.append(sum(int((weight == 0).sum()) for weight in prunable(model).values()))
        for name, weight in prunable(model).items():
            assert not weight[~masks[name]].any()
            assert (weight != before[name])[masks[name]].any()

    masks = compress(Task(model, (1, 8, 8), entry("weight", ratio=0.8, steps=3, schedule=schedule), train_on))
    assert zeros == [round(fraction * total) for fraction in fractions(0.8, 3, schedule)]
    assert sum(int((~mask).sum()) for mask in masks.values()) == zeros[-1]
    assert [row["stage"] for row in train.history] == [1, 2, 3, 3]


# Importance of filters


CHAINS = ["cnn3", "cnn8", "flattened"]


def reference_groups(model, shape):
    """torch-pruning's own groups of the filters of every convolution."""
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=torch.zeros(1, *shape))
    return graph.get_all_groups(root_module_types=[nn.Conv2d])


def reference_importance(name):
    if name == "geometric_median":
        # It measures distances between |w| ** p: on weights that are not negative, p = 1 gives those of [he2019].
        return tp.importance.FPGMImportance(p=1, group_reduction="first", normalizer=None)
    # Its L2 norm is left squared.
    p = {"l1": 1, "l2": 2}[name]
    return tp.importance.MagnitudeImportance(p, group_reduction="first", normalizer=None, target_types=[nn.Conv2d])


def positive(model):
    for parameter in model.parameters():
        parameter.data.abs_()
    return model


@pytest.mark.parametrize("importance", ["l1", "l2", "geometric_median"])
@pytest.mark.parametrize("name", CHAINS)
def test_scores_on_chains_equal_torch_prunings(name, importance):
    model, shape = example(name)
    if importance == "geometric_median":
        positive(model)
    groups, _, _ = groups_and_layers(model, shape, importance)
    scores = {root_name(model, group): group.scores for group in groups}
    reference = reference_importance(importance)
    names = {module: key for key, module in model.named_modules()}
    expected = {names[group[0].dep.target.module]: reference(group) for group in reference_groups(model, shape)}
    assert scores.keys() == expected.keys()
    for key, score in scores.items():
        torch.testing.assert_close(score**2 if importance == "l2" else score, expected[key])


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_importances_equal_their_definitions(importance):
    weight = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    filters = weight.flatten(1).double().numpy()
    definition = {
        "l1": abs(filters).sum(1),
        "l2": (filters**2).sum(1) ** 0.5,
        "geometric_median": cdist(filters, filters).sum(1),
        "l1_per_parameter": abs(filters).sum(1) / 12,
        "l1_over_mean": abs(filters).sum(1) / abs(filters).sum(1).mean(),
    }[importance]
    assert IMPORTANCES[importance](weight).tolist() == pytest.approx(definition, rel=1e-5)


def test_the_geometric_median_sees_duplicates_the_norm_does_not():
    weight = torch.tensor([[3.0, 0], [3, 0], [0, 3], [0, -3]]).view(4, 2, 1, 1)
    assert set(IMPORTANCES["geometric_median"](weight).argsort()[:2].tolist()) == {0, 1}


def test_tied_filters_score_by_their_mean():
    model, shape = example("residual")
    groups, _, _ = groups_and_layers(model, shape, "l1")
    scores = {root_name(model, group): group.scores for group in groups}
    network = model.network
    tied = [(network.stem, network.first[0]), (network.second[0], network.projection)]
    for pair in tied:
        (score,) = [scores[name] for name, module in model.named_modules() if module in pair and name in scores]
        expected = sum(layer.weight.detach().flatten(1).abs().sum(1) for layer in pair) / 2
        torch.testing.assert_close(score, expected)


@pytest.mark.parametrize("importance", ["l1", "l2", "geometric_median"])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", ["cnn3", "cnn8"])
def test_uniform_pruning_equals_torch_prunings(name, ratio, importance):
    model, shape = example(name)
    if importance == "geometric_median":
        positive(model)
    reference = deepcopy(model)
    prune_filters(
        model, shape, dense_sizes(model, shape), ratio, importance=importance, scope="layer", measure="channels"
    )
    tp.pruner.MagnitudePruner(
        reference,
        torch.zeros(1, *shape),
        importance=reference_importance(importance),
        pruning_ratio=ratio,
        root_module_types=[nn.Conv2d],
    ).step()
    assert_same_tensors(model.state_dict(), reference.state_dict())


# Removal of filters


def averaging(model, gain=1.0):
    """Let every convolution average its inputs, times `gain`: what goes in shows in the logits, however deep."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                # A filter of a depthwise convolution sees one map, which no silent one thins out.
                gain_here = gain if layer.groups == 1 else 1.0
                layer.weight.abs_().mul_(gain_here / layer.weight.flatten(1).sum(1).view(-1, 1, 1, 1))
            elif isinstance(layer, nn.BatchNorm2d):
                # No unit is shut for all images.
                layer.running_mean.abs_().neg_()
                layer.bias.abs_()
            elif isinstance(layer, nn.ReLU6):
                layer.max_val = torch.inf
    return model


def assert_same_logits(logits, expected):
    """Equal logits, that do tell the images apart."""
    torch.testing.assert_close(logits, expected, atol=1e-5 * expected.abs().max().item(), rtol=0)
    assert expected.std(0).max() > 1e-4


def silence(model, kept):
    """Make every filter but each `kept`-th exactly silent: its weights, bias and batch normalisation are zero."""
    *layers, classifier = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert isinstance(classifier, nn.Linear) or classifier.out_channels == 10
    normalisations = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in [*layers, *normalisations]:
            if not isinstance(layer, nn.Linear):
                silent = torch.arange(len(layer.weight)) % kept != 0
                layer.weight[silent] = 0
                if layer.bias is not None:
                    layer.bias[silent] = 0


@pytest.mark.parametrize("kept", [2, 4])
@pytest.mark.parametrize("name", EXAMPLES)
def test_removing_silent_filters_keeps_the_logits(name, kept):
    model, shape = example(name)
    pixels = pixels_of(EXAMPLES[name])
    silence(averaging(model, gain=kept), kept)
    logits = model(pixels)
    prune_filters(
        model, shape, dense_sizes(model, shape), 1 - 1 / kept, importance="l1", scope="layer", measure="channels"
    )
    assert_same_logits(model(pixels), logits)


@pytest.mark.parametrize("name", CHAINS)
def test_removing_filters_that_no_layer_reads_keeps_the_logits(name):
    model, shape = example(name)
    pixels = pixels_of(EXAMPLES[name])
    layers = [module for module in averaging(model, gain=2).modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for layer, reader in pairwise(layers):
            if isinstance(layer, nn.Conv2d):
                layer.weight[1::2] *= 0.01
                places = reader.weight.shape[1] // layer.out_channels
                columns = torch.arange(reader.weight.shape[1]) // places % 2 == 1
                reader.weight[:, columns] = 0
    logits = model(pixels)
    prune_filters(model, shape, dense_sizes(model, shape), 0.5, importance="l2", scope="layer", measure="channels")
    assert_same_logits(model(pixels), logits)


@cache
def dense_example(name):
    """A model to be copied, its shape and the sizes of its dense state."""
    model, shape = example(name)
    return model, shape, dense_sizes(model, shape)


@cache
def dense_groups(name):
    model, shape, _ = dense_example(name)
    return groups_and_layers(model, shape, "l1")[:2]


@pytest.mark.parametrize("name", EXAMPLES)
def test_dense_sizes_are_those_measured(name):
    model, shape, (size, filters) = dense_example(name)
    measured = measure(model, {}, shape)
    assert {key: getattr(size, key) for key in ("channels", "parameters", "macs")} == {
        key: measured[key] for key in ("channels", "parameters", "macs")
    }
    assert sum(filters.values()) == measured["channels"]


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("measured", ["channels", "parameters", "macs"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_pruned_networks_run_and_have_the_forecast_size(name, scope, measured, ratio):
    dense_model, shape, dense = dense_example(name)
    model = deepcopy(dense_model)
    # These networks are too narrow to reach every target within a point; that is checked on wider ones.
    prune_filters(model, shape, dense, ratio, importance="l1", scope=scope, measure=measured, final=False)
    assert model(pixels_of(EXAMPLES[name])).shape == (3, 10)

    left = {key: layer.out_channels for key, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    groups, layers = dense_groups(name)
    removals = [group.filters - left[root_name(dense_model, group)] for group in groups]
    size, actual = size_after(layers, groups, removals), measure(model, {}, shape)
    assert (size.channels, size.parameters, size.macs) == (actual["channels"], actual["parameters"], actual["macs"])
    assert min(left.values()) >= 1
    assert sum(removals) > 0 or ratio == 0.1


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


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("measured", ["parameters", "macs"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", WIDE)
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
        ([nn.AdaptiveAvgPool2d(2)], "no convolution whose filters could be pruned"),
    ],
    ids=["one channel a group", "transposed", "no convolution"],
)
def test_layers_that_are_not_covered_are_named(network, problem):
    model = nn.Sequential(*network, nn.Flatten(), nn.LazyLinear(10)).eval()
    model(torch.zeros(1, 1, 8, 8))
    refused(model, (1, 8, 8), problem)


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Tied, "halves.0: it is in a sum that ties some"),
        (Padded, "conv: its channels cannot be followed to the 4 of stem"),
    ],
)
def test_partly_tied_filters_are_refused(network, problem):
    refused(network().eval(), (1, 8, 8), f"does not cover {problem}")


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
