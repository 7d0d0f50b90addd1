"""One-shot ADMM: schedules by hand, a known support found, what a study says of it."""

from itertools import pairwise

import pytest
import torch
import yaml
from admm_examples import PGD, entry
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from model_examples import EXAMPLES, model_of, training
from study_examples import changed
from torch import nn

from squeezeproof.compression.compress import compress
from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable
from squeezeproof.errors import InputError
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.training.admm import Admm, stages
from squeezeproof.training.schedules import fractions, goes_on

properties = hypothesis_settings(max_examples=30)


def tensors(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {f"layer{index}": torch.randn(shape, generator=generator) for index, shape in enumerate(shapes)}


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
