"""What the attacks are made of: the ball and the box, random numbers, losses."""

import math

import numpy as np
import pytest
import torch
from attack_fixtures import NORMS, both_norms, dual, network, pixels
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from squeezeproof.attacks.ball import norms, project, random_point, steepest
from squeezeproof.attacks.checks import SLACK, check_inside
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import LOSSES, cross_entropy, dlr, fooled, margin
from squeezeproof.attacks.random import normal, uniform
from squeezeproof.seeds import derive_seed

# --- The ball and the box --------------------------------------------------------------------------------------------


def images_in(low, high):
    numbers = st.floats(low, high, width=32, allow_nan=False, allow_subnormal=False)
    return arrays(np.float32, (2, 1, 1, 2), elements=numbers).map(torch.from_numpy)


in_box, anywhere = images_in(0, 1), images_in(-3, 4)
radii = st.floats(0.0009765625, 2, width=32)


BALLS = [*NORMS, "l1", "l0"]


@given(points=anywhere, centers=in_box, eps=radii, norm=st.sampled_from(BALLS))
def test_project_lands_in_ball_and_box_and_stays_there(points, centers, eps, norm):
    projected = project(points, centers, eps, norm)
    assert projected.dtype == torch.float32 and projected.min() >= 0 and projected.max() <= 1
    assert (norms(projected - centers, norm) <= eps + SLACK).all()
    check_inside(centers, projected, eps, norm)
    again = project(projected, centers, eps, norm)
    torch.testing.assert_close(again, projected, rtol=0, atol=0 if norm == "linf" else 5e-7)


@given(points=in_box, centers=in_box, norm=st.sampled_from(BALLS))
def test_project_leaves_points_inside_where_they_are(points, centers, norm):
    eps = norms(points - centers, norm).max().item() * 1.01 + 1e-3
    torch.testing.assert_close(project(points, centers, eps, norm), points, rtol=0, atol=2e-7)


@given(points=anywhere, others=anywhere, centers=in_box, eps=radii)
def test_project_linf_is_the_nearest_point_in_every_coordinate(points, others, centers, eps):
    inside = torch.maximum(torch.minimum(others, centers + eps), centers - eps).clamp(0, 1)
    assert ((points - project(points, centers, eps, "linf")).abs() <= (points - inside).abs() + 1e-6).all()


@given(points=anywhere, centers=images_in(0.4375, 0.5625), eps=st.floats(0.0009765625, 0.375, width=32))
def test_project_l2_moves_outside_points_radially_onto_the_sphere(points, centers, eps):
    delta = points - centers
    outside = norms(delta, "l2") > eps * 1.001
    moved = project(points, centers, eps, "l2") - centers
    nearest = delta * (eps / norms(delta, "l2"))[:, None, None, None]
    torch.testing.assert_close(moved[outside], nearest[outside], rtol=0, atol=1e-6)


@given(
    points=anywhere, others=anywhere, centers=images_in(0.4375, 0.5625), eps=st.floats(0.0009765625, 0.375, width=32)
)
def test_project_l1_is_the_nearest_point(points, others, centers, eps):
    projected = project(points, centers, eps, "l1")
    other = others - centers
    inside = centers + other * (eps / norms(other, "l1").clamp_min(1e-12)).clamp_max(1)[:, None, None, None]
    distance = [(points - point).flatten(1).norm(dim=1) for point in (projected, inside)]
    assert (distance[0] <= distance[1] + 1e-5).all()
    outside = norms(points - centers, "l1") > eps * 1.001
    assert ((norms(projected - centers, "l1") - eps).abs() < 1e-5)[outside].all()


def test_project_l0_keeps_the_values_that_are_changed_most():
    centers = torch.full((2, 1, 2, 2), 0.5)
    points = centers + torch.tensor([[0.1, -0.3, 0.2, 5e-7], [1.0, -1.0, 0, 0]]).view(2, 1, 2, 2)
    projected = project(points, centers, 2, "l0")
    expected = torch.tensor([[0.5, 0.2, 0.7, 0.5], [1.0, 0.0, 0.5, 0.5]]).view(2, 1, 2, 2)
    torch.testing.assert_close(projected, expected)
    assert projected[0].flatten()[3] == 0.5 and norms(projected - centers, "l0").tolist() == [2, 2]
    assert norms(points - centers, "l0").tolist() == [3, 2]


@pytest.mark.parametrize("ground", [1.0, 0.7, 0.5, 0.0])
@pytest.mark.parametrize(("norm", "eps"), [("l2", 0.5), ("l2", 3.0), ("l2", 20.0), ("l1", 0.5), ("l1", 100.0)])
def test_project_keeps_large_images_in_the_ball(ground, norm, eps):
    """Of 150,528 values that are alike, float32 has the sum of squares wrong in the fourth digit, and rounds all to one
    side.
    """
    centers = torch.full((2, 3, 224, 224), ground)
    noise = torch.randn(centers[:1].shape, generator=torch.Generator().manual_seed(0))
    points = torch.cat([centers[:1] + (0.3 if ground < 0.5 else -0.3), (centers[:1] + 0.3 * noise).clamp(0, 1)])
    projected = project(points, centers, eps, norm)
    check_inside(centers, projected, eps, norm)
    delta = (projected.double() - centers.double()).flatten(1)
    lengths = delta.norm(1 if norm == "l1" else 2, dim=1)
    assert (lengths <= eps + SLACK * max(1, eps)).all() and (lengths > 0.97 * eps).all()
    torch.testing.assert_close(norms(projected - centers, norm).double(), lengths, rtol=1e-7, atol=0)


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


@given(gradient=anywhere, other=anywhere, norm=st.sampled_from(NORMS))
def test_steepest_raises_a_linear_loss_most(gradient, other, norm):
    rival = other / norms(other, norm).clamp_min(1e-6)[:, None, None, None]
    gain = (steepest(gradient, norm) * gradient).flatten(1).sum(1)
    torch.testing.assert_close(gain, dual(gradient.flatten(1), norm), rtol=1e-4, atol=1e-5)
    assert ((rival * gradient).flatten(1).sum(1) <= gain + 1e-4).all()


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
    """SplitMix64's output function as published [steele2014], in unbounded integers."""
    state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ state >> 27) * 0x94D049BB133111EB) % 2**64
    return state ^ state >> 31


def reference(seed, example, stream, position):
    start = splitmix((splitmix((splitmix(example) + seed) % 2**64) + stream) % 2**64)
    return (splitmix((start + position * 0x9E3779B97F4A7C15) % 2**64) >> 40) / 2**24


def test_the_reference_gives_the_published_numbers():
    found = [splitmix((1234567 + step * 0x9E3779B97F4A7C15) % 2**64) for step in (1, 2, 3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


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
    indices, shape = torch.arange(300), (300,)
    first = draw(5, indices, shape, stream=0)
    others = {
        "positions": (first[:, 1:], first[:, :-1]),
        "indices": (first[1:], first[:-1]),
        "streams": (draw(5, indices, shape, stream=2), first),
        "seeds": (draw(6, indices, shape, stream=0), first),
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


@given(order=st.permutations(range(8)), split=st.integers(1, 7), draw=st.sampled_from([uniform, normal]))
def test_random_numbers_do_not_depend_on_how_examples_are_batched(order, split, draw):
    whole = draw(3, torch.arange(8), (2, 3), stream=0)
    order = torch.tensor(order)
    assert torch.equal(draw(3, order, (2, 3), stream=0), whole[order])
    parts = [draw(3, part, (2, 3), stream=0) for part in (torch.arange(split), torch.arange(split, 8))]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_uniform_is_the_same_on_a_gpu():
    indices = torch.arange(50)
    assert torch.equal(uniform(9, indices.cuda(), (100,), stream=1).cpu(), uniform(9, indices, (100,), stream=1))


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
