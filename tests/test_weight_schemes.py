"""Schemes of weight pruning: exact budgets, funnels, and filters that are near-duplicates."""

from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import EXAMPLES, model_of
from pruning_examples import entry, nothing, reproducible
from torch import nn

from squeezeproof.compression.compress import compress
from squeezeproof.compression.projections import funnel, irregular, redundant
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable, prune_weights
from squeezeproof.errors import InputError
from squeezeproof.training.schedules import fractions

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
