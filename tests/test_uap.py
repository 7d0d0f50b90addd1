"""Universal perturbations: closed form, against ART, and what they promise."""

import math
import random

import numpy as np
import pytest
import torch
from art.attacks.evasion import UniversalPerturbation
from art.estimators.classification import PyTorchClassifier
from attack_fixtures import both_norms, digits, held_out, network, pixels
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.uap import fit_uap, uap

EPS = {"linf": 0.3, "l2": 2.0}
COUNT = 64


def fit(model, images, *, norm, eps=None, **changes):
    settings = {"passes": 3, "fooling_rate": 1.0, "deepfool_steps": 20, "overshoot": 0.02, "candidates": 10}
    settings |= {"batch_size": 32, "seed": 0, "eps": EPS[norm] if eps is None else eps}
    labels = torch.zeros(len(images), dtype=torch.int64)
    return fit_uap(model, images, labels, norm=norm, **settings | changes)


def changed(model, inputs, perturbation):
    """The share of images of which the prediction changes."""
    points = (inputs + perturbation).clamp(0, 1)
    return (model(points).argmax(1) != model(inputs).argmax(1)).double().mean().item()


@both_norms
def test_a_linear_model_is_fooled_along_its_weight(norm):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(12, generator=generator)
    layer = nn.Linear(12, 2)
    # All images are of class 0, and class 1 lies along the weight.
    layer.load_state_dict(
        {"weight": torch.stack([-weight, weight]) / 2, "bias": torch.tensor([0.0, -weight.sum() / 2])}
    )
    images = torch.randint(120, 136, (80, 1, 3, 4), generator=generator, dtype=torch.uint8)
    model = nn.Sequential(nn.Flatten(), layer).requires_grad_(False)
    images = images[model(images / 255).argmax(1) == 0]
    assert len(images) > 10
    gap = -(model(images / 255) @ torch.tensor([-1.0, 1.0])).min()
    needed = (gap / (weight.abs().sum() if norm == "linf" else weight.norm())).item()
    found = fit(model, images, norm=norm, eps=2 * needed)
    assert changed(model, images / 255, found) == 1
    cosine = found.flatten() @ weight / found.norm() / weight.norm()
    assert cosine > 0.75
    # No perturbation of the ball fools them all where the farthest image is out of reach.
    assert changed(model, images / 255, fit(model, images, norm=norm, eps=0.9 * needed)) < 1


@both_norms
def test_at_least_as_many_images_are_fooled_as_by_art(norm):
    model, (images, _) = network().requires_grad_(False), digits()
    images, (unseen, _) = images[:COUNT], pixels(200)
    classifier = PyTorchClassifier(model, nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0, 1), device_type="cpu")
    power = {"linf": np.inf, "l2": 2}[norm]
    options = {"attacker": "deepfool", "attacker_params": {"verbose": False, "max_iter": 20}, "verbose": False}
    ours, theirs = [], []
    state = random.getstate()
    # The share differs by 0.15 from one order of the images to another.
    for seed in range(4):
        random.seed(seed)
        reference = UniversalPerturbation(classifier, delta=0.0, max_iter=1, eps=EPS[norm], norm=power, **options)
        reference.generate((images / 255).numpy())
        theirs.append(torch.from_numpy(reference.noise))
        ours.append(fit(model, images, norm=norm, passes=1, seed=seed))
    random.setstate(state)

    for found in (ours, theirs):
        assert all(norms(delta, norm).item() <= EPS[norm] * (1 + 1e-5) for delta in found)
    for shown in (images / 255, unseen):
        our_mean, their_mean = (np.mean([changed(model, shown, delta) for delta in found]) for found in (ours, theirs))
        assert their_mean <= our_mean < 0.9


@both_norms
def test_it_carries_over_to_unseen_images_and_beats_noise(norm):
    model, (images, _), (unseen, _) = network(), digits(), pixels(200)
    found = fit(model, images[:COUNT], norm=norm)
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    noise = EPS[norm] * (noise.sign() if norm == "linf" else noise / noise.norm())
    assert found.shape == (1, 1, 8, 8) and found.dtype == torch.float32
    assert norms(found, norm).item() == pytest.approx(EPS[norm], rel=1e-4)
    assert changed(model, images[:COUNT] / 255, found) > 0.5
    assert changed(model, unseen, found) > max(0.35, 1.5 * changed(model, unseen, noise))


@both_norms
def test_the_best_pass_is_kept_and_a_reached_rate_stops(norm):
    model, (images, _) = network(), digits()
    images = images[:COUNT]
    rates = [changed(model, images / 255, fit(model, images, norm=norm, passes=count)) for count in (1, 2, 4)]
    assert rates == sorted(rates)
    first = fit(model, images, norm=norm, passes=1)
    assert torch.equal(fit(model, images, norm=norm, passes=4, fooling_rate=rates[0]), first)


def test_the_order_of_the_images_is_a_function_of_the_seed():
    model, (images, _) = network(), digits()
    one, again, other = (fit(model, images[:COUNT], norm="l2", passes=1, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)


@both_norms
def test_the_images_get_the_perturbation_within_the_ball_and_the_box(norm):
    (images, labels), model = held_out(50), network()
    inputs = images / 255
    perturbation = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    perturbation = perturbation * (EPS[norm] / norms(perturbation, norm))
    settings = {"norm": norm, "stop_on_success": False, "seed": 0, "indices": torch.arange(50)}
    points = uap(model, inputs, labels, perturbation=perturbation, eps=EPS[norm], **settings)
    torch.testing.assert_close(points, (inputs + perturbation).clamp(0, 1))
    half = uap(model, inputs, labels, perturbation=perturbation, eps=EPS[norm] / 2, **settings)
    assert (norms(half - inputs, norm) <= EPS[norm] / 2 + 1e-6).all() and half.min() >= 0 and half.max() <= 1
    assert math.isclose(norms(perturbation, norm).item(), EPS[norm], rel_tol=1e-5)
