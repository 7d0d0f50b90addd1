"""DeepFool in closed form, against foolbox and torchattacks, and what it promises."""

import math

import foolbox
import pytest
import torch
import torchattacks
from attack_fixtures import Counted, both_norms, close_examples, dual, network, pixels
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.deepfool import _shorten, deepfool
from squeezeproof.attacks.objective import fooled, margin

COUNT, SHAPE = 128, (3, 4, 5)


def attack(model, inputs, labels, *, norm="l2", indices=None, **changes):
    settings = {"eps": None, "steps": 50, "overshoot": 0.02, "candidates": 10, "stop_on_success": False, "seed": 0}
    indices = torch.arange(len(labels)) if indices is None else indices
    return deepfool(model, inputs, labels, norm=norm, indices=indices, **settings | changes)


def linear(weight, bias=None):
    layer = nn.Linear(*reversed(weight.shape))
    layer.load_state_dict({"weight": weight, "bias": torch.zeros(len(weight)) if bias is None else bias})
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def correct(model, inputs, labels):
    return ~fooled(model(inputs), labels)


# --- Closed form ------------------------------------------------------------------------------------------------------


@both_norms
@pytest.mark.parametrize("overshoot", [0.0, 0.02, 0.5])
def test_the_nearest_boundary_of_a_linear_model_is_reached_in_one_step(norm, overshoot):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, math.prod(SHAPE), generator=generator)
    model = linear(weight)
    inputs = 0.5 + 0.02 * torch.randn(60, *SHAPE, generator=generator)
    labels = model(inputs).argmax(1)

    points = attack(model, inputs, labels, norm=norm, overshoot=overshoot, steps=1)

    gaps = model(inputs).gather(1, labels[:, None]) - model(inputs)
    distances = gaps / dual(weight[labels][:, None] - weight, norm)
    smallest = distances.scatter(1, labels[:, None], math.inf).amin(1)
    assert fooled(model(points), labels).all()
    reached = norms(points - inputs, norm)
    assert (reached >= smallest * (1 - 1e-5)).all() and (reached <= smallest * (1 + overshoot) + 2e-4).all()
    # What a large overshoot adds is taken back.
    assert (reached <= smallest * 1.01 + 2e-4).all()


@both_norms
def test_only_the_candidates_are_considered(norm):
    # Class 2 has the lower logit, but the nearer boundary.
    model = linear(torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 4.0]]), torch.tensor([0.5, 0.41, -2.5]))
    inputs, labels = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0])
    near, far = (attack(model, inputs, labels, norm=norm, candidates=count) for count in (3, 2))
    first, second = near.flatten().tolist(), far.flatten().tolist()
    assert first[1] == pytest.approx(0.75, abs=1e-3) and model(near).argmax(1).item() == 2
    assert second[0] == pytest.approx(0.9, abs=1e-3) and model(far).argmax(1).item() == 1
    assert torch.equal(attack(model, inputs, labels, norm=norm, candidates=50), near)


@both_norms
def test_pixels_at_the_edge_of_the_box_are_left_out(norm):
    # The strongest pixel cannot move: the other must do it alone.
    model = linear(torch.tensor([[0.0, 0.0], [9.0, 1.0]]), torch.tensor([9.3, 0.0]))
    inputs, labels = torch.tensor([[[[1.0, 0.1]]]]), torch.tensor([0])
    points = attack(model, inputs, labels, norm=norm, steps=3)
    assert fooled(model(points), labels).all()
    torch.testing.assert_close(points, torch.tensor([[[[1.0, 0.3]]]]), rtol=0, atol=2e-3)


# --- References -------------------------------------------------------------------------------------------------------


@both_norms
def test_norms_are_at_most_foolbox_s_and_as_many_are_fooled(norm):
    model, (inputs, labels) = network().requires_grad_(False), pixels(COUNT)
    kind = foolbox.attacks.L2DeepFoolAttack if norm == "l2" else foolbox.attacks.LinfDeepFoolAttack
    reference = kind(steps=50, candidates=10, overshoot=0.02)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")

    ours = attack(model, inputs, labels, norm=norm)
    theirs = reference.run(wrapped, inputs, foolbox.criteria.Misclassification(labels))

    judge(model, inputs, labels, ours, theirs, norm)
    assert fooled(model(theirs), labels).all()


def test_norms_are_at_most_torchattacks_and_no_point_is_on_the_boundary():
    model, (inputs, labels) = network().requires_grad_(False), pixels(32)
    ours = attack(model, inputs, labels)
    theirs = torchattacks.DeepFool(model, steps=50, overshoot=0.02)(inputs, labels)
    judge(model, inputs, labels, ours, theirs, "l2")
    right = correct(model, inputs, labels)
    assert margin(model(theirs), labels)[right].abs().amin() < 1e-5 < margin(model(ours), labels)[right].amin()


def judge(model, inputs, labels, ours, theirs, norm):
    right = correct(model, inputs, labels)
    assert fooled(model(ours), labels).all() and ours.min() >= 0 and ours.max() <= 1
    # A tenth of a percent: a reference that stops on the wrong side of the boundary has the shorter way.
    our_norms, their_norms = (norms(points - inputs, norm)[right] for points in (ours, theirs))
    assert our_norms.median() <= 1.001 * their_norms.median() and our_norms.mean() <= 1.001 * their_norms.mean()
    assert our_norms.median() > 0.9 * their_norms.median()
    assert torch.equal(ours[~right], inputs[~right])


# --- What it promises -------------------------------------------------------------------------------------------------


@both_norms
def test_the_result_does_not_depend_on_the_batch(norm):
    model, (inputs, labels) = network(), pixels(60)
    whole = attack(model, inputs, labels, norm=norm)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    for size in (1, 7):
        parts = [attack(model, inputs[part], labels[part], norm=norm, indices=part) for part in order.split(size)]
        parts = torch.cat(parts)
        assert close_examples(parts, whole[order], tolerance=1e-4) > 0.95
        # Success does not flip with the batch.
        logits = torch.cat([model(part) for part in parts.split(1)])
        assert fooled(logits, labels[order]).all() and fooled(model(parts), labels[order]).all()
    assert torch.equal(attack(model, inputs, labels, norm=norm), whole)


@both_norms
@pytest.mark.parametrize("offset, mask", [(1e4, 0.0), (-1e4, 0.0), (0.0, -1e9), (-300.0, -1e9)])
def test_common_offsets_and_masked_classes_do_not_lengthen_the_way(norm, offset, mask):
    model, (inputs, labels) = network(), pixels(100)
    inputs, labels = inputs[labels < 9], labels[labels < 9]
    masked = torch.where(torch.arange(10) == 9, mask, 0.0)
    plain = attack(lambda batch: model(batch)[:, :9], inputs, labels, norm=norm) if mask else None
    plain = attack(model, inputs, labels, norm=norm) if plain is None else plain
    changed = attack(lambda batch: model(batch) + masked + offset, inputs, labels, norm=norm)
    right = correct(lambda batch: model(batch) + masked, inputs, labels)
    assert fooled(model(changed) + masked + offset, labels)[right].all()
    one, other = norms(plain - inputs, norm)[right], norms(changed - inputs, norm)[right]
    # float32 keeps three decimals of a logit of 10,000.
    assert other.mean().item() == pytest.approx(one.mean().item(), rel=0.01)


@both_norms
@pytest.mark.parametrize("shift, scale", [(-50.0, 1.0), (50.0, 1.0), (0.0, 1000.0), (0.0, 0.01)])
def test_shifted_and_scaled_logits_give_no_robustness(norm, shift, scale):
    model, (inputs, labels) = network(), pixels(100)
    points = attack(model, inputs, labels, norm=norm)
    changed = attack(lambda batch: scale * model(batch) + shift, inputs, labels, norm=norm)
    right = correct(model, inputs, labels)
    assert fooled(model(changed), labels).all()
    one, other = norms(points - inputs, norm)[right], norms(changed - inputs, norm)[right]
    assert other.median().item() == pytest.approx(one.median().item(), rel=0.01)


@both_norms
def test_eps_bounds_the_result(norm):
    model, (inputs, labels) = network(), pixels(100)
    free = attack(model, inputs, labels, norm=norm)
    lengths = norms(free - inputs, norm)
    eps = lengths.median().item()
    points = attack(model, inputs, labels, norm=norm, eps=eps)
    assert (norms(points - inputs, norm) <= eps + 1e-6).all() and points.min() >= 0 and points.max() <= 1
    inside = lengths < eps
    torch.testing.assert_close(points[inside], free[inside], rtol=0, atol=1e-6)
    assert fooled(model(points), labels)[inside].all() and not fooled(model(points), labels).all()


@both_norms
def test_without_a_crossing_the_closest_approach_is_returned(norm):
    # A logit that no point of the box beats.
    model = linear(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([9.0, 0.0]))
    inputs, labels = torch.tensor([[[[0.2, 0.3]]]]), torch.tensor([0])
    points = attack(model, inputs, labels, norm=norm)
    torch.testing.assert_close(points, torch.ones_like(points))
    assert not fooled(model(points), labels).any()


@both_norms
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_plateau_gives_no_nan_and_is_left(norm, level):
    inputs, labels = torch.full((4, 1, 3, 3), 0.5), torch.zeros(4, dtype=torch.int64)

    def flat(points):
        return level * torch.eye(2)[0] + 0 * points.flatten(1)[:, :2]

    points = attack(flat, inputs, labels, norm=norm, steps=5)
    assert torch.isfinite(points).all() and (points != inputs).flatten(1).any(1).all()
    assert points.flatten(1).unique(dim=0).shape[0] == 4
    assert torch.equal(
        points[2:], attack(flat, inputs[2:], labels[2:], norm=norm, steps=5, indices=torch.tensor([2, 3]))
    )
    assert not torch.equal(points, attack(flat, inputs, labels, norm=norm, steps=5, seed=1))


@both_norms
def test_equal_logit_rows_are_no_target(norm):
    # Class 1 always stays one below the label's logit, so its boundary is infinitely far.
    model = linear(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([1.0, 0.0, 0.8]))
    inputs, labels = torch.tensor([[[[0.5, 0.4]]]]), torch.tensor([0])
    points = attack(model, inputs, labels, norm=norm)
    assert model(points).argmax(1).item() == 2
    torch.testing.assert_close(points, torch.tensor([[[[0.35, 0.55]]]]), rtol=0, atol=1e-3)


def test_finished_and_misclassified_examples_cost_nothing():
    model, (inputs, labels) = network(), pixels(COUNT)
    counted = Counted(model)
    points = attack(counted, inputs, labels)
    right = int(correct(model, inputs, labels).sum())
    # Two steps of nine backward passes for most; the first forward, two per step, and the shortening's three.
    assert 9 * right <= counted.backwards < 9 * 2.5 * right
    assert counted.backwards % 9 == 0 and counted.forwards == COUNT + 2 * counted.backwards // 9 + 3 * right
    counted = Counted(model)
    assert torch.equal(attack(counted, points, labels), points) and counted.forwards == COUNT
    assert counted.backwards == 0


def test_a_point_that_seems_to_be_across_is_no_reason_to_leave_the_segment():
    linear_model, low, high, asked = linear(torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, 0.0])), 0.2, 0.3, []
    points = [torch.full((4, 1, 1, 1), value) for value in (low, high)]
    under, over = torch.tensor([-0.1, 1e-6, 1e-6, 2e-6]), torch.tensor([0.5, 0.5, 1e-6, 1e-6])

    def model(points):
        asked.append(points)
        return linear_model(points)

    found = _shorten(model, *points, under, over, torch.zeros(4, dtype=torch.int64), torch.zeros(4))
    assert all(((low - 1e-6 <= batch) & (batch <= high)).all() for batch in [*asked, found])
