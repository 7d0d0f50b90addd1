"""FAB and its projection: closed forms, the reference codes, and what an attack promises."""

import math
import sys
import types

import pytest
import torch
import torchattacks
from attack_fixtures import EPS, Counted, both_norms, close_examples, dual, network, pixels
from scipy.optimize import linprog
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.checks import check_inside
from squeezeproof.attacks.fab import fab, fab_t
from squeezeproof.attacks.gradient import difference_by_class
from squeezeproof.attacks.hyperplane import to_hyperplane
from squeezeproof.attacks.objective import fooled, margin

both_attacks = pytest.mark.parametrize("attack", [fab, fab_t])
REFERENCE_NAMES = {"linf": "Linf", "l2": "L2"}


def run(attack, model, inputs, labels, indices=None, **changes):
    """Points of an attack at the reference's settings but for few steps."""
    settings = {"eps": None, "norm": "linf", "steps": 20, "restarts": 1, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9}
    settings |= {"stop_on_success": False, "seed": 0}
    settings |= {"targets": 9} if attack is fab_t else {}
    assert changes.keys() <= settings.keys()
    indices = torch.arange(len(labels)) if indices is None else indices
    return attack(model, inputs, labels, indices=indices, **(settings | changes))


def distances(model, inputs, labels, points, norm):
    """The norm of each perturbation that fools; infinity where it does not."""
    return torch.where(fooled(model(points), labels), norms(points - inputs, norm), torch.inf)


# --- The projection --------------------------------------------------------------------------------------------------


def planes(seed, size):
    """Points [60, size], a third of the pixels at the box's edge; weights, some 0; values between -0.95 and 0.95 of
    what the box allows."""
    generator = torch.Generator().manual_seed(seed)
    points = (torch.rand(60, size, generator=generator) * 1.5 - 0.25).clamp(0, 1)
    weights = torch.randn(60, size, generator=generator) * 10 ** (6 * torch.rand(60, 1, generator=generator) - 3)
    weights[:, 1:][torch.rand(60, size - 1, generator=generator) < 0.2] = 0
    part = torch.rand(60, generator=generator) * 1.9 - 0.95
    room = torch.where(weights * part[:, None] > 0, points, 1 - points)
    return points, weights, part * (weights.abs() * room).sum(1)


def check_on_plane(points, weights, values, moves):
    """Every point moved onto its plane and stayed in the box."""
    scale = weights.abs().sum(1)
    torch.testing.assert_close((values + (weights * moves).sum(1)) / scale, torch.zeros(len(values)), rtol=0, atol=1e-6)
    moved = points + moves
    assert moved.min() >= -1e-6 and moved.max() <= 1 + 1e-6
    assert (moves[weights == 0] == 0).all()


@pytest.mark.parametrize("size", [1, 2, 7, 48])
def test_linf_projection_is_the_linear_program_s(size):
    points, weights, values = planes(size, size)
    moves = to_hyperplane(points, weights, values, "linf")
    check_on_plane(points, weights, values, moves)
    for point, weight, value, move in zip(points, weights, values, moves, strict=True):
        unit = weight.abs().max().item() or 1.0
        point, weight, value = point.double().numpy(), weight.double().numpy() / unit, value.item() / unit
        bounds = [*zip(-point, 1 - point, strict=True), (0, None)]
        rows = [[*(sign * (i == j) for i in range(size)), -1.0] for j in range(size) for sign in (1.0, -1.0)]
        found = linprog([0.0] * size + [1.0], rows, [0.0] * len(rows), [[*weight, 0.0]], [-value], bounds)
        assert found.success
        assert move.abs().max().item() == pytest.approx(found.fun, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("size", [1, 2, 7, 48, 784])
def test_l2_projection_is_the_root_that_bisection_finds(size):
    points, weights, values = planes(size, size)
    moves = to_hyperplane(points, weights, values, "l2")
    check_on_plane(points, weights, values, moves)
    points, weights, values = points.double(), weights.double(), values.double()
    low, high = torch.zeros(60, 1).double(), torch.full((60, 1), 1e12).double()
    for _ in range(200):
        middle = (low + high) / 2
        found = (points - middle * values.sign()[:, None] * weights).clamp(0, 1) - points
        beyond = (values + (weights * found).sum(1)) * values.sign() < 0
        low, high = torch.where(beyond[:, None], low, middle), torch.where(beyond[:, None], middle, high)
    torch.testing.assert_close(moves.double(), found, rtol=1e-3, atol=2e-5)


@both_norms
def test_degenerate_projections(norm):
    points = torch.tensor([[0.2, 0.5, 1.0]]).repeat(4, 1)
    weights = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 3.0], [1.0, -2.0, 0.0], [1e-30, -2e-30, 0.0]])
    values = torch.tensor([3.0, 0.0, 50.0, -5.0])
    moves = to_hyperplane(points, weights, values, norm)
    # No direction; on the plane already; out of the box's reach, downwards and upwards.
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-0.2, 0.5, 0.0], [0.8, -0.5, 0.0]])
    torch.testing.assert_close(moves, expected)


@both_norms
def test_projections_are_the_same_whatever_rows_stand_beside_and_broadcast(norm):
    points, weights, values = planes(3, 40)
    whole = to_hyperplane(points, weights, values, norm)
    alone = [to_hyperplane(*row, norm) for row in zip(points.split(1), weights.split(1), values.split(1), strict=True)]
    torch.testing.assert_close(torch.cat(alone), whole, rtol=1e-5, atol=1e-6)
    both = to_hyperplane(torch.stack([points, points]), weights, torch.stack([values, values / 2]), norm)
    torch.testing.assert_close(both[0], whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(both[1], to_hyperplane(points, weights, values / 2, norm), rtol=1e-5, atol=1e-6)


# --- Closed form -----------------------------------------------------------------------------------------------------


def linear(classes, seed=0):
    """A linear model on 3x4x5 images, its weights [classes, 60], and images away from the box's edge."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(60, classes)
    weight = torch.randn(classes, 60, generator=generator)
    layer.load_state_dict({"weight": weight, "bias": torch.zeros(classes)})
    inputs = 0.4 + 0.2 * torch.rand(40, 3, 4, 5, generator=generator)
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False), weight, inputs


@both_attacks
@both_norms
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_on_a_linear_model_the_nearest_class_s_plane_is_reached(attack, norm, classes):
    model, weight, inputs = linear(classes)
    logits = model(inputs)
    labels = logits.argmax(1)
    points = run(attack, model, inputs, labels, norm=norm, steps=4)
    gaps = (logits.gather(1, labels[:, None]) - logits) / dual(weight[labels][:, None] - weight, norm)
    least = gaps.scatter(1, labels[:, None], torch.inf).amin(1)
    reached = distances(model, inputs, labels, points, norm)
    # The overshoot of the last step, from a tenth before the boundary, is at most a twentieth of the way.
    assert (reached >= least * (1 - 1e-5)).all()
    assert (reached <= least * 1.006).all()


def test_fab_t_tries_the_given_number_of_classes_and_not_more():
    model, _, inputs = linear(10)
    labels = model(inputs).argmax(1)
    for targets, tried in [(1, 1), (3, 3), (9, 9), (50, 9)]:
        counted = Counted(model)
        run(fab_t, counted, inputs, labels, targets=targets, steps=2, restarts=2)
        assert counted.backwards == 2 * 2 * tried * len(labels)
        assert counted.forwards == (1 + 2 * 2 * 2 * tried) * len(labels)


# --- The reference codes ---------------------------------------------------------------------------------------------


def torchattacks_points(model, inputs, labels, norm, steps):
    attack = torchattacks.FAB(
        model, norm=REFERENCE_NAMES[norm], eps=1e9, steps=steps, alpha_max=0.1, eta=1.05, beta=0.9
    )
    with torch.random.fork_rng(devices=[]):
        return attack(inputs, labels)


def autoattack_points(model, inputs, labels, norm, steps, targeted):
    module = pytest.importorskip("pyautoattack.fab_pt")
    attack = module.FABAttack_PT(
        model, norm=REFERENCE_NAMES[norm], n_iter=steps, eps=1e9, targeted=targeted, n_target_classes=1
    )
    with torch.random.fork_rng(devices=[]):
        return attack.perturb(inputs, labels)


def adv_lib_points(model, inputs, labels, norm, steps, monkeypatch):
    monkeypatch.setitem(sys.modules, "visdom", types.ModuleType("visdom"))
    module = pytest.importorskip("adv_lib.attacks.fast_adaptive_boundary")
    order = {"linf": math.inf, "l2": 2}[norm]
    return module.fab(model, inputs, labels, norm=order, n_iter=steps, restarts=3, targeted_restarts=True)


@both_norms
@pytest.mark.parametrize("reference", ["torchattacks", "autoattack", "autoattack-targeted", "adv_lib"])
def test_the_norms_are_the_reference_s(norm, reference, monkeypatch):
    model, (inputs, labels) = network().requires_grad_(False), pixels(100)
    if reference == "adv_lib":
        ours = run(fab_t, model, inputs, labels, norm=norm, targets=3)
        theirs = adv_lib_points(model, inputs, labels, norm, 20, monkeypatch)
    elif reference == "autoattack-targeted":
        ours = run(fab_t, model, inputs, labels, norm=norm, targets=1)
        theirs = autoattack_points(model, inputs, labels, norm, 20, targeted=True)
    else:
        ours = run(fab, model, inputs, labels, norm=norm)
        theirs = (
            torchattacks_points(model, inputs, labels, norm, 20)
            if reference == "torchattacks"
            else autoattack_points(model, inputs, labels, norm, 20, targeted=False)
        )
    ours, theirs = (distances(model, inputs, labels, points, norm) for points in (ours, theirs))
    # FAB is deterministic here: all but a few examples, where rounding decides, go the same way.
    assert ((ours - theirs).abs() <= 1e-3 * theirs).double().mean() > 0.95
    assert ours.median() <= 1.001 * theirs.median()
    for eps in (EPS[norm] / 2, EPS[norm]):
        assert abs((ours <= eps).sum() - (theirs <= eps).sum()) <= 1


# --- What an attack promises -----------------------------------------------------------------------------------------


@both_attacks
@both_norms
@pytest.mark.parametrize("stop_on_success", [False, True])
def test_points_lie_in_ball_and_box_and_every_attacked_example_moves(attack, norm, stop_on_success):
    model, (inputs, labels) = network(), pixels(60)
    eps, wrong = EPS[norm] / 2, fooled(model(inputs), labels)
    points = run(
        attack, model, inputs, labels, norm=norm, eps=eps, stop_on_success=stop_on_success, restarts=2, steps=6
    )
    check_inside(inputs, points, eps, norm)
    assert wrong.any() and torch.equal(points[wrong], inputs[wrong])
    assert (norms(points - inputs, norm)[~wrong] > 0).all()
    broken = fooled(model(points), labels)
    assert 0.1 < broken.double().mean() < 0.9
    # What is not broken has come closer, to the edge of the ball.
    left = ~broken
    assert (margin(model(points), labels)[left] > margin(model(inputs), labels)[left]).all()
    assert (norms(points - inputs, norm)[left] > 0.99 * eps).all()


@both_attacks
@both_norms
def test_stop_on_success_breaks_the_same_examples_with_fewer_passes(attack, norm):
    model, (inputs, labels) = network(), pixels(60)
    found = {}
    for stop_on_success in (False, True):
        counted = Counted(model)
        points = run(
            attack, counted, inputs, labels, norm=norm, eps=EPS[norm] * 0.7, stop_on_success=stop_on_success, steps=10
        )
        found[stop_on_success] = (fooled(model(points), labels), counted.forwards, counted.backwards)
    # Without random starts both go the same way until an example is broken.
    assert torch.equal(found[False][0], found[True][0])
    assert found[True][1] < 0.8 * found[False][1]
    assert found[True][2] < 0.8 * found[False][2]


@both_norms
def test_the_smallest_crossing_within_eps_does_not_depend_on_eps(norm):
    model, (inputs, labels) = network(), pixels(60)
    free = run(fab, model, inputs, labels, norm=norm)
    bound = run(fab, model, inputs, labels, norm=norm, eps=EPS[norm])
    within = norms(free - inputs, norm) <= EPS[norm]
    assert fooled(model(free), labels).all() and 0.2 < within.double().mean() < 1
    assert torch.equal(fooled(model(bound), labels) & within, within)
    assert torch.equal(bound[within], free[within])


@both_norms
@pytest.mark.parametrize("eps", [None, 1.0])
def test_restarts_never_lengthen_and_start_within_half_the_known_distance(norm, eps):
    model, (inputs, labels) = network(), pixels(200)
    keep = ~fooled(model(inputs), labels)
    inputs, labels = inputs[keep], labels[keep]
    seen = []

    def recorder(points):
        seen.append(points.detach())
        return model(points)

    one = norms(run(fab_t, model, inputs, labels, norm=norm, eps=eps, targets=1, steps=20) - inputs, norm)
    three = norms(
        run(fab_t, recorder, inputs, labels, norm=norm, eps=eps, targets=1, steps=20, restarts=3) - inputs, norm
    )
    assert (three <= one).all() and (three < one).any()
    # The clean logits, and then two forward passes per step.
    starts = [norms(seen[1 + 2 * 20 * run] - inputs, norm) for run in range(3)]
    assert starts[0].max() == 0
    assert (starts[1] <= one / 2 + 1e-6).all() and (starts[1] > one / 20).all()
    assert (starts[2] <= one / 2 + 1e-6).all() and not torch.equal(starts[1], starts[2])


@both_attacks
@both_norms
def test_an_example_s_result_is_its_own(attack, norm):
    model, (inputs, labels) = network(), pixels(30)
    options = {"norm": norm, "eps": EPS[norm], "restarts": 2, "steps": 5}
    whole = run(attack, model, inputs, labels, **options)
    assert torch.equal(whole, run(attack, model, inputs, labels, **options))
    assert not torch.equal(whole, run(attack, model, inputs, labels, **options | {"seed": 1}))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    parts = [run(attack, model, inputs[part], labels[part], part, **options) for part in order.split(7)]
    assert close_examples(torch.cat(parts), whole[order], 1e-4) > 0.9


@both_attacks
@both_norms
@pytest.mark.parametrize("change", [lambda logits: logits + 64, lambda logits: 1000 * logits])
def test_shifted_and_scaled_logits_are_no_harder(attack, norm, change):
    model, (inputs, labels) = network(), pixels(60)
    options = {"norm": norm, "steps": 8}
    before = distances(model, inputs, labels, run(attack, model, inputs, labels, **options), norm)
    points = run(attack, lambda batch: change(model(batch)), inputs, labels, **options)
    after = distances(model, inputs, labels, points, norm)
    # A crossing may hang on the last digit of a shifted logit.
    assert ((after - before).abs() <= 1e-2 * before + 1e-4).double().mean() > 0.9


@both_attacks
@both_norms
def test_a_plateau_is_left(attack, norm):
    def plateau(points):
        far = functional.relu((points - 0.5).abs() - 0.05).sum((1, 2, 3))
        return torch.stack([torch.full_like(far, 0.1), far], dim=1)

    inputs, labels = torch.full((4, 1, 6, 6), 0.5), torch.zeros(4, dtype=torch.int64)
    eps = {"linf": 0.3, "l2": 2.0}[norm]
    points = run(attack, plateau, inputs, labels, norm=norm, eps=eps, steps=20)
    assert fooled(plateau(points), labels).all()
    # Where no crossing exists, too, no image is returned as it was.
    flat = run(attack, lambda batch: plateau(batch) * torch.tensor([1.0, 0.0]), inputs, labels, norm=norm, eps=eps)
    assert (norms(flat - inputs, norm) > 0).all()


def test_global_state_is_left_alone():
    model, (inputs, labels) = network(), pixels(10)
    state = torch.random.get_rng_state()
    run(fab, model, inputs, labels, restarts=2, steps=2)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradients_of_a_thousand_classes_are_never_held_together():
    """Of 250 images of ImageNet's size they would take 150 GB."""
    count = Counted(nn.Sequential(nn.Flatten(), nn.Linear(12, 40)).eval())
    inputs, labels = torch.rand(3, 3, 2, 2), torch.zeros(3, dtype=torch.int64)
    others = torch.arange(1, 40).expand(3, 39)
    logits, gradients = difference_by_class(count, inputs, labels, others)
    weights = count.model[1].weight.detach()
    for taken, gradient in enumerate(gradients, 1):
        assert count.backwards == 3 * taken
        assert gradient.shape == inputs.shape
        torch.testing.assert_close(gradient.flatten(1), (weights[taken] - weights[0]).expand(3, 12))
    assert taken == 39 and torch.equal(logits, count.model(inputs))
