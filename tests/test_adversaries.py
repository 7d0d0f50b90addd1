"""Adversaries of training: radii, what is crafted, what it leaves alone, and their config."""

import math

import pytest
import torch
from adversary_examples import (
    DROPOUT,
    NORMALISED,
    PLAIN,
    adversary,
    batch,
    crafted,
    half_model,
    quick,
)
from attack_fixtures import run
from hypothesis import given
from hypothesis import strategies as st
from model_examples import assert_same_tensors, model_of
from scipy import stats
from study_examples import changed
from torch import nn

from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.study.schema import check_config
from squeezeproof.training.adversaries import make_adversary, truncated_normal

# --- Radii -----------------------------------------------------------------------------------------------------------


def test_drawn_radii_have_the_moments_and_the_distribution_of_scipys_truncated_normal():
    reference = stats.truncnorm(0, 2, loc=0, scale=0.5)
    drawn = truncated_normal(1, torch.arange(40_000)).flatten().double().numpy()
    assert 0 <= drawn.min() < 1e-3 and 0.99 < drawn.max() <= 1
    for power in (1, 2, 3):
        assert (drawn**power).mean() == pytest.approx(reference.moment(power), abs=4e-3)
    assert stats.kstest(drawn, reference.cdf).pvalue > 1e-3


def test_the_radius_of_an_example_depends_on_the_seed_and_its_index_alone():
    draws = truncated_normal(1, torch.arange(9))
    assert torch.equal(draws.flip(0)[:4], truncated_normal(1, torch.tensor([8, 7, 6, 5])))
    assert not torch.equal(draws, truncated_normal(2, torch.arange(9)))


def test_fgsm_with_drawn_radii_moves_every_example_by_its_own():
    model, (pixels, labels) = model_of(PLAIN), batch(30)
    pixels = 0.25 + pixels / 2  # no pixel is cut off at the box
    points, eps = crafted(model, pixels, labels, "fgsm", eps=0.2, eps_distribution="truncated_normal")
    radii = 0.2 * truncated_normal(3, torch.arange(30)).flatten()
    torch.testing.assert_close((points - pixels).abs().flatten(1).amax(1), radii, rtol=0, atol=1e-6)
    assert eps == pytest.approx(radii.mean().item())


# --- Crafting --------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """Two classes and a known gradient: the second logit rises with weight @ x."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, pixels):
        score = pixels.flatten(1) @ self.weight
        return torch.stack([-score, score], 1)


@quick
@given(
    centers=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
    weight=st.lists(st.floats(0.125, 2, width=32), min_size=4, max_size=4),
    signs=st.lists(st.booleans(), min_size=4, max_size=4),
    eps=st.floats(0.01, 0.5),
    label=st.integers(0, 1),
    method=st.sampled_from(["fgsm", "pgd"]),
)
def test_on_a_linear_model_every_method_finds_the_corner_of_the_ball(centers, weight, signs, eps, label, method):
    pixels = torch.tensor(centers).view(1, 1, 2, 2)
    weight = torch.tensor(weight) * torch.tensor([1.0 if sign else -1.0 for sign in signs])
    points, radius = crafted(Linear(weight), pixels, torch.tensor([label]), method, eps=eps)
    towards = weight.sign().view_as(pixels) * (-1 if label else 1)
    torch.testing.assert_close(points, (pixels + eps * towards).clamp(0, 1), rtol=0, atol=1e-6)
    assert radius == eps


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("start", [False, True], ids=["from the image", "random start"])
def test_pgd_is_the_attack_of_that_name(norm, start):
    model, (pixels, labels) = model_of(PLAIN), batch(20)
    options = {"eps": 0.3, "alpha": 0.1, "steps": 4, "norm": norm, "random_start": start}
    points, _ = crafted(model, pixels, labels, seed=5, **options)
    if start:
        # The attack derives the seed of its run from its own.
        assert not torch.equal(points, crafted(model, pixels, labels, seed=6, **options)[0])
        assert ((points - pixels).flatten(1).norm(dim=1, p=math.inf if norm == "linf" else 2) <= 0.3 + 1e-5).all()
        return
    attack = run("pgd", model, pixels, labels, restarts=1, stop_on_success=False, keep="last", **options)
    torch.testing.assert_close(points, attack, rtol=0, atol=1e-6)


@quick
@given(
    method=st.sampled_from(["fgsm", "pgd"]),
    norm=st.sampled_from(["linf", "l2"]),
    start=st.booleans(),
    eps=st.floats(0.01, 0.9),
)
def test_points_lie_in_ball_and_box(method, norm, start, eps):
    pixels, labels = batch()
    points, _ = crafted(model_of(PLAIN), pixels, labels, method, norm=norm, random_start=start, eps=eps)
    delta = (points - pixels).flatten(1)
    assert (delta.norm(dim=1, p=math.inf if norm == "linf" else 2) <= eps + 1e-5).all()
    assert points.min() >= 0 and points.max() <= 1
    assert points.dtype == torch.float32 and not points.requires_grad


def test_the_step_of_pgd_is_a_2_5_th_of_the_ball_by_default():
    made = make_adversary(adversary(eps=0.3, steps=10, alpha=None), model_of(PLAIN))
    assert made.alpha == pytest.approx(0.075)


def test_normalized_space_with_half_normalisation_halves_eps_and_has_no_box():
    model = half_model()
    pixels, labels = batch(20)
    inside = 0.25 + pixels / 2
    options = {"steps": 5, "random_start": False}
    points, eps = crafted(model, inside, labels, eps=0.2, alpha=0.04, space="normalized", **options)
    expected, _ = crafted(model, inside, labels, eps=0.1, alpha=0.02, space="pixel", **options)
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-6)
    assert float(eps) == pytest.approx(0.1)
    points, _ = crafted(model, pixels, labels, eps=0.2, space="normalized", steps=5)
    assert points.min() < 0 and (points - pixels).abs().max() <= 0.1 + 1e-6


def test_normalized_space_needs_a_normalisation():
    with pytest.raises(InputError, match="write space: pixel"):
        make_adversary(adversary(space="normalized"), Linear(torch.ones(4)))


@pytest.mark.parametrize("spec", [NORMALISED, DROPOUT], ids=["batch normalisation", "dropout"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_crafting_leaves_model_and_generator_as_they_were_and_attacks_the_evaluated_model(spec, method):
    model, (pixels, labels) = model_of(spec).train(), batch()
    model.network[0].eval()  # a frozen layer stays frozen
    next(model.parameters()).requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    generator = torch.get_rng_state()
    points, _ = crafted(model, pixels, labels, method)
    assert_same_tensors(model.state_dict(), state)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(points, crafted(model.eval(), pixels, labels, method)[0])


def test_crafting_takes_one_forward_and_one_backward_pass_a_step():
    model, (pixels, labels) = model_of(PLAIN), batch()
    passes = []
    model.register_forward_hook(lambda module, inputs, output: passes.append(output.requires_grad))
    crafted(model, pixels, labels, steps=7)
    assert passes == [True] * 7


# --- The config ------------------------------------------------------------------------------------------------------

STUDY = """
study: small
datasets: {digits: {}}
architectures: {cnn8: {}}
trainings: {robust: {epochs: 4}}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
"""


def study(value, **others):
    entry = {"epochs": 4, "adversary": value, **others}
    return changed(STUDY, {"trainings.robust": entry, "finetunings.robust": entry})


def problems_of(config):
    with pytest.raises(ConfigError) as caught:
        Study(config)
    own = [problem for problem in caught.value.problems if problem.startswith("trainings.robust.")]
    assert len(caught.value.problems) == 2 * len(own)
    return [problem.removeprefix("trainings.robust.") for problem in own]


@pytest.mark.parametrize("method", registry.adversaries())
def test_an_adversary_is_filled_with_its_defaults(method):
    planned = Study(study({"method": method, "eps": "8/255"}))
    for settings in (planned.training_settings("robust"), planned.finetuning_settings("robust")):
        assert settings["adversary"] == adversary(method, eps=8 / 255)
        assert type(settings["adversary"]["eps"]) is float


def test_no_adversary_is_null():
    checked = check_config(study(None))
    assert checked["trainings"]["robust"]["adversary"] is None
    assert check_config(checked) == checked == check_config(changed(STUDY, {"finetunings.robust.epochs": 4}))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"eps": 0.1}, "adversary.method: missing; allowed: fgsm, pgd"),
        ({"method": "pgdd", "eps": 0.1}, "adversary.method: 'pgdd' is unknown, did you mean pgd?"),
        ("pgd", "adversary.eps: missing (Radius of the ball"),
        ([], "adversary: [] is neither a name nor a mapping of keys to values"),
        ({"method": "fgsm", "eps": 0.1, "steps": 2}, "adversary.steps: unknown"),
        ({"method": "pgd", "eps": 0.1, "clean_weight": 1.5}, "adversary.clean_weight: 1.5 is not in [0, 1]"),
        ({"method": "pgd", "eps": 8}, "adversary.eps: 8 is not in (0, 1]; pixels are in [0, 1], did you mean 8/255?"),
        ({"method": "pgd", "eps": 1, "norm": "l2", "space": "normalized"}, "adversary.norm: space: normalized"),
        (
            {"method": "fgsm", "eps": 1, "norm": "l2", "eps_distribution": "truncated_normal"},
            "adversary.eps_distribution: truncated_normal is for norm: linf",
        ),
    ],
    ids=str,
)
def test_a_wrong_adversary_is_one_problem_with_its_path(value, problem):
    [found] = problems_of(study(value))
    assert found.startswith(problem)


PGD = {"method": "pgd", "eps": 0.1}


@pytest.mark.parametrize(
    ("value", "others", "problem"),
    [
        (PGD, {"extend": {"max_epochs": 4}}, "extend.max_epochs: 4 in all, of which epochs: 4 come first"),
        (PGD, {"extend": {"max_epochs": 4}, "epochs": 0}, "extend.max_epochs: 4 in all, of which epochs: 0 come"),
        (PGD, {"extend": {"patience": 3}}, "extend.patience: nothing is extended without max_epochs; write such as 8"),
        (PGD, {"extend": {"max_epochs": 8}, "schedule": "cosine"}, "extend: cosine ends at a learning rate near 0"),
        (None, {"extend": {"max_epochs": 8}}, "extend: follows the adversarial loss, which needs an adversary"),
        ({**PGD, "clean_weight": 1}, {"extend": {"max_epochs": 8}}, "extend: follows the adversarial loss, which"),
        (PGD, {"extend": {"max_epoch": 8}}, "extend.max_epoch: unknown, did you mean max_epochs?"),
        (PGD, {"divergence_factor": 1}, "divergence_factor: 1 is not in (0, 1)"),
    ],
    ids=str,
)
def test_a_wrong_extension_or_restart_is_one_problem_with_its_path(value, others, problem):
    [found] = problems_of(study(value, **others))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "value",
    [
        {"method": "pgd", "eps": 1},
        {"method": "pgd", "eps": 8, "norm": "l2"},
        {"method": "pgd", "eps": 2, "space": "normalized"},
        {"method": "fgsm", "eps": "8/255", "eps_distribution": "truncated_normal", "clean_weight": 0.5},
    ],
    ids=str,
)
def test_an_adversary_at_its_limit_is_allowed(value):
    Study(study(value, extend={"max_epochs": 5}, schedule="step", milestones=3))
