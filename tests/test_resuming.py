"""A killed training or compression goes on bit for bit, and its history is a table."""

import csv
import logging

import pytest
from model_examples import assert_same_tensors, model_of, split, training
from training_examples import ALL, EMPTY, SMALL

from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prune_weights
from squeezeproof.models.build import build
from squeezeproof.training import loop
from squeezeproof.training.augmentation import augment
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.history import write_history
from squeezeproof.training.loop import HISTORY, fit


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
    assert caplog.messages[-1].startswith("4 of 4 epochs, 0 s left, loss ")


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
