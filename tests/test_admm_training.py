"""ADMM in trainings: what the history tells, masks that hold, resuming, digits kept."""

import csv

import pytest
import torch
from admm_examples import PGD, SPEC, entry, kept
from model_examples import assert_same_tensors, custom_spec, model_of, shape_of, split, training

from squeezeproof.compression.compress import compress
from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable
from squeezeproof.models.build import build, initial_model
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.predict import accuracy
from squeezeproof.training import loop
from squeezeproof.training.admm import Admm
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.history import summary, write_history
from squeezeproof.training.loop import HISTORY, fit
from squeezeproof.training.schedules import fractions

EMPTY, VALIDATION = split(0, 0), split(60, 90)
MEASURED = ["primal_residual", "sparsity", "rho"]
ACCURACIES = ["unprojected_accuracy", "projected_accuracy"]


def trained(epochs=6, *, validation=VALIDATION, resume_path=None, compression=None, **changes):
    """A small network, its masks and the history of an adversarial ADMM training."""
    model = build(SPEC, seed=0)
    settings = entry(**{"rho": 0.05, "rho_max": 5.0, **(compression or {})})
    recipe = training(epochs, batch_size=20, momentum=0.9, adversary={**PGD, "steps": 3}, **changes)
    solver = Admm(prunable(model), constraint(settings), settings)
    history = fit(model, split(0, 60), validation, recipe, seed=3, solver=solver, resume_path=resume_path)
    return model, solver, history


def test_the_history_tells_of_the_projection(tmp_path):
    model, _, history = trained()
    assert [list(row) for row in history] == [HISTORY + MEASURED] * 5 + [HISTORY + MEASURED + ACCURACIES]
    assert [row["eps"] for row in history] == pytest.approx([0.0999] * 2 + [0.2001] * 2 + [0.3] * 2)
    assert [row["sparsity"] for row in history] == pytest.approx(
        [*fractions(0.5, 4, "exponential"), 0.5, 0.5], abs=1e-3
    )
    assert [row["rho"] for row in history] == pytest.approx([0.05 * 1.3**count for count in range(1, 7)])
    assert all(row["primal_residual"] > 0 for row in history)
    assert history[-1]["unprojected_accuracy"] == history[-1]["validation_accuracy"]
    assert history[-1]["projected_accuracy"] == accuracy(model, *split(60, 90))
    write_history(tmp_path / "history.csv", history)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["stage", *HISTORY, *MEASURED, *ACCURACIES]
    assert rows[0]["projected_accuracy"] == ""
    told = summary({}, history)["projection"]
    assert told == {**{key: history[-1][key] for key in MEASURED + ACCURACIES}, "images": "validation"}


def test_without_validation_images_the_projection_is_judged_on_the_training_images():
    model, _, history = trained(2, validation=EMPTY)
    assert history[-1]["validation_accuracy"] is None
    assert history[-1]["projected_accuracy"] == accuracy(model, *split(0, 60))
    assert summary({}, history)["projection"]["images"] == "training"


def test_weights_outside_the_mask_are_zero_and_biases_are_spared():
    model, solver, _ = trained(3)
    assert solver.masks.keys() == prunable(model).keys()
    for name, weight in prunable(model).items():
        assert not weight[~solver.masks[name]].any()
    count = sum(weight.numel() for weight in prunable(model).values())
    assert kept(solver.masks) == count - round(0.5 * count)
    assert all(parameter.all() for name, parameter in model.named_parameters() if name.endswith("bias"))


def test_a_held_mask_stays_and_a_free_one_follows_the_weights(monkeypatch):
    seen = []
    original = Admm.measure

    def measured(self):
        seen.append({name: mask.clone() for name, mask in self.masks.items()})
        return original(self)

    monkeypatch.setattr(Admm, "measure", measured)
    _, solver, _ = trained(9, learning_rate=0.2)
    for masks in [*seen[5:], solver.masks]:
        assert_same_tensors(masks, seen[5])
    assert any(not torch.equal(seen[4][name], mask) for name, mask in seen[5].items())
    seen.clear()
    _, solver, _ = trained(9, learning_rate=0.2, compression={"mask": "free"})
    assert any(not torch.equal(seen[5][name], mask) for name, mask in solver.masks.items())


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 7, 14, 17])
@pytest.mark.parametrize("compression", [{}, {"scope": "redundant", "mask": "free"}, {"update_batches": 2}])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, monkeypatch, stop, compression):
    whole, solver, history = trained(compression=compression)
    augment, count = loop.augment, iter(range(10**6))

    def interrupted(pixels, **options):
        if next(count) == stop:
            raise Interrupted
        return augment(pixels, **options)

    monkeypatch.setattr(loop, "augment", interrupted)
    with pytest.raises(Interrupted):
        trained(compression=compression, resume_path=tmp_path / "resume")
    model, resumed, rows = trained(compression=compression, resume_path=tmp_path / "resume")
    assert next(count) == stop + 1 + 18 - 3 * (stop // 3)
    assert rows == history
    assert_same_tensors(model.state_dict(), whole.state_dict())
    assert_same_tensors(resumed.state_dict(), solver.state_dict())
    finished = trained(compression=compression, resume_path=tmp_path / "resume")
    assert finished[2] == history
    assert_same_tensors(finished[0].state_dict(), whole.state_dict())


def test_the_state_of_another_compression_is_ignored(tmp_path):
    trained(2, resume_path=tmp_path / "resume")
    other = trained(2, resume_path=tmp_path / "resume", compression={"rho": 0.07})
    assert other[2] == trained(2, compression={"rho": 0.07})[2]


def test_a_diverged_epoch_goes_back_with_the_solver(monkeypatch):
    rates = iter([0.05] * 6 + [1e30] * 3 + [0.05] * 99)
    monkeypatch.setattr(loop, "learning_rate", lambda *arguments: next(rates))
    _, solver, history = trained(4, restarts_on_divergence=1)
    assert [row["restarts"] for row in history] == [0, 0, 1, 1]
    assert [row["rho"] for row in history] == pytest.approx([0.05 * 1.3**count for count in range(1, 5)])
    assert all(u.isfinite().all() for u in solver.u.values())


# Compression


def tuned(path, recipe):
    data = split(0, 1000), split(1000, 1400)
    return Finetuner(*data, recipe, steps=1, step_epochs=0, seed=0, resume=path / "resume")


@pytest.mark.parametrize("start", ["scratch", "base"])
def test_admm_starts_where_it_is_told(tmp_path, start):
    model, initial = model_of(SPEC, seed=7), initial_model(SPEC, 0)
    expected = {
        name: tensor.clone() for name, tensor in (initial if start == "scratch" else model).state_dict().items()
    }
    seen = []

    def train_on(model, masks, stage, solver):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    compress(Task(model, shape_of(SPEC), entry(start=start), train_on, initial=lambda: initial))
    assert_same_tensors(seen[0], expected)


def test_digits_keep_their_accuracy_at_half_the_weights(tmp_path):
    spec, test = custom_spec("flattened", width=16), split(1000, 1797)
    recipe = training(10, batch_size=25, optimizer="adam", learning_rate=0.003, schedule="one-cycle")
    dense, model = initial_model(spec, 0), model_of(spec)
    fit(dense, split(0, 1000), EMPTY, recipe, seed=0)
    tune = tuned(tmp_path, recipe)
    settings = entry(update_batches=20, rho_max=1)
    masks = compress(Task(model, shape_of(spec), settings, tune, initial=lambda: initial_model(spec, 0)))
    assert accuracy(dense, *test) > 0.9
    assert accuracy(model, *test) > accuracy(dense, *test) - 0.03
    assert not any(weight[~masks[name]].any() for name, weight in prunable(model).items())


@pytest.mark.parametrize("scope", ["global", "layer", "funnel", "redundant"])
def test_the_mask_holds_in_the_checkpoint(tmp_path, scope):
    model, tune = model_of(SPEC), tuned(tmp_path, training(2, batch_size=200))
    masks = compress(Task(model, shape_of(SPEC), entry(scope=scope, start="base"), tune))
    save_model(tmp_path / "model", model, SPEC, masks, name="x")
    loaded, loaded_masks, _ = load_model(tmp_path / "model")
    assert_same_tensors(loaded_masks, masks)
    weights = prunable(loaded)
    assert not any(weight[~masks[name]].any() for name, weight in weights.items())
    assert kept(masks) == pytest.approx(sum(weight.numel() for weight in weights.values()) / 2, abs=1)
    tune.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
