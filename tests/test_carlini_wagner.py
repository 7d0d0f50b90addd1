"""The l2 attack of Carlini and Wagner: in closed form, against three libraries, and what it promises."""

import math
import sys
import types

import pytest
import torch
from attack_fixtures import close_examples, network, pixels
from torch import nn

from squeezeproof.attacks import carlini_wagner
from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.carlini_wagner import cw
from squeezeproof.attacks.objective import fooled, margin

SHAPE = (3, 4, 5)
DEFAULTS = {
    "norm": "l2",
    "eps": None,
    "confidence": 0.0,
    "learning_rate": 0.01,
    "searches": 5,
    "steps": 100,
    "initial_c": 0.01,
    "stop_on_success": False,
    "seed": 0,
}


def run(model, inputs, labels, *, indices=None, **changes):
    assert not changes.keys() - DEFAULTS.keys()
    indices = torch.arange(len(labels)) if indices is None else indices
    return cw(model, inputs, labels, indices=indices, **(DEFAULTS | changes))


def distances(model, inputs, labels, points):
    """The l2 norms of the perturbations, infinite where the point is not adversarial."""
    return torch.where(fooled(model(points), labels), norms(points - inputs, "l2"), math.inf)


def linear(weight, bias):
    layer = nn.Linear(*reversed(weight.shape))
    layer.load_state_dict({"weight": weight, "bias": bias})
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


class Counted:
    """A model that counts the images it is shown with and without a gradient."""

    def __init__(self, model):
        self.model, self.forwards, self.backwards = model.requires_grad_(False), 0, 0

    def __call__(self, points):
        self.forwards += len(points)
        self.backwards += len(points) * points.requires_grad
        return self.model(points)


# --- Closed form: the distance to a hyperplane, also inside the box -------------------------------------------------


@pytest.mark.parametrize("confidence", [0.0, 2.0])
def test_the_nearest_of_many_hyperplanes_is_reached(confidence):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(7, math.prod(SHAPE), generator=generator)
    model = linear(weight, torch.zeros(7))
    inputs = 0.4 + 0.2 * torch.rand(40, *SHAPE, generator=generator)
    logits = model(inputs)
    labels = logits.argmax(1)
    gaps = (logits.gather(1, labels[:, None]) - logits + confidence) / (weight[labels][:, None] - weight).norm(dim=2)
    nearest = gaps.scatter(1, labels[:, None], math.inf).amin(1)

    # The nearest boundary is 0.003 away: a learning rate of 0.01 steps over it.
    settings = {"searches": 9, "steps": 200, "initial_c": 0.001, "learning_rate": 0.001}
    points = run(model, inputs, labels, confidence=confidence, **settings)

    assert (margin(model(points), labels) >= confidence).all()
    reached = distances(model, inputs, labels, points)
    assert (reached >= nearest - 1e-5).all() and (reached <= 1.03 * nearest + 1e-3).all()


@pytest.mark.parametrize("budget", [{"steps": 400}, {"steps": 100, "initial_c": 1.0}])
def test_black_and_white_pixels_move_to_the_nearest_point_of_hyperplane_and_box(budget):
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(2, math.prod(SHAPE), generator=generator)
    inputs = torch.randint(0, 2, (40, *SHAPE), generator=generator).float()
    model = linear(weight, torch.zeros(2))
    labels = model(inputs).argmax(1)
    uphill = weight[1 - labels] - weight[labels]
    # The nearest point is clip(x + t * uphill), with the least t that reaches the hyperplane.
    low, high = torch.zeros(40, 1), torch.ones(40, 1)
    for _ in range(40):
        middle = (low + high) / 2
        crossed = ((inputs.flatten(1) + middle * uphill).clamp(0, 1) * uphill).sum(1, keepdim=True) > 0
        low, high = torch.where(crossed, low, middle), torch.where(crossed, middle, high)
    nearest = ((inputs.flatten(1) + high * uphill).clamp(0, 1) - inputs.flatten(1)).norm(dim=1)

    reached = distances(model, inputs, labels, run(model, inputs, labels, searches=9, **budget))

    assert (reached >= nearest - 1e-4).all()
    assert (reached <= 1.05 * nearest + 2e-3).all() and reached.median() <= 1.02 * nearest.median()


# --- The references: never farther, never fewer, and no nearer than the converged attack ----------------------------


def foolbox_points(model, inputs, labels, budget):
    import foolbox

    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=budget["searches"],
        steps=budget["steps"],
        stepsize=budget["learning_rate"],
        confidence=0,
        initial_const=budget["initial_c"],
    )
    points = attack.run(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), inputs, labels)
    # Where it finds nothing it returns a black image.
    return torch.where((points == 0).flatten(1).all(1)[:, None, None, None], inputs, points)


def art_points(model, inputs, labels, budget):
    from art.attacks.evasion import CarliniL2Method
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), input_shape=(1, 8, 8), nb_classes=10, clip_values=(0, 1), device_type="cpu"
    )
    attack = CarliniL2Method(
        classifier,
        learning_rate=budget["learning_rate"],
        binary_search_steps=budget["searches"],
        max_iter=budget["steps"],
        initial_const=budget["initial_c"],
        batch_size=len(inputs),
        verbose=False,
    )
    return torch.from_numpy(attack.generate(inputs.numpy(), labels.numpy()))


def adv_lib_points(model, inputs, labels, budget):
    pytest.importorskip("adv_lib")
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))
    from adv_lib.attacks.carlini_wagner.l2 import carlini_wagner_l2

    return carlini_wagner_l2(
        model,
        inputs,
        labels,
        learning_rate=budget["learning_rate"],
        initial_const=budget["initial_c"],
        binary_search_steps=budget["searches"],
        max_iterations=budget["steps"],
    )


# ART takes half a minute with 5 x 100, and finds fewer than with its default of 10 x 10.
@pytest.mark.parametrize(
    "reference, searches, steps, initial_c",
    [
        (foolbox_points, 10, 10, 0.01),
        (foolbox_points, 5, 100, 0.01),
        (art_points, 10, 10, 0.01),
        (adv_lib_points, 7, 100, 0.001),
    ],
)
def test_success_and_median_distance_are_at_least_the_reference_s(reference, searches, steps, initial_c):
    model, (inputs, labels) = network().requires_grad_(False), pixels(64)
    budget = {"searches": searches, "steps": steps, "initial_c": initial_c, "learning_rate": 0.01}

    ours = distances(model, inputs, labels, run(model, inputs, labels, **budget))
    theirs = distances(model, inputs, labels, reference(model, inputs, labels, budget).detach())

    assert ours.isfinite().sum() >= theirs.isfinite().sum()
    assert ours.isfinite().all()
    assert ours.median() <= 1.01 * theirs.median()


def test_the_converged_distance_is_the_reference_s():
    model, (inputs, labels) = network().requires_grad_(False), pixels(16)
    budget = {"searches": 7, "steps": 400, "initial_c": 0.01, "learning_rate": 0.01}
    ours = distances(model, inputs, labels, run(model, inputs, labels, **budget))
    theirs = distances(model, inputs, labels, adv_lib_points(model, inputs, labels, budget).detach())
    close = (ours / theirs - 1).abs()[~fooled(model(inputs), labels)] < 0.02
    assert close.double().mean() > 0.85
    assert abs(ours.median() / theirs.median() - 1) < 0.01


# --- What it promises ------------------------------------------------------------------------------------------------


def test_more_steps_and_searches_come_nearer():
    model, (inputs, labels) = network().requires_grad_(False), pixels(32)
    reached = [
        distances(model, inputs, labels, run(model, inputs, labels, searches=searches, steps=steps)).mean()
        for searches, steps in [(3, 20), (6, 20), (6, 200)]
    ]
    assert reached[0] > reached[1] * 1.001 and reached[1] > reached[2] * 1.001


def test_misclassified_images_are_returned_as_they_are_and_no_other():
    model, (inputs, labels) = network().requires_grad_(False), pixels(100)
    wrong = fooled(model(inputs), labels)
    for options in ({"steps": 20}, {"searches": 1, "steps": 2}, {"confidence": 1.0, "steps": 20}):
        points = run(model, inputs, labels, **options)
        same = (points == inputs).flatten(1).all(1)
        assert wrong.any() and torch.equal(same, wrong)


def test_an_example_it_cannot_break_comes_as_near_as_the_best_point_seen():
    seen = []

    def hill(points):
        # A margin of at most -1, highest where every pixel is 0.5.
        gap = -1 - (points - 0.5).square().sum((1, 2, 3))
        seen.append(gap.detach())
        return torch.stack([torch.zeros_like(gap), gap, gap - 1], dim=1)

    inputs, labels = torch.full((3, 1, 4, 4), 0.45), torch.zeros(3, dtype=torch.int64)
    points = run(hill, inputs, labels, searches=4, steps=20, initial_c=1.0)
    highest = torch.stack([gaps for gaps in seen if len(gaps) == 3]).amax(0)
    gaps = -1 - (points - 0.5).square().sum((1, 2, 3))
    torch.testing.assert_close(gaps, highest)
    assert (gaps > -1 - 16 * 0.05**2 + 0.02).all()


def test_the_image_is_not_returned_even_where_every_step_lowers_the_margin():
    def peak(points):
        gap = -1 - (points - 0.5).square().sum((1, 2, 3))
        return torch.stack([torch.zeros_like(gap), gap], dim=1)

    inputs = torch.full((3, 1, 4, 4), 0.5)
    points = run(peak, inputs, torch.zeros(3, dtype=torch.int64), searches=2, steps=5)
    assert (points != inputs).flatten(1).any(1).all()


def test_the_result_stays_in_the_box_and_in_the_ball_when_there_is_one():
    model, (inputs, labels) = network().requires_grad_(False), pixels(32)
    free, bound = run(model, inputs, labels), run(model, inputs, labels, eps=0.4)
    for points in (free, bound):
        assert points.min() >= 0 and points.max() <= 1 and points.dtype == torch.float32
    lengths = norms(bound - inputs, "l2")
    assert (lengths <= 0.4 + 1e-6).all() and norms(free - inputs, "l2").max() > 0.6
    near = norms(free - inputs, "l2") <= 0.4
    assert torch.equal(bound[near], free[near])
    torch.testing.assert_close(lengths[~near], torch.full_like(lengths[~near], 0.4))


def test_white_box_breaks_the_same_examples_in_fewer_passes():
    inputs, labels = pixels(48)
    full, short = Counted(network()), Counted(network())
    transfer = run(full, inputs, labels, eps=0.6)
    white = run(short, inputs, labels, eps=0.6, stop_on_success=True)
    broken = fooled(full.model(transfer), labels)
    assert torch.equal(broken, fooled(full.model(white), labels))
    assert 0.2 < broken.double().mean() < 0.9
    assert short.forwards < 0.8 * full.forwards and short.backwards < 0.8 * full.backwards
    # It stops within a search too.
    one, cut = Counted(full.model), Counted(full.model)
    run(one, inputs, labels, eps=1.0, searches=1, initial_c=1.0)
    run(cut, inputs, labels, eps=1.0, searches=1, initial_c=1.0, stop_on_success=True)
    assert cut.forwards < 0.8 * one.forwards
    # Without a ball stop_on_success changes nothing: the nearest point is wanted.
    few = {"searches": 2, "steps": 20}
    assert torch.equal(run(full, inputs, labels, stop_on_success=True, **few), run(full, inputs, labels, **few))


def test_passes_are_one_of_each_per_step_of_the_examples_that_still_run():
    inputs, labels = pixels(64)
    counted = Counted(network())
    right = (~fooled(counted.model(inputs), labels)).sum().item()
    run(counted, inputs, labels, searches=3, steps=50)
    assert counted.forwards == counted.backwards + 64
    assert 0.3 * right * 3 * 50 < counted.backwards < right * 3 * 50
    counted = Counted(network())
    run(counted, inputs, labels, searches=2, steps=2)
    assert counted.backwards <= right * 4


@pytest.mark.parametrize(("steps", "looked"), [(10, 10), (40, 16), (200, 21)])
def test_a_search_without_progress_ends_at_its_second_look_which_is_not_too_soon(monkeypatch, steps, looked):
    monkeypatch.setattr(carlini_wagner, "PROGRESS", 1e-9)
    model = Counted(linear(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([9.0, 0.0])))
    run(model, torch.rand(3, 1, 1, 2), torch.zeros(3, dtype=torch.long), searches=1, steps=steps)
    assert model.backwards == 3 * looked


def test_it_is_deterministic_and_leaves_the_global_rng_and_the_model_alone():
    model, (inputs, labels) = network(), pixels(32)
    state = torch.get_rng_state()
    few = {"searches": 3, "steps": 30}
    one, again = run(model, inputs, labels, **few), run(model, inputs, labels, seed=7, **few)
    # The seed matters on a plateau only.
    assert torch.equal(one, again) and torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_example_s_result_does_not_depend_on_its_batch():
    model, (inputs, labels) = network().requires_grad_(False), pixels(30)
    few = {"searches": 4, "steps": 50}
    whole = run(model, inputs, labels, **few)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    parts = [run(model, inputs[part], labels[part], indices=part, **few) for part in order.split(8)]
    alone = [run(model, inputs[[i]], labels[[i]], indices=torch.tensor([i]), **few) for i in range(3)]
    changed = torch.where((torch.arange(30) < 15)[:, None, None, None], inputs, 1 - inputs)
    neighbours = run(model, changed, labels, **few)
    for points, expected in [(torch.cat(parts), whole[order]), (torch.cat(alone), whole[:3])]:
        assert close_examples(points, expected, 1e-3) > 0.9
    assert close_examples(neighbours[:15], whole[:15], 1e-3) > 0.9


@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_a_constant_added_to_the_logits_changes_nothing(shift):
    model, (inputs, labels) = network().requires_grad_(False), pixels(32)
    plain = distances(model, inputs, labels, run(model, inputs, labels))
    shifted = distances(model, inputs, labels, run(lambda points: model(points) + shift, inputs, labels))
    assert (shifted / plain - 1).abs().nan_to_num().quantile(0.9) < 0.01


@pytest.mark.parametrize("scale", [1000.0, 0.001])
def test_scaled_logits_do_not_look_robust(scale):
    model, (inputs, labels) = network().requires_grad_(False), pixels(32)
    budget = {"searches": 9, "initial_c": 0.001, "steps": 50}
    plain = distances(model, inputs, labels, run(model, inputs, labels, **budget))
    scaled = distances(model, inputs, labels, run(lambda points: scale * model(points), inputs, labels, **budget))
    assert scaled.isfinite().all() and scaled.median() < 1.1 * plain.median()


def test_a_plateau_is_left_in_a_direction_of_the_seed_and_the_example():
    def dome(points):
        # Flat around the image, class 1 beyond a distance of 0.3.
        away = ((points - 0.5).square().sum((1, 2, 3)) + 1e-20).sqrt()
        return torch.stack([torch.zeros_like(away), (away - 0.1).clamp_min(0) - 0.2], dim=1)

    inputs, labels = torch.full((4, 1, 4, 4), 0.5), torch.zeros(4, dtype=torch.int64)
    points = run(dome, inputs, labels, searches=9)
    assert fooled(dome(points), labels).all()
    assert norms(points - inputs, "l2").max() < 0.35
    assert torch.equal(points, run(dome, inputs, labels, searches=9))
    assert not torch.equal(points, run(dome, inputs, labels, searches=9, seed=1))
    assert len(points.unique(dim=0)) == 4
