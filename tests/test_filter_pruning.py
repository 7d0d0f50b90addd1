"""Filter pruning: what is removed equals torch-pruning's choice, and sizes equal the forecast."""

from copy import deepcopy
from functools import cache
from itertools import pairwise

import pytest
import torch
import torch_pruning as tp
from compression_examples import dense_example, example
from model_examples import (
    EXAMPLES,
    assert_same_tensors,
    pixels_of,
)
from pairwise import by_turns, paired
from scipy.spatial.distance import cdist
from torch import nn

from squeezeproof.compression.filters import dense_sizes, groups_and_layers, prune_filters, root_name, size_after
from squeezeproof.compression.importance import IMPORTANCES
from squeezeproof.models.measure import measure

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


@pytest.mark.parametrize(("name", "kept"), by_turns(EXAMPLES, [2, 4]))
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


@pytest.mark.parametrize(
    ("name", "scope", "measured", "ratio"),
    paired(EXAMPLES, ["layer", "global"], ["channels", "parameters", "macs"], [0.1, 0.5, 0.9]),
)
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
