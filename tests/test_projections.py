"""Projections on sparse sets: against brute force, their budgets, funnels and redundant filters."""

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_examples import EXAMPLES, model_of

from squeezeproof.compression.constraint import project
from squeezeproof.compression.projections import irregular
from squeezeproof.compression.weights import prunable
from squeezeproof.errors import InputError

properties = hypothesis_settings(max_examples=30)


def tensors(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {f"layer{index}": torch.randn(shape, generator=generator) for index, shape in enumerate(shapes)}


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def shares(masks):
    return [mask.double().mean().item() for mask in masks.values()]


@properties
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_the_global_projection_is_the_nearest_point(seed, removed):
    values = tensors((2, 2), (1, 4), seed=seed)
    flat = torch.cat([value.flatten() for value in values.values()])
    largest = flat.abs().argsort()[removed:]
    # Where the nearest point has an empty layer another one is taken.
    assume((largest < 4).any() and (largest >= 4).any())
    masks = project(values, removed / 8, scope="global")
    points = [
        flat * torch.isin(torch.arange(8), torch.tensor(chosen)) for chosen in combinations(range(8), 8 - removed)
    ]
    nearest = min((flat - point).norm() for point in points)
    projected = torch.cat([(values[name] * mask).flatten() for name, mask in masks.items()])
    assert projected.count_nonzero() == 8 - removed
    assert (flat - projected).norm() == pytest.approx(nearest.item())


@pytest.mark.parametrize("scope", ["global", "layer", "funnel", "redundant"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.777])
def test_every_projection_removes_exactly_what_is_asked(scope, fraction):
    values = prunable(model_of(EXAMPLES["cnn8"]))
    masks = project(values, fraction, scope=scope)
    sizes = [value.numel() for value in values.values()]
    if scope == "layer":
        assert [int((~mask).sum()) for mask in masks.values()] == [round(fraction * size) for size in sizes]
    else:
        assert kept(masks) == sum(sizes) - round(fraction * sum(sizes))
    assert all(mask.shape == values[name].shape and mask.dtype == torch.bool for name, mask in masks.items())


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("funnel_slope", [0.2, 0.5, 0.9])
def test_a_funnel_keeps_strictly_less_of_every_deeper_layer_and_its_largest_weights(fraction, funnel_slope):
    values = tensors((40, 50), (30, 10), (60, 20), (10, 30))
    masks = project(values, fraction, scope="funnel", funnel_slope=funnel_slope)
    assert all(before > after > 0 for before, after in pairwise(shares(masks)))
    for name, mask in masks.items():
        assert values[name][mask].abs().min() >= values[name][~mask].abs().max()


def test_the_shares_of_a_funnel_fall_by_a_constant():
    masks = project(tensors((100, 100), (50, 100), (100, 100)), 0.5, scope="funnel")
    first, second, third = shares(masks)
    # The mean depth is 1, so the steepest fall is 0.5 a layer; half of that is asked for.
    assert (first, second, third) == pytest.approx((0.75, 0.5, 0.25), abs=1e-3)


def test_redundant_filters_go_first_the_smaller_of_each_pair():
    values = tensors((6, 3, 2, 2), (4, 3, 2, 2), (5, 8))
    first, second = values["layer0"], values["layer1"]
    first[4] = 0.9 * first[1]  # a near-duplicate within the layer
    second[2] = 1.1 * first[0]  # and across layers, where the other is smaller
    values["layer2"] *= 1e-3  # no filters: small weights do not go before duplicates
    count = sum(value.numel() for value in values.values())
    masks = project(values, 24 / count, scope="redundant")
    assert not masks["layer0"][[0, 4]].any()
    assert kept(masks) == count - 24
    more = project(values, 29 / count, scope="redundant")
    assert kept(more) == count - 29
    assert not more["layer0"][[0, 4]].any()
    assert int((~more["layer2"]).sum()) == 5  # the rest is too little for a filter


def test_a_projection_that_empties_a_layer_is_refused():
    values = tensors((50, 50), (2, 2))
    values["layer1"] *= 1e-6
    with pytest.raises(InputError, match="removing 90 % of the weights leaves none in layer1; lower the ratio, or"):
        project(values, 0.9, scope="funnel", funnel_slope=0.999)


def test_a_layer_that_the_ranking_of_all_would_empty_keeps_the_largest_weight_of_each_output():
    values = tensors((50, 50), (3, 4), (2, 2))
    values["layer1"] *= 1e-6
    values["layer2"] *= 0
    masks = project(values, 0.9, scope="global")
    assert kept(masks) == round(0.1 * 2516)
    assert torch.equal(masks["layer1"], values["layer1"].abs() == values["layer1"].abs().amax(1, keepdim=True))
    assert masks["layer2"].sum(1).tolist() == [1, 1]
    rest = irregular([values["layer0"]], kept(masks) - 5)[0]
    assert torch.equal(masks["layer0"], rest)


def test_no_layer_is_filled_where_too_few_weights_are_kept():
    with pytest.raises(InputError, match=r"leaves none in .*, or write scope: layer"):
        project(tensors((50, 50), (20, 2), (30, 2)), 0.99, scope="global")


def test_a_funnel_of_too_few_weights_is_refused_but_not_on_the_way():
    values = tensors((2, 2), (2, 2), (100, 100))
    with pytest.raises(InputError, match="raise funnel_slope, or write scope: global"):
        project(values, 0.01, scope="funnel")
    assert kept(project(values, 0.01, final=False, scope="funnel")) == 10008 - 100
