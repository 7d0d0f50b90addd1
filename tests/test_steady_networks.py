"""Networks that draw random numbers, look at their whole batch or train nothing are told before they are trained."""

import random

import numpy as np
import pytest
import torch
from model_examples import EXAMPLES, model_of, split
from plan_examples import BASE, plan
from torch import nn
from torch.nn import functional

from squeezeproof.audit.steady import check_steady
from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.errors import InputError, NotSupported
from squeezeproof.evaluation.trainable import check_trained
from squeezeproof.study.networks import epochs_asked, passes_seen

SHAPE = (1, 8, 8)


class Plain(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.f = nn.Linear(6 * 64, 10)

    def between(self, maps):
        return maps

    def forward(self, pixels):
        return self.f(functional.relu(self.c2(self.between(functional.relu(self.c1(pixels))))).flatten(1))


class Dropped(Plain):
    def between(self, maps):
        return functional.dropout(maps, 0.3)


class OfPython(Plain):
    def between(self, maps):
        return maps * random.uniform(0.5, 1)


class OfNumpy(Plain):
    def between(self, maps):
        return maps * float(np.random.rand())


class OfItsOwn(Plain):
    """A generator of its own, whose state no other tells."""

    def __init__(self):
        super().__init__()
        self.numbers = random.Random(0)

    def between(self, maps):
        return maps * self.numbers.uniform(0.5, 1)


class OfItsBatch(Plain):
    def between(self, maps):
        return functional.batch_norm(maps, None, None, training=True)


class Trained(Plain):
    """Random in training mode alone."""

    def between(self, maps):
        return functional.dropout(maps, 0.3, training=self.training)


def checked(model, expectation=1):
    check_steady(model, "mine", *split(0, 20), expectation)


def halved(model):
    prune_filters(model, SHAPE, dense_sizes(model, SHAPE), 0.5, importance="l1", scope="layer", measure="channels")


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (Dropped, "from torch,"),
        (OfPython, "from Python's random,"),
        (OfNumpy, r"from numpy\.random,"),
        (OfItsOwn, "passes differ"),
    ],
)
def test_a_network_that_draws_in_eval_mode_is_told_with_what_to_do(kind, source):
    model = kind().train()
    state = random.getstate(), torch.get_rng_state()
    with pytest.raises(InputError, match=source) as told:
        checked(model)
    for part in ("mine: ", "expectation: 10", "training=self.training", "eval()"):
        assert part in str(told.value)
    assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[1])
    checked(kind(), expectation=10)


@pytest.mark.parametrize("expectation", [1, 10])
def test_a_network_that_looks_at_its_batch_is_told_whatever_its_attacks_see(expectation):
    with pytest.raises(InputError, match="mine: the logits of an image depend on the other images") as told:
        checked(OfItsBatch(), expectation)
    assert "dropout" not in str(told.value)


@pytest.mark.parametrize("model", [Plain, Trained, *EXAMPLES])
def test_sound_networks_are_left_as_they_are(model):
    made = model() if isinstance(model, type) else model_of(EXAMPLES[model])
    before = {name: values.clone() for name, values in made.state_dict().items()}
    channels = 1 if isinstance(model, type) else EXAMPLES[model]["in_channels"]
    side = 8 if isinstance(model, type) else EXAMPLES[model]["image_size"]
    images = torch.randint(0, 256, (16, channels, side, side), dtype=torch.uint8)
    check_steady(made, "mine", images, torch.arange(16) % 10, 1)
    assert all(torch.equal(values, before[name]) for name, values in made.state_dict().items())


def test_filters_of_a_random_network_stay_for_the_true_reason():
    with pytest.raises(NotSupported, match="draw random numbers in eval mode, so that two differ") as told:
        halved(Dropped())
    assert "reordered" not in str(told.value) and "training=self.training" in str(told.value)
    halved(Trained())


def test_a_network_without_trained_parameters_is_told_where_a_training_is_asked():
    frozen = Plain().requires_grad_(False)
    check_trained(frozen, "mine", 0)
    check_trained(Plain(), "mine", 3)
    with pytest.raises(InputError, match=r"mine: the network has no parameter that is trained .* epochs: 3"):
        check_trained(frozen, "mine", 3)


def test_what_a_plan_asks_of_a_network():
    changes = {"attacks.fgsm.expectation": 4, "attacks.pgd.expectation": 8}
    assert passes_seen(plan(), "digits", "cnn3") == 1
    assert passes_seen(plan(changes), "digits", "cnn3") == 8
    assert passes_seen(plan({"attacks.fgsm.expectation": 4}), "digits", "cnn3") == 1
    own = {**changes, "evaluations": {"own": {"sources": BASE, "targets": BASE}}}
    assert passes_seen(plan(own), "digits", "cnn3") == 8
    assert epochs_asked(plan(), "digits", "cnn3") == 4
    assert epochs_asked(plan({"finetunings.short.epochs": 9}), "digits", "cnn3") == 9
    none = {"trainings.standard.epochs": 0, "finetunings.short.epochs": 0}
    assert epochs_asked(plan(none), "digits", "cnn3") == 0
