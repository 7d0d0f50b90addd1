"""Training: augmentation, schedules and optimizers as defined, masks that hold, and resuming bit for bit."""

import csv
import logging
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_examples import assert_same_tensors, custom_spec, model_of, split, training
from torch import nn
from torch.nn import functional

from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.predict import accuracy
from squeezeproof.store.datasets import to_pixels
from squeezeproof.training import augmentation, loop
from squeezeproof.training.augmentation import augment
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.history import write_history
from squeezeproof.training.loop import HISTORY, fit, make_optimizer
from squeezeproof.training.schedules import learning_rate

properties = hypothesis_settings(max_examples=25)
EMPTY = split(0, 0)
SMALL = {
    "plain": custom_spec("all_convolutional", width=8),
    "batch normalisation": custom_spec("depthwise_separable", width=4),
    "dropout": custom_spec("flattened", width=4),
}


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


ALL = {"flip": True, "crop": 2, "rotation": 20}


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


class Interrupted(Exception):
    pass


@pytest.fixture
def batches(monkeypatch):
    """Counts the batches trained on; `stop` is the number after which the next raises Interrupted."""

    class Batches:
        count = 0
        stop = None

    def counted(pixels, **options):
        if Batches.count == Batches.stop:
            raise Interrupted
        Batches.count += 1
        return augment(pixels, **options)

    monkeypatch.setattr(loop, "augment", counted)
    return Batches


OPTIMIZERS = {
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "schedule": "cosine"},
    "adam": {"optimizer": "adam", "learning_rate": 0.01, "schedule": "one-cycle"},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.01},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.001, "momentum": 0.5, "schedule": "step", "milestones": [2]},
}
TRAIN, VALIDATION = split(0, 40), split(40, 60)


def train_four_epochs(model, resume_path=None, *, seed=5, train=TRAIN, validation=VALIDATION, masks=None, **settings):
    """Three batches of 16, 16 and 8 images in each of four epochs."""
    settings = training(**{"epochs": 4, "batch_size": 16, **ALL, **settings})
    return fit(model, train, validation, settings, seed=seed, masks=masks, resume_path=resume_path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["batch normalisation", "dropout"])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, batches, name, optimizer):
    settings, resume = OPTIMIZERS[optimizer], tmp_path / "resume"
    whole = build(SMALL[name], seed=0)
    history = train_four_epochs(whole, **settings)
    batches.count, batches.stop = 0, 7
    with pytest.raises(Interrupted):
        train_four_epochs(build(SMALL[name], seed=0), resume, **settings)
    batches.count, batches.stop = 0, None
    model = build(SMALL[name], seed=0)
    assert train_four_epochs(model, resume, **settings) == history
    assert batches.count == 2 * 3
    assert_same_tensors(model.state_dict(), whole.state_dict())


def test_a_training_interrupted_after_every_epoch_equals_an_uninterrupted_one(tmp_path, batches):
    whole = build(SMALL["plain"], seed=0)
    history = train_four_epochs(whole, momentum=0.9)
    for _ in range(3):
        batches.count, batches.stop = 0, 4
        with pytest.raises(Interrupted):
            train_four_epochs(build(SMALL["plain"], seed=0), tmp_path / "resume", momentum=0.9)
    batches.count = 0
    model = build(SMALL["plain"], seed=0)
    assert train_four_epochs(model, tmp_path / "resume", momentum=0.9) == history
    assert batches.count == 3
    assert_same_tensors(model.state_dict(), whole.state_dict())


def test_a_masked_training_resumes_with_its_masks(tmp_path, batches):
    def pruned():
        model = build(SMALL["plain"], seed=0)
        return model, prune_weights(model, 0.5, scope="global")

    whole, masks = pruned()
    train_four_epochs(whole, masks=masks, momentum=0.9)
    batches.count, batches.stop = 0, 7
    with pytest.raises(Interrupted):
        train_four_epochs(pruned()[0], tmp_path / "resume", masks=masks, momentum=0.9)
    batches.stop = None
    model, masks = pruned()
    train_four_epochs(model, tmp_path / "resume", masks=masks, momentum=0.9)
    assert_same_tensors(model.state_dict(), whole.state_dict())
    assert all(not dict(model.named_parameters())[name][~mask].any() for name, mask in masks.items())


def test_a_finished_training_is_not_repeated(tmp_path, batches):
    first, second = build(SMALL["plain"], seed=0), build(SMALL["plain"], seed=0)
    history = train_four_epochs(first, tmp_path / "resume")
    batches.stop = batches.count
    assert train_four_epochs(second, tmp_path / "resume") == history
    assert_same_tensors(second.state_dict(), first.state_dict())
    assert not second.training


def test_resuming_leaves_the_one_file_for_the_caller_to_remove(tmp_path):
    train_four_epochs(build(SMALL["plain"], seed=0), tmp_path / "resume")
    assert [path.name for path in tmp_path.iterdir()] == ["resume"]


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.01},
        {"epochs": 5},
        {"seed": 6},
        {"train": split(60, 100)},
        {"train": (TRAIN[0], TRAIN[1].flip(0))},
        {"validation": split(60, 80)},
        {"start": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_state_of_another_training_is_ignored(tmp_path, batches, change):
    train_four_epochs(build(SMALL["plain"], seed=0), tmp_path / "resume")
    arguments = dict(change)
    start = arguments.pop("start", 0)
    batches.count = 0
    model, expected = build(SMALL["plain"], seed=start), build(SMALL["plain"], seed=start)
    history = train_four_epochs(model, tmp_path / "resume", **arguments)
    assert batches.count == 3 * len(history)
    assert train_four_epochs(expected, **arguments) == history
    assert_same_tensors(model.state_dict(), expected.state_dict())


@pytest.mark.parametrize("keep", [0, 5, 200, -10], ids=["empty", "in the length", "in the header", "in the tensors"])
def test_a_truncated_state_is_ignored_with_a_log_line(tmp_path, caplog, batches, keep):
    resume = tmp_path / "resume"
    whole = build(SMALL["plain"], seed=0)
    history = train_four_epochs(whole, resume)
    resume.write_bytes(resume.read_bytes()[:keep])
    batches.count = 0
    model = build(SMALL["plain"], seed=0)
    with caplog.at_level(logging.INFO, logger="squeezeproof"):
        assert train_four_epochs(model, resume) == history
    assert batches.count == 12
    assert any(line.startswith(f"starting over: {resume}: ") for line in caplog.messages)
    assert_same_tensors(model.state_dict(), whole.state_dict())


def test_resuming_and_progress_are_logged(tmp_path, caplog, batches):
    batches.stop = 7
    with pytest.raises(Interrupted):
        train_four_epochs(build(SMALL["plain"], seed=0), tmp_path / "resume")
    batches.stop = None
    with caplog.at_level(logging.INFO, logger="squeezeproof"):
        train_four_epochs(build(SMALL["plain"], seed=0), tmp_path / "resume")
    assert caplog.messages[0] == "resumed after epoch 2"
    assert caplog.messages[-1].startswith("2 of 2 epochs, 0 s left, loss ")


def finetuner(path, settings, steps=3, step_epochs=1):
    return Finetuner(TRAIN, VALIDATION, settings, steps=steps, step_epochs=step_epochs, seed=0, resume=path / "resume")


COMPRESSIONS = {
    "filter": {"method": "filter", "importance": "l1", "scope": "layer", "measure": "channels"},
    "weight": {"method": "weight", "scope": "global"},
}
STEPS = {"ratio": 0.6, "steps": 3, "schedule": "exponential"}


def test_finetuning_trains_briefly_between_the_steps_and_fully_at_the_end(tmp_path):
    tune = finetuner(tmp_path, training(2, batch_size=16))
    compress(Task(model_of(SMALL["plain"]), (1, 8, 8), {**COMPRESSIONS["filter"], **STEPS}, tune))
    assert [(row["stage"], row["epoch"]) for row in tune.history] == [(1, 1), (2, 1), (3, 1), (3, 2)]


def test_finetuning_without_settings_trains_nothing(tmp_path):
    tune = finetuner(tmp_path, None)
    model = model_of(SMALL["plain"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tune(model, {}, 2)
    assert tune.history == []
    assert_same_tensors(model.state_dict(), before)


def test_finetuning_can_leave_out_the_epochs_between_the_steps(tmp_path):
    tune = finetuner(tmp_path, training(1, batch_size=16), step_epochs=0)
    compress(Task(model_of(SMALL["plain"]), (1, 8, 8), {**COMPRESSIONS["weight"], **STEPS}, tune))
    assert [row["stage"] for row in tune.history] == [3]


@pytest.mark.parametrize("method", COMPRESSIONS)
@pytest.mark.parametrize("stop", [1, 4, 9], ids=["first stage", "second stage", "last stage"])
def test_a_resumed_compression_equals_an_uninterrupted_one(tmp_path, batches, method, stop):
    settings = training(3, batch_size=16, momentum=0.9)

    def run(folder):
        model, tune = model_of(SMALL["plain"]), finetuner(tmp_path / folder, settings)
        masks = compress(Task(model, (1, 8, 8), {**COMPRESSIONS[method], **STEPS}, tune))
        return model.state_dict(), masks, tune

    whole, masks, tune = run("whole")
    batches.count, batches.stop = 0, stop
    with pytest.raises(Interrupted):
        run("killed")
    batches.count, batches.stop = 0, None
    resumed, resumed_masks, resumed_tune = run("killed")
    assert batches.count == 15 - 3 * (stop // 3)
    assert resumed_tune.history == tune.history
    assert_same_tensors(resumed, whole)
    assert_same_tensors(resumed_masks, masks)
    resumed_tune.discard()
    assert list((tmp_path / "killed").iterdir()) == []


@pytest.mark.parametrize("rows", [[], fit(model_of(SMALL["plain"]), TRAIN, EMPTY, training(2), seed=0)])
def test_history_is_written_as_a_table(tmp_path, rows):
    write_history(tmp_path / "history.csv", rows)
    with open(tmp_path / "history.csv", newline="") as file:
        reader = csv.DictReader(file)
        written = list(reader)
    assert reader.fieldnames == ["stage", *HISTORY]
    assert written == [
        {"stage": "1", **{key: "" if value is None else str(value) for key, value in row.items()}} for row in rows
    ]
