"""Augmentation, schedules and optimizers as defined."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_examples import model_of, training
from torch import nn
from torch.nn import functional
from training_examples import ALL, SMALL

from squeezeproof.training import augmentation
from squeezeproof.training.augmentation import augment
from squeezeproof.training.loop import make_optimizer
from squeezeproof.training.schedules import learning_rate

properties = hypothesis_settings(max_examples=25)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def transformed(pixels, seed=0, **options):
    return augment(pixels, **{"flip": False, "crop": 0, "rotation": 0, "generator": generator(seed), **options})


def images(count=8, channels=2, height=5, width=6):
    """Random pixels [count, channels, height, width] without two equal values."""
    return (torch.randperm(count * channels * height * width, generator=generator()) + 1.0).view(
        count, channels, height, width
    ) / 1e4


def test_without_options_pixels_pass_unchanged():
    pixels = images()
    assert torch.equal(transformed(pixels), pixels)


def test_flip_mirrors_about_half_of_the_images_and_changes_nothing_else():
    pixels = images(400, 1, 2, 3)
    flipped = transformed(pixels, flip=True)
    kept = (flipped == pixels).flatten(1).all(1)
    mirrored = (flipped == pixels.flip(-1)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 160 < int(mirrored.sum()) < 240


@properties
@given(crop=st.integers(1, 4), height=st.integers(1, 6), width=st.integers(1, 6), seed=st.integers(0, 99))
def test_every_crop_is_one_window_of_the_padded_image(crop, height, width, seed):
    pixels = images(5, 2, height, width)
    padded = functional.pad(pixels, (crop,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [image, channel, row, column, height, width]
    for output, candidates in zip(transformed(pixels, seed, crop=crop), windows, strict=True):
        assert (candidates.movedim(0, 2) == output).flatten(2).all(2).any()


def test_crops_take_every_offset_equally_often():
    pixels = images(1, 1, 3, 3).expand(9000, 1, 3, 3)
    seen = Counter(output.numpy().tobytes() for output in transformed(pixels, crop=1))
    assert len(seen) == 9
    assert all(850 < count < 1150 for count in seen.values())


@pytest.mark.parametrize("degrees", [0, 90, -90, 180, 360])
def test_rotation_by_quarter_turns_permutes_the_pixels(degrees):
    pixels = images(3, 2, 5, 5)
    angles = torch.full((3,), math.radians(degrees))
    torch.testing.assert_close(
        augmentation._rotate(pixels, angles), torch.rot90(pixels, degrees // 90, (2, 3)), atol=1e-5, rtol=0
    )


def test_rotations_are_drawn_within_their_bounds(monkeypatch):
    drawn = []
    monkeypatch.setattr(augmentation, "_rotate", lambda pixels, angles: drawn.append(angles) or pixels)
    transformed(images(2000, 1, 1, 1), rotation=30)
    degrees = torch.rad2deg(drawn[0])
    assert -30 <= degrees.min() < -29
    assert 29 < degrees.max() <= 30
    assert abs(degrees.mean()) < 1


def test_rotation_of_a_centred_disc_keeps_it_and_fills_with_zeros():
    places = torch.linspace(-1, 1, 21)
    disc = (1 - (places[:, None] ** 2 + places[None, :] ** 2)).clamp(0)[None, None].square().expand(4, 1, 21, 21)
    torch.testing.assert_close(transformed(disc, rotation=180), disc, atol=0.02, rtol=0)
    corners = transformed(torch.ones(50, 1, 21, 21), rotation=45)[:, 0, 0, 0]
    assert (corners == 0).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 7])
def test_augmentation_keeps_shape_and_type_and_leaves_its_input(dtype, count):
    pixels = images(count).to(dtype)
    before = pixels.clone()
    output = transformed(pixels, **ALL)
    assert (output.shape, output.dtype) == (pixels.shape, dtype)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("options", [{"flip": True}, {"crop": 2}, {"rotation": 20}, ALL])
def test_augmentation_is_a_function_of_its_generator_alone(options):
    state = torch.get_rng_state()
    first, again, other = (transformed(images(), seed, **options) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def rate(progress, epoch=0, **settings):
    return learning_rate(training(learning_rate=0.2, **settings), epoch, progress)


def test_a_constant_schedule_is_constant():
    assert {rate(progress / 10, schedule="constant") for progress in range(10)} == {0.2}


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1), (1, 1), (2, 0.5), (4, 0.5), (5, 0.25), (99, 0.25)])
def test_a_step_schedule_multiplies_at_its_milestones(epoch, factor):
    assert rate(0.5, epoch, schedule="step", milestones=[5, 2], gamma=0.5) == pytest.approx(0.2 * factor)


def test_a_cosine_schedule_equals_torchs():
    steps = 12
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.2)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        assert rate(step / steps, schedule="cosine") == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


@pytest.mark.parametrize(
    ("progress", "share"), [(0, 1 / 25), (0.15, 13 / 25), (0.3, 1), (0.65, (1 + 1e-4) / 2), (1, 1e-4)]
)
def test_a_one_cycle_schedule_passes_through_its_known_points(progress, share):
    assert rate(progress, schedule="one-cycle") == pytest.approx(0.2 * share)


@properties
@given(first=st.floats(0, 1), second=st.floats(0, 1), schedule=st.sampled_from(["cosine", "one-cycle"]))
def test_schedules_rise_to_the_peak_and_fall_after_it(first, second, schedule):
    early, late = sorted([first, second])
    rates = rate(early, schedule=schedule), rate(late, schedule=schedule)
    assert all(0 <= value <= 0.2 + 1e-12 for value in rates)
    peak = 0.3 if schedule == "one-cycle" else 0
    if late <= peak:
        assert rates[0] <= rates[1] + 1e-12
    elif early >= peak:
        assert rates[0] >= rates[1] - 1e-12


def test_an_unknown_schedule_is_an_error():
    with pytest.raises(ValueError, match="unknown schedule 'poly'"):
        rate(0.5, schedule="poly")


@pytest.mark.parametrize(
    ("settings", "kind", "options"),
    [
        (
            {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
            torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True},
        ),
        ({"optimizer": "adam"}, torch.optim.Adam, {"betas": (0.9, 0.999)}),
        ({"optimizer": "adamw"}, torch.optim.AdamW, {"betas": (0.9, 0.999)}),
        (
            {"optimizer": "rmsprop", "momentum": 0.5, "rmsprop_smoothing": 0.8},
            torch.optim.RMSprop,
            {"momentum": 0.5, "alpha": 0.8},
        ),
    ],
    ids=["sgd", "adam", "adamw", "rmsprop"],
)
def test_settings_make_the_optimizer_they_name(settings, kind, options):
    optimizer = make_optimizer(model_of(SMALL["plain"]), training(learning_rate=0.03, weight_decay=0.1, **settings))
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert {key: group[key] for key in options} == options
        assert group["lr"] == 0.03


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_weight_decay_shrinks_weights_and_spares_biases_and_normalisation(optimizer):
    model = model_of(SMALL["batch normalisation"])
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    made = make_optimizer(model, training(optimizer=optimizer, learning_rate=0.001, weight_decay=0.1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            assert parameter.norm() < before[name].norm(), name
        else:
            assert torch.equal(parameter, before[name]), name


def test_a_model_without_biases_has_one_group_of_parameters():
    optimizer = make_optimizer(nn.Linear(2, 2, bias=False), training())
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
