"""Weight pruning: what is removed equals torch's choice, and masks hold."""

from itertools import pairwise

import pytest
import torch
from compression_examples import entry, example
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import (
    assert_same_tensors,
    custom_spec,
    model_of,
    split,
    training,
)
from torch import nn
from torch.nn.utils import prune

from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable, prune_weights
from squeezeproof.errors import InputError
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.schedules import fractions

reproducible = settings(max_examples=25)


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
