"""Attacks: closed forms, what they promise, the bookkeeping of craft(), and models that would mislead them."""

import inspect
import itertools
import math
import random

import numpy as np
import pytest
import torch
from attack_fixtures import close_examples, held_out, network, pixels, run, settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.ball import norms, project, random_point, steepest
from squeezeproof.attacks.craft import SLACK, check_inside, check_stored, craft
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import LOSSES, cross_entropy, dlr, fooled, margin
from squeezeproof.attacks.random import normal, uniform
from squeezeproof.attacks.registry import ATTACKS
from squeezeproof.compression.compress import compress
from squeezeproof.errors import InputError
from squeezeproof.seeds import derive_seed
from squeezeproof.store.adversarial import open_set, save_set
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.tensors import read_arrays
from squeezeproof.study.schema import load_schema

NORMS = ("linf", "l2")
EPS = {"linf": 0.15, "l2": 0.6}

quick = hypothesis_settings(max_examples=50, deadline=None, derandomize=True)


# --- Closed form: on a linear model the strongest perturbation of a ball is known ------------------------------------


FULL_STEPS = {
    "fgsm": ("fgsm", {}),
    "bim": ("bim", {"steps": 10}),
    "bim-last": ("bim", {"steps": 10, "keep": "last"}),
    "pgd": ("pgd", {"steps": 12, "alpha": 0.1}),
    "pgd-last": ("pgd", {"steps": 12, "alpha": 0.1, "keep": "last"}),
    "pgd-restarts": ("pgd", {"steps": 12, "alpha": 0.1, "restarts": 2, "keep": "last"}),
    "pgd-no-start": ("pgd", {"steps": 10, "random_start": False}),
}
attacks = pytest.mark.parametrize("name", FULL_STEPS)
both_norms = pytest.mark.parametrize("norm", NORMS)
SHAPE = (3, 4, 5)
REACH = 0.1


def linear(weight, bias):
    """The model x -> weight x + bias on images of SHAPE."""
    layer = nn.Linear(*reversed(weight.shape))
    layer.load_state_dict({"weight": weight, "bias": bias})
    return nn.Sequential(nn.Flatten(), layer)


def interior(generator, count=40):
    """Images that stay inside the box under any perturbation of norm REACH."""
    return REACH + (1 - 2 * REACH) * torch.rand(count, *SHAPE, generator=generator)


def dual(weight, norm):
    """The most that a perturbation of unit norm adds to weight @ x."""
    return weight.abs().sum(-1) if norm == "linf" else weight.norm(dim=-1)


@attacks
@both_norms
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_two_classes_reach_the_worst_margin_of_the_ball(name, norm, loss):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2, math.prod(SHAPE), generator=generator)
    model = linear(weight, torch.tensor([0.3, -0.2]))
    inputs, labels = interior(generator), torch.arange(40) % 2
    method, options = FULL_STEPS[name]

    points = run(method, model, inputs, labels, eps=REACH, norm=norm, loss=loss, **options)

    worst = margin(model(inputs), labels) + REACH * dual(weight[0] - weight[1], norm)
    torch.testing.assert_close(margin(model(points), labels), worst, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cross_entropy(model(points), labels), functional.softplus(worst), rtol=1e-5, atol=1e-5)


@attacks
@both_norms
def test_many_classes_reach_the_worst_margin_where_one_class_is_nearest(name, norm):
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(7, math.prod(SHAPE), generator=generator)
    # Class 3 stays the runner-up in the whole ball, so the margin is linear there.
    model = linear(weight, torch.tensor([0.0, 0.0, 0.0, 80.0, 0.0, 0.0, 0.0]))
    inputs, labels = interior(generator), torch.tensor([0, 1, 2, 4, 5, 6] * 7)[:40]
    method, options = FULL_STEPS[name]

    points = run(method, model, inputs, labels, eps=REACH, norm=norm, loss="margin", **options)

    worst = margin(model(inputs), labels) + REACH * dual(weight[3] - weight[labels], norm)
    torch.testing.assert_close(margin(model(points), labels), worst, rtol=1e-5, atol=1e-5)


@attacks
@both_norms
def test_many_classes_reach_the_worst_cross_entropy_where_it_is_monotone(name, norm):
    generator = torch.Generator().manual_seed(3)
    direction = torch.randn(math.prod(SHAPE), generator=generator)
    # Logit j is j * (direction @ x) + bias: the loss of the first and of the last class is monotone in direction @ x.
    slopes = torch.arange(5.0)
    bias = torch.tensor([0.4, -0.3, 0.2, 0.0, 0.1])
    model = linear(slopes[:, None] * direction, bias)
    inputs, labels = interior(generator) - 0.5 * direction.view(SHAPE) / direction.norm() ** 2, torch.arange(40) % 2 * 4
    inputs = inputs.clamp(REACH, 1 - REACH)
    method, options = FULL_STEPS[name]

    points = run(method, model, inputs, labels, eps=REACH, norm=norm, **options)

    reached = inputs.flatten(1) @ direction + torch.where(labels == 0, 1, -1) * REACH * dual(direction, norm)
    worst = cross_entropy(slopes * reached[:, None] + bias, labels)
    torch.testing.assert_close(cross_entropy(model(points), labels), worst, rtol=1e-5, atol=1e-5)


@attacks
def test_linf_at_the_edge_of_the_box_reaches_the_worst_corner_of_ball_and_box(name):
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(2, math.prod(SHAPE), generator=generator)
    model = linear(weight, torch.zeros(2))
    inputs = torch.randint(0, 2, (40, *SHAPE), generator=generator).float()
    labels = torch.arange(40) % 2
    method, options = FULL_STEPS[name]

    points = run(method, model, inputs, labels, eps=REACH, norm="linf", loss="margin", **options)

    uphill = (weight[1 - labels] - weight[labels]).sign().view_as(inputs)
    torch.testing.assert_close(points, (inputs + REACH * uphill).clamp(0, 1), rtol=0, atol=1e-6)


@attacks
@both_norms
@pytest.mark.parametrize("loss", LOSSES)
def test_no_attack_exceeds_the_worst_margin_of_the_ball(name, norm, loss):
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(10, math.prod(SHAPE), generator=generator)
    model = linear(weight, torch.zeros(10))
    inputs, labels = interior(generator), torch.arange(40) % 10
    method, options = FULL_STEPS[name]

    points = run(method, model, inputs, labels, eps=REACH, norm=norm, loss=loss, **options)

    clean = model(inputs)
    reachable = clean - clean.gather(1, labels[:, None]) + REACH * dual(weight - weight[labels][:, None], norm)
    worst = reachable.scatter(1, labels[:, None], float("-inf")).amax(1)
    assert (margin(model(points), labels) <= worst + 1e-4).all()
    # The difference of logits ratio saturates once an example is misclassified.
    assert loss == "dlr" or (margin(model(points), labels) > margin(clean, labels)).all()


# --- The ball and the box --------------------------------------------------------------------------------------------


def images_in(low, high):
    numbers = st.floats(low, high, width=32, allow_nan=False, allow_subnormal=False)
    return arrays(np.float32, (2, 1, 1, 2), elements=numbers).map(torch.from_numpy)


in_box, anywhere = images_in(0, 1), images_in(-3, 4)
radii = st.floats(0.0009765625, 2, width=32)


@quick
@given(points=anywhere, centers=in_box, eps=radii, norm=st.sampled_from(NORMS))
def test_project_lands_in_ball_and_box_and_stays_there(points, centers, eps, norm):
    projected = project(points, centers, eps, norm)
    assert projected.dtype == torch.float32 and projected.min() >= 0 and projected.max() <= 1
    assert (norms(projected - centers, norm) <= eps + SLACK).all()
    check_inside(centers, projected, eps, norm)
    again = project(projected, centers, eps, norm)
    torch.testing.assert_close(again, projected, rtol=0, atol=0 if norm == "linf" else 5e-7)


@quick
@given(points=in_box, centers=in_box, norm=st.sampled_from(NORMS))
def test_project_leaves_points_inside_where_they_are(points, centers, norm):
    eps = norms(points - centers, norm).max().item() * 1.01 + 1e-3
    torch.testing.assert_close(project(points, centers, eps, norm), points, rtol=0, atol=2e-7)


@quick
@given(points=anywhere, others=anywhere, centers=in_box, eps=radii)
def test_project_linf_is_the_nearest_point_in_every_coordinate(points, others, centers, eps):
    inside = torch.maximum(torch.minimum(others, centers + eps), centers - eps).clamp(0, 1)
    assert ((points - project(points, centers, eps, "linf")).abs() <= (points - inside).abs() + 1e-6).all()


@quick
@given(points=anywhere, centers=images_in(0.4375, 0.5625), eps=st.floats(0.0009765625, 0.375, width=32))
def test_project_l2_moves_outside_points_radially_onto_the_sphere(points, centers, eps):
    delta = points - centers
    outside = norms(delta, "l2") > eps * 1.001
    moved = project(points, centers, eps, "l2") - centers
    nearest = delta * (eps / norms(delta, "l2"))[:, None, None, None]
    torch.testing.assert_close(moved[outside], nearest[outside], rtol=0, atol=1e-6)


def test_project_leaves_its_arguments_alone():
    points, centers = torch.full((1, 1, 2, 2), 3.0), torch.full((1, 1, 2, 2), 0.5)
    for norm in NORMS:
        project(points, centers, 0.1, norm)
    assert (points == 3).all() and (centers == 0.5).all()


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1e-8, 1.0, 1e30])
def test_steepest_has_unit_norm_for_gradients_of_any_size(scale):
    gradient = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0)).sign() * scale
    assert (gradient != 0).all()
    for norm in NORMS:
        direction = steepest(gradient, norm)
        torch.testing.assert_close(norms(direction, norm), torch.ones(4))
        torch.testing.assert_close(direction.sign(), gradient.sign())


@both_norms
def test_steepest_of_a_zero_gradient_is_zero_and_disturbs_no_neighbour(norm):
    gradient = torch.randn(3, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = steepest(gradient, norm)
    gradient[1] = 0
    expected[1] = 0
    assert torch.equal(steepest(gradient, norm), expected)


@quick
@given(gradient=anywhere, other=anywhere, norm=st.sampled_from(NORMS))
def test_steepest_raises_a_linear_loss_most(gradient, other, norm):
    rival = other / norms(other, norm).clamp_min(1e-6)[:, None, None, None]
    gain = (steepest(gradient, norm) * gradient).flatten(1).sum(1)
    torch.testing.assert_close(gain, dual(gradient.flatten(1), norm), rtol=1e-4, atol=1e-5)
    assert ((rival * gradient).flatten(1).sum(1) <= gain + 1e-4).all()


@quick
@given(centers=in_box, eps=radii, norm=st.sampled_from(NORMS), seed=st.integers(0, 2**63 - 1))
def test_random_point_is_inside_ball_and_box(centers, eps, norm, seed):
    check_inside(centers, random_point(centers, eps, norm, seed, torch.arange(2)), eps, norm)


def test_random_point_fills_the_linf_ball_evenly():
    centers, eps = torch.full((4000, 1, 2, 3), 0.5), 0.25
    noise = (random_point(centers, eps, "linf", derive_seed("linf"), torch.arange(4000)) - centers) / eps
    for coordinate in noise.flatten(1).T:
        assert stats.kstest(coordinate.numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3
    correlation = np.corrcoef(noise.flatten(1).T.numpy()) - np.eye(6)
    assert np.abs(correlation).max() < 4 / math.sqrt(4000)


def test_random_point_fills_the_l2_ball_evenly():
    centers, eps = torch.full((4000, 1, 2, 3), 0.5), 0.25
    delta = (random_point(centers, eps, "l2", derive_seed("l2"), torch.arange(4000)) - centers).flatten(1) / eps
    radius = delta.norm(dim=1)
    # The volume inside radius r grows as r**6.
    assert stats.kstest((radius**6).numpy(), "uniform").pvalue > 1e-3
    direction = (delta / radius[:, None]).double()
    # The square of one coordinate of a uniform direction in R^6 is Beta(1/2, 5/2).
    for coordinate in direction.T:
        assert stats.kstest((coordinate**2).numpy(), stats.beta(0.5, 2.5).cdf).pvalue > 1e-3
    assert direction.mean(0).abs().max() < 4 / math.sqrt(6 * 4000)
    assert (direction.T @ direction / 4000 - torch.eye(6) / 6).abs().max() < 0.02
    assert np.abs(np.corrcoef(radius, direction.T**2)[0, 1:]).max() < 4 / math.sqrt(4000)


# --- Random numbers --------------------------------------------------------------------------------------------------


def splitmix(state):
    """SplitMix64's output function as published (Steele et al. 2014), in unbounded integers."""
    state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ state >> 27) * 0x94D049BB133111EB) % 2**64
    return state ^ state >> 31


def reference(seed, example, stream, position):
    start = splitmix((splitmix((splitmix(example) + seed) % 2**64) + stream) % 2**64)
    return (splitmix((start + position * 0x9E3779B97F4A7C15) % 2**64) >> 40) / 2**24


def test_the_reference_gives_the_published_numbers():
    found = [splitmix((1234567 + step * 0x9E3779B97F4A7C15) % 2**64) for step in (1, 2, 3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@quick
@given(seed=st.integers(0, 2**63 - 1), example=st.integers(0, 10**7), stream=st.integers(0, 3))
def test_uniform_is_splitmix64_bit_for_bit(seed, example, stream):
    drawn = uniform(seed, torch.tensor([example]), (1, 2, 2), stream)
    assert drawn.dtype == torch.float32 and drawn.shape == (1, 1, 2, 2)
    assert drawn.flatten().tolist() == [reference(seed, example, stream, position) for position in range(4)]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 0x9E3779B97F4A7C15 >> 1])
def test_uniform_is_uniform(seed):
    drawn = uniform(seed, torch.arange(500), (200,), stream=0).flatten().double()
    count = len(drawn)
    assert drawn.min() >= 0 and drawn.max() < 1
    assert abs(drawn.mean().item() - 1 / 2) < 4 * math.sqrt(1 / 12 / count)
    assert abs(drawn.var().item() - 1 / 12) < 4 * math.sqrt(1 / 180 / count)
    assert stats.kstest(drawn.numpy(), "uniform").pvalue > 1e-3
    bits = (drawn * 2**24).long()[:, None] >> torch.arange(24) & 1
    assert (bits.double().mean(0) - 0.5).abs().max() < 4.5 / 2 / math.sqrt(count)


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_normal_is_normal(seed):
    drawn = normal(seed, torch.arange(500), (200,), stream=0).flatten().double()
    count = len(drawn)
    assert torch.isfinite(drawn).all()
    assert abs(drawn.mean().item()) < 4 / math.sqrt(count)
    assert abs(drawn.var().item() - 1) < 4 * math.sqrt(2 / count)
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("draw", [uniform, normal])
def test_neighbours_streams_and_seeds_are_independent(draw):
    examples, shape = torch.arange(300), (300,)
    first = draw(5, examples, shape, stream=0)
    others = {
        "positions": (first[:, 1:], first[:, :-1]),
        "examples": (first[1:], first[:-1]),
        "streams": (draw(5, examples, shape, stream=2), first),
        "seeds": (draw(6, examples, shape, stream=0), first),
        "squares": ((first[:, 1:] - first.mean()) ** 2, (first[:, :-1] - first.mean()) ** 2),
    }
    for name, (one, other) in others.items():
        correlation = np.corrcoef(one.flatten().numpy(), other.flatten().numpy())[0, 1]
        assert abs(correlation) < 4 / math.sqrt(one.numel()), name


def test_no_two_seeds_share_numbers():
    drawn = {
        (seed, example): tuple(row.tolist())
        for seed in (0, 1, 2, 3, 2**62, 2**63 - 1)
        for example, row in enumerate(uniform(seed, torch.arange(50), (4,), stream=0))
    }
    assert len(set(drawn.values())) == len(drawn)


def test_pairs_of_neighbours_fill_the_unit_square_evenly():
    drawn = uniform(11, torch.arange(400), (200,), stream=0)
    cells = (drawn[:, ::2] * 16).long() * 16 + (drawn[:, 1::2] * 16).long()
    assert stats.chisquare(torch.bincount(cells.flatten(), minlength=256).numpy()).pvalue > 1e-3


@quick
@given(order=st.permutations(range(8)), split=st.integers(1, 7), draw=st.sampled_from([uniform, normal]))
def test_random_numbers_do_not_depend_on_how_examples_are_batched(order, split, draw):
    whole = draw(3, torch.arange(8), (2, 3), stream=0)
    order = torch.tensor(order)
    assert torch.equal(draw(3, order, (2, 3), stream=0), whole[order])
    parts = [draw(3, part, (2, 3), stream=0) for part in (torch.arange(split), torch.arange(split, 8))]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_uniform_is_the_same_on_a_gpu():
    examples = torch.arange(50)
    assert torch.equal(uniform(9, examples.cuda(), (100,), stream=1).cpu(), uniform(9, examples, (100,), stream=1))


# --- Losses ----------------------------------------------------------------------------------------------------------


def some_logits(count=200, classes=10):
    generator = torch.Generator().manual_seed(8)
    return 5 * torch.randn(count, classes, generator=generator), torch.arange(count) % classes


def test_dlr_is_the_formula_of_the_paper():
    logits, labels = some_logits()
    for row, label, value in zip(logits.tolist(), labels.tolist(), dlr(logits, labels).tolist(), strict=True):
        ranked = sorted(row, reverse=True)
        other = max(logit for index, logit in enumerate(row) if index != label)
        assert value == pytest.approx(-(row[label] - other) / (ranked[0] - ranked[2]), rel=1e-5, abs=1e-6)


def test_dlr_does_not_depend_on_scale_or_shift_of_the_logits():
    logits, labels = some_logits()
    torch.testing.assert_close(dlr(100 * logits + 20, labels), dlr(logits, labels), rtol=1e-3, atol=1e-4)


def test_margin_is_positive_exactly_where_misclassified():
    logits, labels = some_logits()
    assert torch.equal(margin(logits, labels) > 0, fooled(logits, labels))
    assert 0 < fooled(logits, labels).sum() < len(labels)
    assert margin(torch.zeros(1, 4), torch.tensor([2])).item() == 0


def test_cross_entropy_is_minus_the_log_of_the_label_s_probability():
    logits, labels = some_logits()
    probability = logits.double().softmax(1)[torch.arange(len(labels)), labels]
    torch.testing.assert_close(cross_entropy(logits, labels).double(), -probability.log(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_that_of_each_example_alone(loss):
    model, (inputs, labels) = network(), pixels(12)
    _, _, together = loss_and_gradient(model, inputs, labels, LOSSES[loss])
    alone = [loss_and_gradient(model, inputs[[i]], labels[[i]], LOSSES[loss])[2] for i in range(12)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


# --- What the attacks promise ----------------------------------------------------------------------------------------


class Recorder:
    """A model that keeps every batch it is shown, with its logits."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def __call__(self, points):
        logits = self.model(points)
        self.seen.append((points.detach().clone(), logits.detach().clone()))
        return logits


def stripes(points):
    """Logits of a decision that alternates along the mean pixel, so that gradient steps overshoot."""
    wave = torch.sin(60 * points.mean((1, 2, 3)))
    return torch.stack([wave, -wave, wave / 2 - 1, -wave / 2 - 1], dim=1)


def strongest(candidates, labels, loss):
    """(points, fooled, loss) of the strongest of (points, logits) pairs, example by example."""
    fools = torch.stack([fooled(logits, labels) for _, logits in candidates])
    values = torch.stack([LOSSES[loss](logits, labels) for _, logits in candidates])
    values, best = torch.where(fools == fools.any(0), values, float("-inf")).max(0)
    points = torch.stack([points for points, _ in candidates])[best, torch.arange(len(labels))]
    return points, fools.any(0), values


@both_norms
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("landscape", ["network", "stripes"])
@pytest.mark.parametrize("start", ["clean", "random"])
def test_keep_best_returns_the_strongest_iterate_of_all_runs(norm, loss, landscape, start):
    steps, restarts = 4, 1 if start == "clean" else 3
    recorder = Recorder(network() if landscape == "network" else stripes)
    inputs, labels = pixels(48)
    labels = labels if landscape == "network" else stripes(inputs).argmax(1)
    eps = 2 * EPS[norm]
    options = {"random_start": start == "random", "restarts": restarts}

    points = run("pgd", recorder, inputs, labels, eps=eps, norm=norm, loss=loss, steps=steps, alpha=eps, **options)

    assert len(recorder.seen) == restarts * (steps + 1)
    runs = [recorder.seen[first : first + steps + 1] for first in range(0, len(recorder.seen), steps + 1)]
    # The clean image is no adversarial example; a random start is one, like every later iterate.
    candidates = [pair for run in runs for pair in (run[1:] if start == "clean" else run)]
    _, fools, values = strongest(candidates, labels, loss)
    logits = recorder.model(points)
    assert torch.equal(fooled(logits, labels), fools)
    torch.testing.assert_close(LOSSES[loss](logits, labels), values, rtol=1e-5, atol=1e-5)
    assert torch.stack([(points == seen).flatten(1).all(1) for seen, _ in candidates]).any(0).all()
    last, logits = runs[-1][-1]
    assert not torch.equal(points, last)
    assert landscape == "network" or fooled(logits, labels).sum() < fools.sum()


def detour(points):
    """Ten classes along the mean pixel: class 1 beats class 0 near 0.15, further on the others raise the loss more."""
    mean = points.mean((1, 2, 3))
    others = (10 * (mean - 0.15) - 1).clamp_max(-0.1)
    return torch.stack([0 * mean, 0.3 - 8 * (mean - 0.15).abs(), *[others] * 8], dim=1)


def test_keep_best_prefers_a_point_that_fools_to_a_higher_loss():
    recorder, inputs, labels = Recorder(detour), torch.full((2, 1, 4, 4), 0.1), torch.tensor([0, 0])
    points = run("bim", recorder, inputs, labels, eps=0.15, steps=3, alpha=0.05)
    losses = [cross_entropy(logits, labels) for _, logits in recorder.seen]
    assert [fooled(logits, labels).all().item() for _, logits in recorder.seen] == [False, True, False, False]
    assert (losses[2] > losses[1]).all() and torch.equal(points, recorder.seen[1][0])


@both_norms
def test_keep_last_returns_the_last_iterate_of_the_best_run(norm):
    recorder, (inputs, labels) = Recorder(network()), pixels(48)
    options = {"eps": EPS[norm], "norm": norm, "keep": "last", "steps": 3}
    one = run("pgd", recorder, inputs, labels, **options)
    points, _ = recorder.seen[-1]
    assert len(recorder.seen) == 3 and not torch.equal(one, points)
    recorder.seen.clear()

    three = run("pgd", recorder, inputs, labels, restarts=3, **options)

    assert len(recorder.seen) == 3 * 4 and torch.equal(recorder.seen[3][0], one)
    expected, _, _ = strongest(recorder.seen[3::4], labels, "cross_entropy")
    assert torch.equal(three, expected) and not torch.equal(three, one)


@both_norms
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("loss", LOSSES)
def test_restarts_never_weaken(norm, keep, loss):
    model, (inputs, labels) = network(), pixels(64)
    stronger = []
    for restarts in (1, 2, 4):
        options = {"eps": EPS[norm], "norm": norm, "steps": 2, "keep": keep, "loss": loss, "restarts": restarts}
        logits = model(run("pgd", model, inputs, labels, **options))
        stronger.append((fooled(logits, labels), LOSSES[loss](logits, labels)))
    for (fools, values), (more_fools, more_values) in itertools.pairwise(stronger):
        assert (more_fools >= fools).all()
        same = more_fools == fools
        assert (more_values[same] >= values[same] - 1e-5).all()
    assert (stronger[-1][1] > stronger[0][1] + 1e-4).any()


@both_norms
@pytest.mark.parametrize("method", ATTACKS)
def test_an_example_s_result_does_not_depend_on_its_batch(norm, method):
    model, (inputs, labels) = network(), pixels(60)
    options = {"eps": EPS[norm], "norm": norm}
    whole = run(method, model, inputs, labels, **options)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    permuted = run(method, model, inputs[order], labels[order], examples=order, **options)
    parts = [run(method, model, inputs[part], labels[part], examples=part, **options) for part in order.split(7)]
    changed = torch.where((torch.arange(60) < 30)[:, None, None, None], inputs, 1 - inputs)
    neighbours = run(method, model, changed, labels, **options)

    for name, points, expected in [
        ("order", permuted, whole[order]),
        ("batch size", torch.cat(parts), whole[order]),
        ("neighbours", neighbours[:30], whole[:30]),
    ]:
        assert close_examples(points, expected) > 0.95, name
        target = labels[order][: len(points)] if name != "neighbours" else labels[:30]
        agreement = fooled(model(points), target) == fooled(model(expected), target)
        assert agreement.double().mean() > 0.95, name


@both_norms
def test_random_starts_are_the_same_in_any_batch(norm):
    inputs, _ = pixels(20)
    whole = random_point(inputs, EPS[norm], norm, 3, torch.arange(20))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    parts = [random_point(inputs[part], EPS[norm], norm, 3, part) for part in order.split(3)]
    # Only the start's noise is exact in bits: vectorised cosines and norms may round by their place in memory.
    torch.testing.assert_close(torch.cat(parts), whole[order], rtol=0, atol=0 if norm == "linf" else 1e-6)


@both_norms
def test_pgd_is_a_function_of_its_seed_and_runs_start_apart(norm):
    recorder, (inputs, labels) = Recorder(network()), pixels(16)
    options = {"eps": EPS[norm], "norm": norm, "steps": 1, "restarts": 2}
    one, again, other = (run("pgd", recorder, inputs, labels, seed=seed, **options) for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    starts = [points for points, _ in recorder.seen[::2]]
    assert torch.equal(starts[0], starts[2]) and torch.equal(starts[1], starts[3])
    for start, rival in [(starts[0], starts[1]), (starts[0], starts[4]), (starts[1], starts[5])]:
        assert (norms(start - rival, norm) > 0.1 * EPS[norm]).all()
    noise = (starts[0] - inputs)[inputs == 0.0]
    assert noise.unique().numel() > 0.4 * noise.numel()


@both_norms
def test_the_methods_are_special_cases_of_each_other(norm):
    model, (inputs, labels) = network(), pixels(32)
    shared = {"eps": EPS[norm], "norm": norm}
    assert torch.equal(
        run("fgsm", model, inputs, labels, **shared),
        run("bim", model, inputs, labels, steps=1, alpha=EPS[norm], keep="last", **shared),
    )
    bim = run("bim", model, inputs, labels, steps=4, **shared)
    assert torch.equal(bim, run("pgd", model, inputs, labels, steps=4, random_start=False, **shared))
    assert torch.equal(bim, run("bim", model, inputs, labels, steps=4, alpha=2.5 * EPS[norm] / 4, **shared))
    assert not torch.equal(bim, run("bim", model, inputs, labels, steps=4, alpha=EPS[norm] / 4, **shared))


@both_norms
def test_attacks_are_ordered_by_strength(norm):
    model, (inputs, labels) = network(), pixels(200)
    shared = {"eps": EPS[norm], "norm": norm}
    noise = random_point(inputs, EPS[norm], norm, 0, torch.arange(200))
    fgsm = run("fgsm", model, inputs, labels, **shared)
    pgd = run("pgd", model, inputs, labels, steps=20, **shared)
    robust = [1 - fooled(model(points), labels).double().mean().item() for points in (inputs, noise, fgsm, pgd)]
    assert robust[0] >= robust[1] - 0.02 and robust[1] > robust[2] > robust[3]
    half = run("pgd", model, inputs, labels, steps=20, eps=EPS[norm] / 2, norm=norm)
    assert robust[0] > 1 - fooled(model(half), labels).double().mean() > robust[3]


def test_an_unbounded_attack_breaks_everything():
    model, (inputs, labels) = network(), pixels(100)
    assert fooled(model(run("pgd", model, inputs, labels, eps=1.0, steps=40)), labels).all()


@both_norms
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_a_constant_added_to_the_logits_changes_nothing(norm, method, shift):
    model, (inputs, labels) = network(), pixels(100)
    options = {"eps": EPS[norm], "norm": norm}
    points = run(method, model, inputs, labels, **options)
    shifted = run(method, lambda batch: model(batch) + shift, inputs, labels, **options)
    # float32 keeps five decimals of a logit of 50, so small gradients are coarser.
    assert close_examples(points, shifted, tolerance=5e-3) > 0.8
    agreement = fooled(model(points), labels) == fooled(model(shifted), labels)
    assert agreement.double().mean() >= 0.98


@both_norms
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
@pytest.mark.parametrize("loss", ["dlr", "margin"])
def test_scaled_logits_change_nothing_for_losses_of_differences(norm, method, loss):
    model, (inputs, labels) = network(), pixels(100)
    options = {"eps": EPS[norm], "norm": norm, "loss": loss}
    points = run(method, model, inputs, labels, **options)
    for scale in (0.01, 100):
        scaled = run(method, lambda batch, scale=scale: scale * model(batch), inputs, labels, **options)
        assert close_examples(points, scaled, tolerance=1e-4) > 0.95
        agreement = fooled(model(points), labels) == fooled(model(scaled), labels)
        assert agreement.double().mean() >= 0.98


def test_losses_of_differences_break_a_model_whose_cross_entropy_saturates():
    model, (inputs, labels) = network(), pixels(100)

    def confident(points):
        return 1000 * model(points)

    broken = {
        loss: fooled(model(run("pgd", confident, inputs, labels, eps=EPS["linf"], loss=loss)), labels).sum()
        for loss in LOSSES
    }
    plain = fooled(model(run("pgd", model, inputs, labels, eps=EPS["linf"])), labels).sum()
    assert broken["dlr"] >= plain - 5 and broken["margin"] >= plain - 5
    assert broken["cross_entropy"] < plain - 20


# --- craft() ---------------------------------------------------------------------------------------------------------


ENTRIES = {
    "fgsm": settings("fgsm"),
    "fgsm-l2": settings("fgsm", norm="l2", eps=0.6),
    "bim-8/255": settings("bim", eps=8 / 255),
    "bim-l2-last": settings("bim", norm="l2", eps=0.3, keep="last"),
    "pgd": settings("pgd", eps=0.3, restarts=2),
    "pgd-l2": settings("pgd", norm="l2", eps=2.5, restarts=2),
    "pgd-dlr": settings("pgd", eps=1.0, loss="dlr"),
}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_every_example_is_in_ball_and_box_after_it_is_stored(entry, tmp_path):
    model, (images, labels) = network(), held_out(50)
    tensors, facts = craft(model, images, labels, entry, seed=1, batch_size=16)
    path, split = tmp_path / "set.safetensors", {"fingerprint": "of the images"}
    save_set(path, tensors, entry, facts, source={"fingerprint": "of the model"}, split=split)

    stored, metadata = open_set(path, split)

    check_stored(stored, images, entry)
    points = stored[:]
    assert points.dtype == torch.float32 and torch.equal(points, tensors["adversarial"])
    delta = points.numpy().astype(np.float64) - images.numpy() / 255
    lengths = np.abs(delta).max((1, 2, 3)) if entry["norm"] == "linf" else np.sqrt((delta**2).sum((1, 2, 3)))
    assert lengths.max() <= entry["eps"] + 1e-6 and points.min() >= 0 and points.max() <= 1
    saved = read_arrays(path)
    np.testing.assert_allclose(saved["norm"], lengths, rtol=0, atol=1e-6)
    with torch.no_grad():
        clean, logits = model(to_pixels(images, "cpu")), model(points)
    assert np.array_equal(saved["labels"], labels)
    assert np.array_equal(saved["clean_predictions"], clean.argmax(1))
    assert np.array_equal(saved["predictions"], logits.argmax(1))
    assert metadata["successes"] == (logits.argmax(1) != labels).sum() > (clean.argmax(1) != labels).sum()
    np.testing.assert_allclose(saved["loss"], cross_entropy(logits, labels), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(saved["margin"], margin(logits, labels), rtol=1e-4, atol=1e-4)
    assert lengths[clean.argmax(1) == labels].min() > 0
    assert metadata["settings"] == entry


def test_a_stored_set_that_was_altered_is_noticed():
    images, labels = held_out(20)
    entry = settings("fgsm", eps=0.1)
    tensors, _ = craft(network(), images, labels, entry, seed=1, batch_size=20)
    points = tensors["adversarial"]
    check_stored(points, images, entry)
    with pytest.raises(RuntimeError, match="ball"):
        check_stored(points, images, entry | {"eps": 0.0999})
    with pytest.raises(RuntimeError, match="ball"):
        check_stored(points, images.roll(1, 0), entry)
    for value in (float("nan"), 1.001, -0.001):
        altered = points.clone()
        altered[7, 0, 3, 3] = value
        with pytest.raises(RuntimeError, match="box"):
            check_stored(altered, images, entry)
    with pytest.raises(RuntimeError, match="returned"):
        check_stored(points[:19], images, entry)


@pytest.mark.parametrize(
    "entry, forwards, backwards",
    [
        (settings("fgsm"), 1, 1),
        (settings("bim", steps=4), 5, 4),
        (settings("bim", steps=4, keep="last"), 4, 4),
        (settings("pgd", steps=4), 5, 4),
        (settings("pgd", steps=4, keep="last"), 4, 4),
        (settings("pgd", steps=4, restarts=3), 15, 12),
        (settings("pgd", steps=4, restarts=3, keep="last"), 15, 12),
    ],
)
def test_passes_are_counted_per_example(entry, forwards, backwards):
    model, (images, labels) = network(), held_out(23)
    passed = {"forward": 0, "backward": 0}

    def count_forward(_, __, logits):
        passed["forward"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(count_backward)

    def count_backward(gradient):
        passed["backward"] += len(gradient)

    model.register_forward_hook(count_forward)
    _, facts = craft(model, images, labels, entry, seed=0, batch_size=10)
    assert facts["forwards_per_example"] == forwards and facts["backwards_per_example"] == backwards
    # Judging takes one more forward pass over the clean and one over the adversarial images.
    assert passed == {"forward": 23 * (forwards + 2), "backward": 23 * backwards}
    assert facts["seconds"] > 0


def test_crafted_tensors_are_as_documented():
    images, labels = held_out(23)
    kept = images.clone(), labels.clone()
    tensors, _ = craft(network(), images, labels, settings("pgd"), seed=0, batch_size=10)
    kinds = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    assert kinds == {
        "adversarial": (torch.float32, (23, 1, 8, 8)),
        "labels": (torch.int64, (23,)),
        "clean_predictions": (torch.int64, (23,)),
        "predictions": (torch.int64, (23,)),
        "loss": (torch.float32, (23,)),
        "margin": (torch.float32, (23,)),
        "norm": (torch.float32, (23,)),
    }
    assert not any(tensor.requires_grad for tensor in tensors.values())
    assert torch.equal(images, kept[0]) and torch.equal(labels, kept[1])


@both_norms
def test_crafting_does_not_depend_on_the_batch_size_or_global_seed_but_on_the_seed(norm):
    model, (images, labels) = network(), held_out(40)
    entry = settings("pgd", eps=EPS[norm], norm=norm, steps=3)
    torch.manual_seed(1)
    whole, _ = craft(model, images, labels, entry, seed=4, batch_size=40)
    torch.manual_seed(2)
    again, _ = craft(model, images, labels, entry, seed=4, batch_size=40)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    for batch_size in (1, 7, 1000):
        parts, _ = craft(model, images, labels, entry, seed=4, batch_size=batch_size)
        assert close_examples(parts["adversarial"], whole["adversarial"]) > 0.95
        assert (parts["predictions"] == whole["predictions"]).double().mean() >= 0.95
        assert torch.equal(parts["clean_predictions"], whole["clean_predictions"])
        assert torch.equal(parts["labels"], labels)
    other, _ = craft(model, images, labels, entry, seed=5, batch_size=40)
    assert close_examples(other["adversarial"], whole["adversarial"]) < 0.5


class Failing(nn.Module):
    """A model in the middle of training, which may raise in its `failing`-th call, on the way there or back."""

    def __init__(self, failing=None, where="forward"):
        super().__init__()
        self.failing, self.where, self.calls = failing, where, 0
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        )
        self.classifier = nn.Linear(64, 10)
        self.train()
        self.layers[1].eval().requires_grad_(False)
        self.classifier.bias.requires_grad_(False)
        for parameter in self.layers[3].parameters():
            parameter.grad = torch.ones_like(parameter)

    def forward(self, points):
        self.calls += 1
        if self.calls == self.failing and self.where == "forward":
            raise ArithmeticError("the model broke")
        logits = self.classifier(self.layers(points).flatten(1))
        if self.calls == self.failing:
            logits.register_hook(self._break)
        return logits

    def _break(self, gradient):
        raise ArithmeticError("the model broke")

    def snapshot(self):
        return {
            "training": {name: module.training for name, module in self.named_modules()},
            "requires_grad": {name: parameter.requires_grad for name, parameter in self.named_parameters()},
            "grad": {name: parameter.grad for name, parameter in self.named_parameters()},
            "values": {name: tensor.clone() for name, tensor in self.state_dict().items()},
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state()[1:3],
            "python": random.getstate(),
        }


@pytest.mark.parametrize("failing, where", [(None, None), (1, "forward"), (1, "backward"), (9, "forward")])
@pytest.mark.parametrize("method", ATTACKS)
def test_model_and_random_state_are_left_as_they_were(method, failing, where):
    torch.manual_seed(0)
    model, (images, labels) = Failing(failing, where), held_out(40)
    before = model.snapshot()
    assert len(set(before["training"].values())) == len(set(before["requires_grad"].values())) == 2

    if failing is None:
        craft(model, images, labels, settings(method), seed=0, batch_size=8)
    else:
        with pytest.raises(ArithmeticError, match="the model broke"):
            craft(model, images, labels, settings(method), seed=0, batch_size=8)

    after = model.snapshot()
    for name in ("training", "requires_grad", "python"):
        assert after[name] == before[name]
    for name, gradient in before["grad"].items():
        assert after["grad"][name] is gradient
        assert gradient is None or (gradient == 1).all()
    assert all(torch.equal(after["values"][name], tensor) for name, tensor in before["values"].items())
    assert torch.equal(after["torch"], before["torch"])
    assert np.array_equal(after["numpy"][0], before["numpy"][0]) and after["numpy"][1] == before["numpy"][1]


def test_a_model_in_training_is_attacked_in_eval_mode():
    torch.manual_seed(0)
    model, (images, labels) = Failing(), held_out(20)
    training, _ = craft(model, images, labels, settings("pgd"), seed=0, batch_size=8)
    evaluating, _ = craft(model.eval(), images, labels, settings("pgd"), seed=0, batch_size=8)
    assert torch.equal(training["adversarial"], evaluating["adversarial"])


PRUNINGS = {
    "weights": {"method": "weight", "ratio": 0.7, "steps": 1, "schedule": "linear", "scope": "global"},
    "filters": {
        "method": "filter",
        "ratio": 0.25,
        "steps": 1,
        "schedule": "linear",
        "scope": "layer",
        "importance": "l1",
        "measure": "channels",
    },
}


@pytest.mark.parametrize("pruning", PRUNINGS.values(), ids=PRUNINGS)
def test_pruned_models_are_attacked_and_stay_pruned(pruning):
    model, (images, labels) = network(), held_out(60)
    dense = sum(parameter.count_nonzero() for parameter in model.parameters())
    masks = compress(model, (1, 8, 8), pruning, train_on=lambda *_: None)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert sum(parameter.count_nonzero() for parameter in model.parameters()) < 0.9 * dense

    tensors, _ = craft(model, images, labels, settings("pgd", eps=0.15), seed=0, batch_size=32)

    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    for name, mask in masks.items():
        assert not after[name][~mask].any()
    clean = (tensors["clean_predictions"] == labels).sum()
    assert clean > 30 and (tensors["predictions"] == labels).sum() < clean - 15


@pytest.mark.parametrize("method", load_schema("attack")["kinds"])
def test_an_attack_takes_exactly_the_settings_of_its_schema(method):
    properties = load_schema("attack")["kinds"][method]["properties"]
    entry = {"method": method, "eps": 0.1} | {
        key: value["default"] for key, value in properties.items() if key != "eps"
    }
    assert entry.keys() == settings(method).keys()
    images, labels = held_out(4)
    tensors, _ = craft(network(), images, labels, entry, seed=0, batch_size=4)
    assert (tensors["norm"] > 0).all()
    named = inspect.signature(ATTACKS[method]).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())
    assert takes_any or set(named) == {*properties, "model", "inputs", "labels", "seed", "examples"}


# --- Models and attacks that would mislead ---------------------------------------------------------------------------


class Wrapped(nn.Module):
    """The trained network with something done to its input or to its logits."""

    def __init__(self, before=None, after=None):
        super().__init__()
        self.network, self.before, self.after = network(), before or torch.clone, after or torch.clone

    def forward(self, points):
        return self.after(self.network(self.before(points)))


def attack_all(model, method, **changes):
    images, labels = held_out(20)
    return craft(model, images, labels, settings(method, **changes), seed=0, batch_size=8)[0]


every_method = pytest.mark.parametrize("method", ATTACKS)


@every_method
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_model_that_detaches_is_refused(method, where):
    with pytest.raises(InputError, match="gradient"):
        attack_all(Wrapped(**{where: torch.detach}), method)


@every_method
def test_logits_that_do_not_depend_on_the_input_are_refused(method):
    with pytest.raises(InputError, match="gradient"):
        attack_all(Wrapped(before=lambda points: torch.full(points.shape, 0.5)), method)
    # Outside craft() the model's parameters still take gradients, and only the input's is missing.
    inputs, labels = pixels(4)
    with pytest.raises(InputError, match="do not depend"):
        run(method, Wrapped(before=lambda points: torch.full(points.shape, 0.5)), inputs, labels)


@every_method
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(method, loss, broken):
    model = network()
    with torch.no_grad():
        model[-1].bias[3] = broken
    with pytest.raises(InputError, match="not finite"):
        attack_all(model, method, loss=loss)


def test_one_broken_image_of_the_last_batch_is_enough():
    images, labels = held_out(20)
    marked = (images[19] / 255).flatten()

    def break_marked(points):
        return torch.where((points.flatten(1) == marked).all(1)[:, None, None, None], float("nan"), points)

    craft(Wrapped(), images, labels, settings("fgsm"), seed=0, batch_size=8)
    with pytest.raises(InputError, match="not finite"):
        craft(Wrapped(before=break_marked), images, labels, settings("fgsm"), seed=0, batch_size=8)


@every_method
@both_norms
def test_a_gradient_that_is_not_finite_is_refused(method, norm):
    def add_steep_zero(points):
        return points + (0 * points).sum((1, 2, 3), keepdim=True).sqrt()

    assert torch.isfinite(Wrapped(before=add_steep_zero)(pixels(20)[0])).all()
    with pytest.raises(InputError, match="not finite"):
        attack_all(Wrapped(before=add_steep_zero), method, norm=norm)


@every_method
def test_probabilities_instead_of_logits_are_refused(method):
    with pytest.raises(InputError, match="probabilities"):
        attack_all(Wrapped(after=lambda logits: logits.softmax(1)), method)
    attack_all(Wrapped(after=lambda logits: logits.log_softmax(1)), method)


@both_norms
@every_method
def test_a_vanished_gradient_leaves_a_norm_of_zero_to_be_seen(method, norm):
    changes = {} if method != "pgd" else {"random_start": False}
    tensors = attack_all(Wrapped(before=lambda points: 0 * points), method, norm=norm, **changes)
    assert (tensors["norm"] == 0).all()


def outside_linf(points, clean):
    return (clean + 0.1001 * (0.5 - clean).sign()).clamp(0, 1)


SABOTAGES = {
    "outside the ball": (outside_linf, "ball"),
    "one pixel outside the ball": (lambda points, clean: points.index_fill(3, torch.tensor([2]), 0.5), "ball"),
    "below the box": (lambda points, clean: points - 1e-3, "box"),
    "above the box": (lambda points, clean: points + 1, "box"),
    "nan": (lambda points, clean: points.index_fill(0, torch.tensor([1]), float("nan")), "box"),
    "infinite": (lambda points, clean: points / 0, "box"),
    "float64": (lambda points, clean: points.double(), "float64"),
    "float16": (lambda points, clean: points.half(), "float16"),
    "one example missing": (lambda points, clean: points[1:], "returned"),
    "one example for all": (lambda points, clean: points[:1], "returned"),
    "flattened": (lambda points, clean: points.flatten(1), "returned"),
    "examples exchanged": (lambda points, clean: points.flip(0), "ball"),
}


@pytest.mark.parametrize("sabotage, message", SABOTAGES.values(), ids=SABOTAGES)
def test_a_sabotaged_attack_is_noticed(monkeypatch, sabotage, message):
    honest = ATTACKS["fgsm"]

    def sabotaged(model, inputs, labels, **options):
        return sabotage(honest(model, inputs, labels, **options), inputs)

    attack_all(network(), "fgsm", eps=0.1)
    monkeypatch.setitem(ATTACKS, "fgsm", sabotaged)
    with pytest.raises(RuntimeError, match=message):
        attack_all(network(), "fgsm", eps=0.1)


@pytest.mark.parametrize("excess, passes", [(0.0, True), (0.9, True), (1.5, False), (100.0, False)])
@both_norms
def test_the_check_allows_rounding_and_no_more(norm, excess, passes):
    clean, eps = torch.zeros(2, 1, 2, 2), 0.25
    points = clean.clone()
    points[1, 0, 0, 0] = eps + excess * SLACK
    if passes:
        check_inside(clean, points, eps, norm)
    else:
        with pytest.raises(RuntimeError, match="ball"):
            check_inside(clean, points, eps, norm)
