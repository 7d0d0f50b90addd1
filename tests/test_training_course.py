"""The course of a training: resuming, extension and divergence."""

from functools import partial

import pytest
import torch
from adversary_examples import DROPOUT, EMPTY, NORMALISED, PLAIN, TRAIN, VALIDATION, adversary
from model_examples import assert_same_tensors, training
from torch import nn

from squeezeproof.models.build import build
from squeezeproof.store.tensors import read_arrays
from squeezeproof.training import loop
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.history import summary
from squeezeproof.training.loop import Diverged, fit
from squeezeproof.training.schedules import goes_on

# --- Resuming --------------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def interrupted(monkeypatch, stop, call):
    """Run `call`, which is interrupted when it begins its batch number `stop`, counted from 0."""
    original, count = loop.augment, iter(range(10**6))

    def counted(pixels, **options):
        if next(count) == stop:
            raise Interrupted
        return original(pixels, **options)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "augment", counted)
        with pytest.raises(Interrupted):
            call()


@pytest.mark.parametrize("stop", [1, 7, 11])
@pytest.mark.parametrize(
    ("spec", "entry"),
    [
        (NORMALISED, adversary("fgsm", eps_distribution="truncated_normal", clean_weight=0.5)),
        (DROPOUT, adversary(steps=3)),
    ],
    ids=["fgsm", "pgd"],
)
def test_a_killed_adversarial_training_resumes_bit_for_bit(tmp_path, monkeypatch, spec, entry, stop):
    settings = training(4, batch_size=16, momentum=0.9, flip=True, crop=1, adversary=entry)
    whole, model = build(spec, seed=0), build(spec, seed=0)
    history = fit(whole, TRAIN, VALIDATION, settings, seed=5)
    train = partial(fit, train=TRAIN, validation=VALIDATION, settings=settings, seed=5, resume_path=tmp_path / "resume")
    interrupted(monkeypatch, stop, lambda: train(build(spec, seed=0)))
    assert train(model) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


@pytest.mark.parametrize("change", [{"eps": 0.2}, {"steps": 3}, {"random_start": False}, {"norm": "l2"}], ids=str)
def test_the_state_of_another_adversary_is_ignored(tmp_path, change):
    path = tmp_path / "resume"
    fit(build(PLAIN, seed=0), TRAIN, EMPTY, training(1, adversary=adversary()), seed=0, resume_path=path)
    results = []
    for resume in (path, None):
        model = build(PLAIN, seed=0)
        settings = training(1, adversary=adversary(**change))
        results.append((fit(model, TRAIN, EMPTY, settings, seed=0, resume_path=resume), model.state_dict()))
    assert results[0][0] == results[1][0]
    assert_same_tensors(results[0][1], results[1][1])


# --- Extension -------------------------------------------------------------------------------------------------------


def extension(max_epochs, patience=1, tolerance=0.0):
    return {"max_epochs": max_epochs, "patience": patience, "tolerance": tolerance}


@pytest.mark.parametrize(
    ("losses", "patience", "tolerance", "on"),
    [
        ([], 1, 0, True),
        ([3], 1, 0, True),
        ([3, 4], 1, 0, True),
        ([3, 2, 1], 1, 0, True),
        ([3, 2, 2], 1, 0, False),
        ([3, 2, 2], 2, 0, True),
        ([3, 2, 2, 2], 2, 0, False),
        ([3, 2, 1.9], 1, 0.1, False),
        ([3, 2, 1.7], 1, 0.1, True),
        ([3, 2, 1, 2], 1, 0, False),
        ([9, 8, 7, 6, 5, 4], 1, 0, False),
    ],
)
def test_training_goes_on_while_the_adversarial_loss_falls(losses, patience, tolerance, on):
    settings = training(3, extend=extension(6, patience, tolerance))
    assert goes_on([{"adversarial_loss": loss} for loss in losses], settings) is on


def test_without_an_extension_training_ends_after_its_epochs():
    rows = [{"adversarial_loss": loss} for loss in (3, 2)]
    assert goes_on(rows[:1], training(2)) is True
    assert goes_on(rows, training(2)) is False


def test_an_extended_training_keeps_its_last_rate_and_resumes_bit_for_bit(tmp_path, monkeypatch):
    settings = training(2, batch_size=20, schedule="step", milestones=[1], adversary=adversary(steps=2))
    settings["extend"] = extension(5, tolerance=1e-9)
    whole, model = build(PLAIN, seed=0), build(PLAIN, seed=0)
    history = fit(whole, TRAIN, EMPTY, settings, seed=0)
    assert [row["learning_rate"] for row in history] == pytest.approx([0.05] + [0.005] * 4)
    train = partial(fit, train=TRAIN, validation=EMPTY, settings=settings, seed=0, resume_path=tmp_path / "resume")
    interrupted(monkeypatch, 7, lambda: train(build(PLAIN, seed=0)))
    assert train(model) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


def test_an_extended_cosine_stays_where_it_ended():
    settings = training(2, batch_size=20, schedule="cosine", adversary=adversary(steps=1), extend=extension(4, 3))
    history = fit(build(PLAIN, seed=0), TRAIN, EMPTY, settings, seed=0)
    assert [row["learning_rate"] for row in history[1:]] == [history[1]["learning_rate"]] * 3


def test_only_the_last_stage_of_a_finetuning_is_extended(tmp_path):
    settings = training(2, batch_size=20, adversary=adversary("fgsm"), extend=extension(3, patience=9))
    tune = Finetuner(TRAIN, EMPTY, settings, steps=2, step_epochs=1, seed=0, resume=tmp_path / "resume")
    model = build(PLAIN, seed=0)
    tune(model, {}, 0)
    tune(model, {}, 1)
    assert [(row["stage"], row["epoch"]) for row in tune.history] == [(1, 1), (2, 1), (2, 2), (2, 3)]


# --- Divergence ------------------------------------------------------------------------------------------------------


def diverging(**changes):
    """Four epochs of two batches; the third diverges with the fixture `rates`."""
    return training(4, batch_size=20, adversary=adversary("fgsm"), **changes)


@pytest.fixture
def rates(monkeypatch):
    """The third epoch's learning rate is 1e12 times too high."""
    original = loop.learning_rate

    def raised(settings, epoch, progress):
        return original(settings, epoch, progress) * (1e12 if epoch == 2 else 1)

    monkeypatch.setattr(loop, "learning_rate", raised)


def test_divergence_is_reported_and_keeps_what_was_finished(tmp_path, rates):
    path = tmp_path / "resume"
    with pytest.raises(Diverged, match=r"diverged in epoch 3 .*lower learning_rate: 0.05, or write restarts_on_diverg"):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, diverging(), seed=0, resume_path=path)
    before = path.read_bytes()
    with pytest.raises(Diverged):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, diverging(), seed=0, resume_path=path)
    assert path.read_bytes() == before
    model = build(PLAIN, seed=0)
    fit(model, TRAIN, EMPTY, {**diverging(), "epochs": 2}, seed=0)
    kept = read_arrays(path, [f"model.{name}" for name in model.state_dict()], framework="pt")
    assert_same_tensors({name.removeprefix("model."): kept[name] for name in kept}, model.state_dict())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_restart_goes_on_from_the_last_good_epoch_at_a_lower_rate(tmp_path, monkeypatch, rates, optimizer):
    options = {"optimizer": optimizer, "momentum": 0.9 if optimizer == "sgd" else 0, "learning_rate": 0.01}
    settings = diverging(restarts_on_divergence=1, divergence_factor=1e-13, **options)
    whole, model = build(PLAIN, seed=0), build(PLAIN, seed=0)
    history = fit(whole, TRAIN, VALIDATION, settings, seed=0)
    assert [row["restarts"] for row in history] == [0, 0, 1, 1]
    assert [row["learning_rate"] for row in history] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-15])
    assert summary(settings, history)["restarts"] == 1
    train = partial(fit, train=TRAIN, validation=VALIDATION, settings=settings, seed=0, resume_path=tmp_path / "resume")
    for stop in (3, 3, 2):  # killed before, in and after the epoch that diverges
        interrupted(monkeypatch, stop, lambda: train(build(PLAIN, seed=0)))
    assert train(model) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


def test_a_diverged_training_goes_on_once_a_restart_is_allowed(tmp_path, monkeypatch, rates):
    path, options = tmp_path / "resume", {"divergence_factor": 1e-12}
    with pytest.raises(Diverged):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, diverging(**options), seed=0, resume_path=path)
    settings = diverging(restarts_on_divergence=1, **options)
    model, whole = build(PLAIN, seed=0), build(PLAIN, seed=0)
    history = fit(whole, TRAIN, EMPTY, settings, seed=0)
    assert fit(model, TRAIN, EMPTY, settings, seed=0, resume_path=path) == history
    assert_same_tensors(model.state_dict(), whole.state_dict())


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_weights_that_break_between_two_batches_are_divergence_not_an_error_of_the_attack(method):
    settings = training(1, batch_size=8, learning_rate=1e36, adversary=adversary(method))
    with pytest.raises(Diverged, match=r"training diverged in epoch 1 \(mean loss (nan|inf)\)"):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, settings, seed=0)


def test_restarts_end(rates):
    settings = diverging(restarts_on_divergence=2, divergence_factor=0.5)
    with pytest.raises(Diverged, match="restarts_on_divergence: 3"):
        fit(build(PLAIN, seed=0), TRAIN, EMPTY, settings, seed=0)


def test_a_restart_in_the_first_epoch_begins_with_the_first_weights():
    settings = training(1, batch_size=20, learning_rate=1e30, restarts_on_divergence=1, divergence_factor=1e-32)
    model, expected = build(NORMALISED, seed=0), build(NORMALISED, seed=0)
    fit(model, TRAIN, EMPTY, settings, seed=0)
    fit(expected, TRAIN, EMPTY, training(1, batch_size=20, learning_rate=1e30 * 1e-32), seed=0)
    assert_same_tensors(model.state_dict(), expected.state_dict())


class Confident(nn.Module):
    """Logits in favour of a wrong class, of one size in the first batches and of another afterwards."""

    def __init__(self, first, later, batches=2):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(10))
        self.sizes = iter([first] * batches)
        self.later = later

    def forward(self, pixels):
        size = next(self.sizes, self.later) if self.training else self.later
        logits = torch.tensor([float(size)] + [0.0] * 9) + self.shift
        return logits + 0 * pixels.flatten(1).sum(1, keepdim=True)


def fit_confident(*sizes):
    images, labels = TRAIN[0], torch.full((40,), 9)
    settings = training(2, batch_size=20, learning_rate=1e-9)
    return fit(Confident(*sizes), (images, labels), EMPTY, settings, seed=0)


@pytest.mark.parametrize(("later", "fine"), [(20, True), (30, False)])
def test_a_loss_ten_times_that_of_guessing_throughout_an_epoch_is_divergence(later, fine):
    if fine:
        assert fit_confident(0, later)[1]["train_loss"] == pytest.approx(later)
    else:
        with pytest.raises(Diverged, match=r"epoch 2 \(mean loss 30\)"):
            fit_confident(0, later)


@pytest.mark.parametrize(("later", "fine"), [(390, True), (410, False)])
def test_a_training_that_begins_with_a_high_loss_diverges_at_ten_times_that(later, fine):
    if fine:
        assert fit_confident(40, later)[0]["train_loss"] == pytest.approx(40)
    else:
        with pytest.raises(Diverged):
            fit_confident(40, later)
