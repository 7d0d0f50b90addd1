"""One-shot ADMM: schedules by hand, a known support found, digits kept, resuming."""

import csv
from itertools import pairwise

import pytest
import torch
import yaml
from entry_examples import complete
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_examples import EXAMPLES, assert_same_tensors, custom_spec, model_of, shape_of, split, training
from study_examples import changed
from torch import nn

from squeezeproof.compression.compress import compress
from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable
from squeezeproof.errors import InputError
from squeezeproof.models.build import build, initial_model
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.predict import accuracy
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.training import loop
from squeezeproof.training.admm import Admm, stages
from squeezeproof.training.finetuning import Finetuner
from squeezeproof.training.history import summary, write_history
from squeezeproof.training.loop import HISTORY, fit
from squeezeproof.training.schedules import fractions, goes_on

properties = hypothesis_settings(max_examples=30)
SPEC = custom_spec("all_convolutional", width=8)
EMPTY, VALIDATION = split(0, 0), split(60, 90)
MEASURED = ["primal_residual", "sparsity", "rho"]
ACCURACIES = ["unprojected_accuracy", "projected_accuracy"]
PGD = complete("adversaries", "pgd", eps=0.3, steps=6, clean_weight=0.1)


def entry(ratio=0.5, **changes):
    """A checked compression entry of method admm at one ratio."""
    return complete("compressions", "admm", ratio=ratio, **changes)


def tensors(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {f"layer{index}": torch.randn(shape, generator=generator) for index, shape in enumerate(shapes)}


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


# Schedules


def test_stages_of_nine_epochs():
    plan = stages(entry(0.6, first_steps=1 / 3, schedule="linear"), 9)
    assert [stage.eps for stage in plan] == [0.333] * 3 + [0.667] * 3 + [1] * 3
    assert [6 * stage.steps for stage in plan] == pytest.approx([2, 4, 6] * 3)
    assert [stage.removed for stage in plan] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6])
    assert [stage.held for stage in plan] == [False] * 6 + [True] * 3
    assert not any(stage.held for stage in stages(entry(mask="free"), 9))


@properties
@given(
    epochs=st.integers(1, 300),
    levels=st.integers(1, 6),
    reach=st.floats(0.01, 1),
    ratio=st.floats(0.01, 0.99),
    schedule=st.sampled_from(["linear", "exponential"]),
)
def test_stages_of_any_length_end_at_the_full_adversary_and_the_ratio(epochs, levels, reach, ratio, schedule):
    eps_levels = [(index + 1) / levels for index in range(levels)]
    plan = stages(entry(ratio, eps_levels=eps_levels, reach=reach, schedule=schedule), epochs)
    assert (len(plan), plan[-1].eps, plan[-1].steps, plan[-1].removed) == (epochs, 1, 1, ratio)
    for epoch, (before, after) in enumerate(pairwise(plan), start=2):
        assert after.removed >= before.removed
        assert after.eps == eps_levels[-(-levels * epoch // epochs) - 1] >= before.eps
        if after.eps == before.eps:
            assert after.steps >= before.steps
        elif epoch < epochs and plan[epoch].eps == after.eps:
            assert after.steps == 0.333
    due = max(1, int(reach * epochs))
    assert [stage.removed == ratio for stage in plan] == [False] * (due - 1) + [True] * (epochs - due + 1)
    assert [stage.held for stage in plan] == [False] * due + [True] * (epochs - due)
    assert [stage.removed for stage in plan[:due]] == fractions(ratio, due, schedule)


def solver_of(weights, epochs, **changes):
    settings = entry(**changes)
    solver = Admm(weights, constraint(settings), settings)
    solver.plan(epochs)
    return solver


def adversaries(settings, epochs=9, **changes):
    solver = solver_of(tensors((4, 4)), epochs, **changes)
    found = []
    for epoch in range(epochs):
        solver.begin(epoch)
        found.append(solver.adversary(settings))
    return found


def test_the_adversary_grows_with_the_stages():
    found = adversaries({**PGD, "alpha": None})
    assert [row["eps"] for row in found] == pytest.approx([0.0999] * 3 + [0.2001] * 3 + [0.3] * 3)
    assert [row["steps"] for row in found] == [2, 4, 6] * 3
    assert {row["alpha"] for row in found} == {None}
    assert found[-1] == {**PGD, "alpha": None}
    assert [row["alpha"] for row in adversaries({**PGD, "alpha": 0.3})] == [row["eps"] for row in found]
    fgsm = adversaries({"method": "fgsm", "eps": 0.3}, eps_levels=[0, 1])
    assert fgsm == [None] * 4 + [{"method": "fgsm", "eps": 0.3}] * 5
    assert adversaries(None) == [None] * 9


def test_only_epochs_of_the_full_adversary_decide_on_an_extension():
    settings = training(3, extend={"max_epochs": 9, "patience": 1, "tolerance": 0.01})
    history = [{"adversarial_loss": loss} for loss in (None, 0.1, 3.0, 2.0)]
    assert goes_on(history, settings, since=2)
    assert not goes_on(history[1:], settings)
    solver = solver_of(tensors((4, 4)), 9)
    assert solver.settled == 8


# The solver


@pytest.mark.parametrize("changes", [{}, {"mask": "free"}, {"update_batches": 3}, {"schedule": "linear", "reach": 1.0}])
def test_the_solver_finds_the_support_of_a_sparse_regression(changes):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 40, generator=generator)
    truth = torch.zeros(40)
    truth[torch.randperm(40, generator=generator)[:6]] = torch.tensor([1.0, -1, 0.5, -0.5, 2, -2])
    targets = inputs @ truth + 0.05 * torch.randn(200, generator=generator)
    weight = nn.Parameter(torch.zeros(40))
    optimizer = torch.optim.SGD([weight], lr=0.05)
    solver = solver_of({"weight": weight}, 30, ratio=34 / 40, rho=0.1, rho_max=1, **changes)
    residuals = []
    for epoch in range(30):
        solver.begin(epoch)
        for batch in range(10):
            solver.before(batch)
            optimizer.zero_grad()
            ((inputs @ weight - targets) ** 2).mean().backward()
            solver.add_gradients()
            optimizer.step()
            solver.after(batch, 10)
        residuals.append(solver.measure()["primal_residual"])
    solver.finish(lambda: None)
    assert torch.equal(weight != 0, truth != 0)
    # Not shrunk: the penalty draws to the set, not to zero.
    assert torch.allclose(weight.detach(), truth, atol=0.05)
    assert residuals[-1] < 0.01 < residuals[0]


def test_one_period_by_hand():
    weight = nn.Parameter(torch.tensor([3.0, 1.0]))
    solver = solver_of({"weight": weight}, 1, ratio=0.5, rho=0.5, rho_growth=4, rho_max=1.5)
    solver.u["weight"] += torch.tensor([0.0, 2.0])
    solver.before(0)
    assert solver.masks["weight"].tolist() == [False, True]  # of (3, 1 + 2 / 0.5)
    weight.grad = torch.tensor([10.0, 10.0])
    solver.add_gradients()
    assert weight.grad.tolist() == [10 + 0.5 * 3, 10 + 2 + 0.5 * (1 - 5)]
    solver.after(0, 2)  # the period is the epoch: nothing moves yet
    assert (solver.u["weight"].tolist(), solver.rho) == ([0, 2], 0.5)
    solver.after(1, 2)
    assert (solver.u["weight"].tolist(), solver.rho) == ([0.5 * 3, 2 + 0.5 * (1 - 5)], 1.5)
    assert solver.measure() == {"primal_residual": pytest.approx((5 / 2) ** 0.5), "sparsity": 0.5, "rho": 1.5}


def test_the_period_is_counted_in_batches_and_ends_with_the_epoch():
    weight = nn.Parameter(torch.arange(1.0, 5))
    calls, settings = [], entry(update_batches=2, reach=1.0)
    solver = Admm(
        {"weight": weight}, lambda values, fraction, final: calls.append(1) or {"weight": weight > 2}, settings
    )
    solver.plan(4)
    for batch in range(5):
        solver.before(batch)
        solver.after(batch, 5)
    assert len(calls) == 3
    assert solver.rho == pytest.approx(0.001 * 1.3**3)


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


def test_layers_are_in_the_order_in_which_they_run():
    model, orders = model_of(EXAMPLES["residual"]), []
    compress(
        Task(
            model,
            (3, 8, 8),
            entry(start="base"),
            lambda model, masks, stage, solver: orders.append(list(solver.weights)),
        )
    )
    assert sorted(orders[0]) == sorted(prunable(model))
    assert orders[0].index("network.gate.0.weight") < orders[0].index("network.second.0.weight")
    assert orders[0][-1] == "network.fc.weight"


def test_a_funnel_that_cannot_be_is_refused_before_the_training():
    with pytest.raises(InputError, match=r"leaves none in|raise funnel_slope"):
        compress(
            Task(
                model_of(EXAMPLES["residual"]),
                (3, 8, 8),
                entry(0.99, start="base", scope="funnel", funnel_slope=0.01),
                lambda *_: pytest.fail("trained"),
            )
        )


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


# The study


CONFIG = """
study: small
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 1}}
finetunings: {robust: {epochs: 9, adversary: {method: pgd, eps: 8/255, clean_weight: 0.1}}}
compressions: {admm: {ratio: [0.5, 0.9]}}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
"""


def problems_of(changes):
    with pytest.raises(ConfigError) as caught:
        Study(changed(CONFIG, changes))
    return caught.value.problems


def test_the_plan_names_admm_by_its_ratio():
    study = Study(yaml.safe_load(CONFIG))
    assert list(study.compressions) == ["admm-50", "admm-90"]
    assert study.compressions["admm-90"].settings == entry(0.9)
    described = study.describe("digits", "cnn3.standard.admm-90.robust.s0")
    assert (described["compression"], described["ratio"], described["bits"]) == ("admm", 0.9, 32)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"variants": [{"finetunings": ["none"]}]},
            "compressions.admm: admm compresses while it trains, for the epochs of a fine-tuning, and variants selects "
            "it with none; name an entry of finetunings there, with the epochs, optimizer and adversary of the "
            "training",
        ),
        (
            {"finetunings.robust.epochs": 0},
            "finetunings.robust.epochs: 0 trains nothing, which compressions.admm needs (method: admm)",
        ),
        (
            {"compressions.admm.rho_max": 50},
            "compressions.admm.rho_max: 50 times learning_rate: 0.05 of finetunings.robust is 2 or more, and every "
            "step would overshoot the projection; write less than 40",
        ),
        (
            {"compressions.admm.rho_max": 0.0001},
            "compressions.admm.rho_max: 0.0001 is less than rho: 0.001; write at least that",
        ),
        (
            {"compressions.admm.eps_levels": [0.5, 0.25]},
            "compressions.admm.eps_levels: [0.5, 0.25] do not rise to 1; write [0.25, 0.5, 1.0]",
        ),
        (
            {"compressions.admm.scope": "irregular"},
            "compressions.admm.scope: 'irregular' is unknown; allowed: global, layer, funnel, redundant",
        ),
        ({"compressions.admm.steps": 3}, None),
        (
            {"architectures.cnn3": {"kind": "custom", "factory": "m:f", "checkpoint": "w.safetensors"}},
            "compressions.admm.start: scratch means random weights, and architectures.cnn3 starts from a checkpoint; "
            "write start: base, or leave the two out of one selection of variants",
        ),
    ],
)
def test_contradictions(changes, problem):
    found = problems_of(changes)
    assert len(found) == 1
    assert found == [problem] if problem else found[0].startswith("compressions.admm.steps: unknown")
