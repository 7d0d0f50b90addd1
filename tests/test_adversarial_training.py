"""Adversarial training: what the network is shown, and the robustness gained."""

import math
from functools import cache

import pytest
import torch
from adversary_examples import (
    DROPOUT,
    EMPTY,
    EPS,
    NORMALISED,
    PLAIN,
    TRAIN,
    VALIDATION,
    adversary,
    batch,
    crafted,
    half_model,
)
from attack_fixtures import TRAIN as TRAINED
from attack_fixtures import pixels as held_out_pixels
from attack_fixtures import run
from model_examples import assert_same_tensors, model_of, split, training
from scipy import stats
from torch import nn
from torch.nn import functional

from squeezeproof.compression.weights import prune_weights
from squeezeproof.models.build import build
from squeezeproof.store.datasets import to_pixels
from squeezeproof.training import loop
from squeezeproof.training.history import summary, write_history
from squeezeproof.training.loop import HISTORY, fit


@cache
def trained(method=None, **changes):
    """A small CNN trained on digits for six epochs."""
    settings = training(6, batch_size=50, learning_rate=0.1, momentum=0.9)
    settings["adversary"] = adversary(method, **changes) if method else None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(256, 10)),
        )
    return model, fit(model, split(0, TRAINED), EMPTY, settings, seed=0)


def robust_accuracy(model):
    pixels, labels = held_out_pixels(400)
    points = run("pgd", model, pixels, labels, eps=0.15, steps=10)
    return (model(points).argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("fgsm", {"clean_weight": 0.5, "eps_distribution": "truncated_normal", "eps": 0.3}),
        ("pgd", {"clean_weight": 0, "steps": 4, "eps": 0.15}),
        ("pgd", {"clean_weight": 0.1, "steps": 4, "eps": 0.15}),
    ],
    ids=["fgsm as Wang", "pgd as Madry", "pgd as Marshall"],
)
def test_adversarial_training_makes_a_model_measurably_more_robust(method, changes):
    standard, _ = trained()
    model, history = trained(method, **changes)
    assert robust_accuracy(model) > robust_accuracy(standard) + 0.25
    assert history[-1]["adversarial_loss"] < 0.7 * history[0]["adversarial_loss"]


@pytest.mark.parametrize("spec", [NORMALISED, DROPOUT], ids=["batch normalisation", "dropout"])
def test_a_clean_weight_of_one_is_standard_training_bit_for_bit(spec):
    results = []
    for entry in (None, adversary(clean_weight=1)):
        model = build(spec, seed=0)
        results.append((fit(model, TRAIN, VALIDATION, training(2, batch_size=16, adversary=entry), seed=1), model))
    assert results[0][0] == results[1][0]
    assert_same_tensors(results[0][1].state_dict(), results[1][1].state_dict())


@pytest.mark.parametrize("weight", [0, 0.1, 0.5, 1])
def test_a_step_follows_the_weighted_gradient_and_history_tells_its_parts(weight):
    model, reference = build(PLAIN, seed=0), build(PLAIN, seed=0)
    entry = adversary(clean_weight=weight, random_start=False, steps=3)
    (row,) = fit(model, TRAIN, EMPTY, training(1, batch_size=40, learning_rate=0.1, adversary=entry), seed=0)
    pixels, labels = to_pixels(TRAIN[0], "cpu"), TRAIN[1]
    points, _ = crafted(reference, pixels, labels, random_start=False, steps=3)
    clean, adversarial = reference(pixels), reference(points)
    losses = [functional.cross_entropy(logits, labels) for logits in (clean, adversarial)]
    loss = weight * losses[0] + (1 - weight) * losses[1]
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    for parameter, start, gradient in zip(model.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter, start - 0.1 * gradient, rtol=1e-4, atol=1e-6)
    told = {
        "train_loss": loss.item(),
        "clean_loss": losses[0].item() if weight > 0 else None,
        "train_accuracy": (clean.argmax(1) == labels).double().mean().item() if weight > 0 else None,
        "adversarial_loss": losses[1].item() if weight < 1 else None,
        "adversarial_accuracy": (adversarial.argmax(1) == labels).double().mean().item() if weight < 1 else None,
        "eps": EPS if weight < 1 else None,
    }
    assert list(row) == HISTORY
    for key, value in told.items():
        assert row[key] == (value if value is None else pytest.approx(value, rel=1e-5)), key


@pytest.mark.parametrize(("weight", "forwards"), [(0, [16, 16]), (0.5, [16, 32]), (1, [16])])
def test_no_image_passes_without_need(weight, forwards):
    model = build(PLAIN, seed=0)
    passes = []
    model.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    entry = adversary("fgsm", clean_weight=weight)
    fit(model, split(0, 16), EMPTY, training(1, batch_size=16, adversary=entry), seed=0)
    assert passes == forwards


def test_crafting_starts_from_the_augmented_batch(monkeypatch):
    seen = []
    monkeypatch.setattr(loop, "augment", lambda pixels, **_: torch.full_like(pixels, 0.5))
    model = build(PLAIN, seed=0)
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    fit(model, TRAIN, EMPTY, training(1, batch_size=40, adversary=adversary("fgsm", eps=0.25)), seed=0)
    assert (seen[0] == 0.5).all()
    assert ((seen[1] - 0.5).abs() == 0.25).all()


def test_running_statistics_come_from_the_training_passes_alone():
    model = build(NORMALISED, seed=0)
    fit(model, TRAIN, EMPTY, training(1, batch_size=10, adversary=adversary(steps=5)), seed=0)
    counted = [module.num_batches_tracked.item() for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert set(counted) == {4}


def test_every_epoch_and_batch_is_crafted_with_noise_of_its_own():
    model = build(PLAIN, seed=0)
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    images = torch.full((20, 1, 8, 8), 128, dtype=torch.uint8)
    settings = training(2, batch_size=10, learning_rate=1e-12, adversary=adversary(steps=1))
    fit(model, (images, torch.zeros(20, dtype=torch.int64)), EMPTY, settings, seed=0)
    starts = torch.cat(seen[::2]).flatten(1)
    assert len(starts.unique(dim=0)) == 40


def test_crafting_is_in_the_precision_of_the_training():
    model = model_of(PLAIN)
    types = []
    model.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    settings = training(1, batch_size=40, precision="bfloat16", adversary=adversary(steps=2))
    (row,) = fit(model, TRAIN, EMPTY, settings, seed=0)
    assert types == [torch.bfloat16] * 3
    assert math.isfinite(row["adversarial_loss"])


@pytest.mark.parametrize("spec", [PLAIN, NORMALISED], ids=["plain", "normalised"])
def test_crafting_in_bfloat16_is_as_strong(spec):
    model = model_of(spec)
    fit(model, TRAIN, EMPTY, training(10, batch_size=10), seed=0)
    pixels, labels = batch(40)
    losses = {}
    for precision in ("float32", "bfloat16"):
        points, _ = crafted(model, pixels, labels, precision=precision)
        assert points.dtype == torch.float32 and (points - pixels).abs().max() <= EPS + 1e-6
        losses[precision] = functional.cross_entropy(model(points), labels).item()
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] > functional.cross_entropy(model(pixels), labels).item()


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_masks_hold_in_every_pass(method):
    model = model_of(PLAIN)
    masks = prune_weights(model, 0.5, scope="global")
    leaks = []

    def check(module, inputs):
        parameters = dict(module.named_parameters())
        leaks.append(sum(int(parameters[name][~mask].count_nonzero()) for name, mask in masks.items()))

    model.register_forward_pre_hook(check)
    settings = training(2, batch_size=20, momentum=0.9, adversary=adversary(method, clean_weight=0.5))
    fit(model, TRAIN, EMPTY, settings, seed=0, masks=masks)
    check(model, ())
    assert set(leaks) == {0}


def test_history_tells_the_radius_in_pixels(tmp_path):
    settings = training(1, adversary=adversary(eps=0.2, space="normalized"))
    model = half_model()
    history = fit(model, TRAIN, EMPTY, settings, seed=0)
    assert history[0]["eps"] == pytest.approx(0.1)
    assert summary(settings, history) == {"settings": settings, "epochs": 1, "restarts": 0, "eps": history[0]["eps"]}
    write_history(tmp_path / "history.csv", history)
    header, row = (tmp_path / "history.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["eps"] == str(history[0]["eps"])


def test_the_radius_that_history_tells_is_the_mean_of_the_drawn_ones():
    entry = adversary("fgsm", eps=0.2, eps_distribution="truncated_normal")
    (row,) = fit(build(PLAIN, seed=0), split(0, 1000), EMPTY, training(1, batch_size=300, adversary=entry), seed=0)
    assert row["eps"] == pytest.approx(0.2 * stats.truncnorm(0, 2, scale=0.5).mean(), rel=0.05)


def test_summary_of_what_was_not_trained():
    assert summary(None, []) == {"settings": None, "epochs": 0, "restarts": 0, "eps": None}
