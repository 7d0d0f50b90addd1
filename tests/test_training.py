"""Training: losses, masks that hold, divergence, and the same result for the same seed."""

import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from model_examples import assert_same_tensors, custom_spec, model_of, split, training
from torch import nn
from torch.nn import functional
from training_examples import ALL, EMPTY, SMALL

from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.predict import accuracy
from squeezeproof.store.datasets import to_pixels
from squeezeproof.training import loop
from squeezeproof.training.loop import HISTORY, fit


def test_training_learns_the_digits():
    model = build(custom_spec("flattened"), seed=0)
    settings = training(5, batch_size=20, optimizer="adam", learning_rate=0.01, schedule="one-cycle")
    history = fit(model, split(0, 1000), split(1000, 1400), settings, seed=0)
    assert history[-1]["validation_accuracy"] > 0.85
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert not model.training


def test_history_has_one_row_per_epoch_with_every_key():
    model = model_of(SMALL["plain"])
    validation = split(100, 140)
    history = fit(model, split(0, 50), validation, training(3, batch_size=20, schedule="cosine"), seed=0)
    assert [list(row) for row in history] == [HISTORY] * 3
    assert [row["epoch"] for row in history] == [1, 2, 3]
    # Three batches an epoch: the row holds the rate of the epoch's last step.
    assert history[0]["learning_rate"] == pytest.approx(0.05 * 0.5 * (1 + math.cos(math.pi * 2 / 9)))
    assert history[-1]["validation_accuracy"] == accuracy(model, *validation)


def test_losses_and_accuracies_are_means_over_all_images():
    # At this rate the weights stay as they are, so every batch is measured on the same model.
    model = model_of(SMALL["plain"])
    train = split(0, 50)
    settings = training(1, batch_size=32, learning_rate=1e-12, label_smoothing=0.1)
    (row,) = fit(model, train, EMPTY, settings, seed=0)
    with torch.no_grad():
        logits = model(to_pixels(train[0], "cpu"))
    assert row["train_loss"] == pytest.approx(functional.cross_entropy(logits, train[1], label_smoothing=0.1).item())
    assert row["train_accuracy"] == accuracy(model, *train)


def test_without_validation_images_there_is_no_validation_accuracy():
    (row,) = fit(model_of(SMALL["plain"]), split(0, 20), EMPTY, training(1), seed=0)
    assert row["validation_accuracy"] is None


def test_no_epochs_keep_the_weights():
    model = model_of(SMALL["batch normalisation"]).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert fit(model, split(0, 20), split(20, 40), training(0), seed=0) == []
    assert_same_tensors(model.state_dict(), before)
    assert not model.training


def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own(monkeypatch):
    train = split(0, 50)
    batches = []
    monkeypatch.setattr(loop, "augment", lambda pixels, **_: batches.append(pixels) or pixels)
    fit(model_of(SMALL["plain"]), train, EMPTY, training(2, batch_size=16), seed=0)
    assert [len(batch) for batch in batches] == [16, 16, 16, 2] * 2
    first, second = torch.cat(batches[:4]), torch.cat(batches[4:])
    expected = Counter(image.numpy().tobytes() for image in to_pixels(train[0], "cpu"))
    assert Counter(image.numpy().tobytes() for image in first) == expected
    assert Counter(image.numpy().tobytes() for image in second) == expected
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", SMALL)
def test_training_repeats_bit_for_bit_and_depends_on_the_seed(name):
    settings = training(2, batch_size=16, learning_rate=0.1, **ALL)

    def trained(seed):
        model = build(SMALL[name], seed=0)
        return model.state_dict(), fit(model, split(0, 50), split(50, 70), settings, seed=seed)

    (first, rows), (again, same_rows), (other, _) = trained(1), trained(1), trained(2)
    assert_same_tensors(first, again)
    assert rows == same_rows
    assert not torch.equal(first["network.0.weight"], other["network.0.weight"])


def test_training_ignores_the_global_generator_and_leaves_it_alone():
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        model = model_of(SMALL["dropout"])
        fit(model, split(0, 20), EMPTY, training(1, **ALL), seed=0)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(model.state_dict())
    assert_same_tensors(*states)


class Skipping(nn.Module):
    """A layer of the user's that leaves itself out at random, by generators that torch knows nothing of."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, inputs):
        if self.training and (random.random() < 0.5 or np.random.random() < 0.2):
            return inputs
        return self.layer(inputs)


def test_a_layer_that_draws_from_python_or_numpy_trains_the_same_whatever_ran_before():
    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        model = model_of(SMALL["plain"])
        model[1].add_module("skipping", Skipping(nn.Linear(10, 10, bias=False)))
        nn.init.eye_(model[1].skipping.layer.weight)
        fit(model, split(0, 60), EMPTY, training(2, batch_size=10, learning_rate=0.1), seed=0)
        found.append(model.state_dict())
    assert_same_tensors(*found)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"optimizer": "rmsprop", "momentum": 0.9, "learning_rate": 0.001},
    ],
    ids=lambda settings: settings["optimizer"],
)
def test_masked_weights_are_zero_after_every_step(settings):
    model = model_of(SMALL["plain"])
    masks = prune_weights(model, 0.5, scope="global")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    leaks = []

    def check(module, inputs):
        parameters = dict(module.named_parameters())
        leaks.append(sum(int(parameters[name][~mask].count_nonzero()) for name, mask in masks.items()))

    model.register_forward_pre_hook(check)
    fit(model, split(0, 50), split(50, 60), training(2, batch_size=16, **settings), seed=0, masks=masks)
    check(model, ())
    assert leaks == [0] * (2 * (4 + 1) + 1)
    for name, mask in masks.items():
        moved = dict(model.named_parameters())[name] != before[name]
        assert torch.equal(moved, moved & mask)
        assert moved.any(), name


def test_bfloat16_computes_the_logits_and_keeps_float32_weights():
    model = model_of(SMALL["batch normalisation"])
    types = []
    model.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    (row,) = fit(model, split(0, 32), EMPTY, training(1, batch_size=16, precision="bfloat16"), seed=0)
    assert types == [torch.bfloat16] * 2
    assert math.isfinite(row["train_loss"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


class Steep(nn.Module):
    """Logits so steep in the weights that one step at an absurd rate makes these infinite."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, pixels):
        return 1e6 * self.fc(pixels.flatten(1))


@pytest.mark.parametrize(
    ("make", "batch_size", "problem"),
    [
        (lambda: model_of(SMALL["plain"]), 8, r"training diverged in epoch 1 \(mean loss (nan|inf)\)"),
        (Steep, 64, r"training diverged in epoch 1 \(mean loss \d"),
    ],
    ids=["while training", "in the last step"],
)
def test_divergence_names_the_learning_rate(make, batch_size, problem):
    settings = training(3, batch_size=batch_size, learning_rate=1e36)
    with pytest.raises(InputError, match=f"{problem}.*lower learning_rate: 1e\\+36"):
        fit(make(), split(0, 64), EMPTY, settings, seed=0)
