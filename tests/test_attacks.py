"""Attacks in closed form, and what every one of them promises."""

import itertools
import math

import pytest
import torch
from attack_fixtures import EPS, GRADIENT_METHODS, both_norms, close_examples, dual, network, pixels, run, settings
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.ball import norms, random_point
from squeezeproof.attacks.objective import LOSSES, cross_entropy, fooled, margin
from squeezeproof.attacks.registry import ATTACKS

# --- Closed form: on a linear model the strongest perturbation of a ball is known ------------------------------------


FULL_STEPS = {
    "fgsm": ("fgsm", {}),
    "bim": ("bim", {"steps": 10}),
    "bim-last": ("bim", {"steps": 10, "keep": "last"}),
    "pgd": ("pgd", {"steps": 12, "alpha": 0.1}),
    "pgd-last": ("pgd", {"steps": 12, "alpha": 0.1, "keep": "last"}),
    "pgd-restarts": ("pgd", {"steps": 12, "alpha": 0.1, "restarts": 2, "keep": "last"}),
    "pgd-no-start": ("pgd", {"steps": 10, "random_start": False}),
    "apgd": ("apgd", {"steps": 40}),
    "mifgsm": ("mifgsm", {"steps": 10, "keep": "best"}),
}
attacks = pytest.mark.parametrize("name", FULL_STEPS)
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
    permuted = run(method, model, inputs[order], labels[order], indices=order, **options)
    parts = [run(method, model, inputs[part], labels[part], indices=part, **options) for part in order.split(7)]
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


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_a_model_so_confident_that_its_cross_entropy_saturates_is_broken_all_the_same(method):
    model, (inputs, labels) = network(), pixels(100)

    def confident(points):
        return 1000 * model(points)

    budget = {"eps": EPS[settings(method)["norm"]]}
    plain = fooled(model(run(method, model, inputs, labels, **budget)), labels).sum()
    broken = fooled(model(run(method, confident, inputs, labels, **budget)), labels).sum()
    assert plain > 25 and abs(broken - plain) <= 6
