"""The probe of a source: sound models pass, and what an attack on them would hide is caught."""

import random

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network, settings
from entry_examples import complete

from squeezeproof.attacks.objective import log_odds
from squeezeproof.attacks.pgd import pgd
from squeezeproof.audit import probe as probe_module
from squeezeproof.audit.probe import probe
from squeezeproof.audit.trial import Trial
from squeezeproof.compression.quantization import quantize

# The probe


def ripple(points):
    """Pixels with waves shorter than the attack's steps."""
    return points + 0.1 * (120 * points).sin()


def probed(model, expectation=1, **changes):
    images, labels = held_out(60)
    entry = settings("pgd", **{"eps": 0.15, "steps": 40, **changes})
    options = {"deep": True, "expectation": expectation, "batch_size": 25}
    findings = probe(model, images, labels, entry, seed=0, dataset="digits", source="a", **options)
    return {finding.check: finding for finding in findings}


class Wrapped(torch.nn.Module):
    """The trained network with something done to its logits, or before it."""

    def __init__(self, after=lambda logits: logits, before=lambda points: points):
        super().__init__()
        self.network, self.after, self.before = network(), after, before

    def forward(self, points):
        return self.after(self.network(self.before(points)))


def test_a_sound_source_passes_the_probe():
    found = probed(network(), eps=0.05)
    assert {number: finding.verdict for number, finding in found.items() if finding.verdict != "pass"} == {
        16: "not applicable"
    }, found


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("steps", [1, 4])
def test_the_losses_of_a_run_are_those_of_all_its_points_whatever_is_kept(keep, steps):
    """PGD that keeps the last point does not look at it itself; of one step the curve was too short to be read."""
    images, labels = held_out(6)
    options = {name: settings("pgd", eps=0.05, steps=steps, keep=keep)[name] for name in probe_module.DEFAULT}
    trial = Trial(network(), images, labels, 0, None)
    curves = trial.curves(**options, stop_on_success=False)
    assert curves.shape == (6, steps + 1)
    points = pgd(
        trial.model, trial.inputs, trial.labels, seed=0, indices=torch.arange(6),
        **options | {"keep": "last"}, stop_on_success=False,
    )  # fmt: skip
    torch.testing.assert_close(curves[:, -1], log_odds(trial.logits(points), trial.labels))
    assert probed(network(), eps=0.05, steps=steps, keep=keep)[17].verdict in ("pass", "warning")


def seldom(draw):
    """Logits that are halved in one pass of 1,000, as a number drawn in each pass decides."""
    return lambda logits: logits * (0.5 if draw() < 0.001 else 1.0)


DRAWS = {
    "from Python's random": lambda: seldom(random.random),
    "from numpy.random": lambda: seldom(np.random.random),
    "from torch": lambda: seldom(lambda: torch.rand(()).item()),
}


@pytest.mark.parametrize("said", DRAWS)
def test_a_model_that_draws_random_numbers_is_caught_also_where_they_seldom_matter(said):
    finding = probed(Wrapped(DRAWS[said]()))[6]
    assert finding.verdict == "failure" and said in finding.message


def test_a_model_with_a_generator_of_its_own_is_caught():
    own = random.Random(0)
    found = probed(Wrapped(lambda logits: logits * (1.0 if own.random() < 0.5 else 0.9)))
    assert found[6].verdict == "failure" and found[6].value > 0.1


def noise(points):
    return points + 0.1 * torch.randn_like(points)


def test_a_random_model_is_a_warning_where_its_attacks_see_the_mean_of_several_passes():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        alone, found = (probed(Wrapped(before=noise), passes, steps=2) for passes in (1, 10))
    assert alone[6].verdict == "failure" and "write expectation: 10 for every attack on it" in alone[6].message
    assert found[6].verdict == "warning" and "the mean logits of 10 passes" in found[6].message
    assert {number: finding.verdict for number, finding in found.items()} == {
        **{6: "warning", 7: "pass", 9: "pass"},
        **dict.fromkeys((11, 16, 17, 18), "not applicable"),
    }


def test_a_model_that_looks_at_its_batch_is_a_failure_whatever_its_attacks_see():
    assert probed(Wrapped(before=of_the_batch), 10)[6].verdict == "failure"


def of_the_batch(points):
    """Batch normalisation without running statistics."""
    return (points - points.mean((0, 2, 3), keepdim=True)) / points.std((0, 2, 3), keepdim=True)


def never_alone(points):
    if len(points) < 2:
        raise ValueError("Expected more than 1 value per channel when training")
    return points


@pytest.mark.parametrize("before", [of_the_batch, never_alone])
def test_a_model_that_looks_at_the_rest_of_a_batch_is_caught(before):
    finding = probed(Wrapped(before=before))[6]
    assert finding.verdict == "failure" and "depend on the other images of its batch" in finding.message


class Turned(torch.autograd.Function):
    """Leaves the pixels as they are and gives the gradient of others."""

    @staticmethod
    def forward(ctx, points, turn):
        ctx.turn = turn
        return points.clone()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.turn(gradient), None


@pytest.mark.parametrize(
    "turn",
    [torch.neg, lambda gradient: gradient.roll(1, 0), lambda gradient: torch.randn(gradient.shape)],
    ids=["the other way", "of the next image", "noise"],
)
def test_gradients_along_which_the_loss_does_not_rise_are_caught(turn):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        finding = probed(Wrapped(before=lambda points: Turned.apply(points, turn)), steps=2)[9]
    assert finding.verdict == "warning" and "input gradients are wrong: a small step along them" in finding.message
    assert finding.value < finding.threshold


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_gradients_that_pass_a_rounding_are_sound(bits):
    model, (images, _) = network(), held_out(60)
    quantize(model, images.shape[1:], complete("compressions", "quantization", bits=bits), images, 0)
    assert probed(model, steps=2)[9].verdict == "pass"


@pytest.mark.parametrize(("count", "others", "most"), [(50, 1, 0.0396), (50, 2, 0.0554), (10_000, 1, 0.01)])
def test_one_image_of_a_small_sample_is_no_change(count, others, most):
    usual = torch.zeros(count, dtype=torch.bool)
    stronger = torch.arange(count) < others
    change, allowed = probe_module._lost(stronger, usual)
    assert change == pytest.approx(others / count) and allowed == pytest.approx(most, abs=1e-4)
    assert change < allowed
    # One image in five is.
    change, allowed = probe_module._lost(torch.arange(count) < count / 5, usual)
    assert change > allowed


@pytest.mark.parametrize(
    "number, verdict, model, changes",
    [
        (6, "failure", lambda: Wrapped(lambda logits: logits + 0.01 * torch.randn(1)), {}),
        (7, "failure", lambda: Wrapped(lambda logits: logits.softmax(1)), {}),
        (9, "warning", lambda: Wrapped(before=lambda points: (points * 4).round() / 4), {"steps": 2}),
        # Confident logits, as defensive distillation makes them.
        (9, "warning", lambda: Wrapped(lambda logits: 1000 * logits), {"steps": 2}),
        (11, "warning", network, {"steps": 1, "alpha": 0.03}),
        (16, "warning", lambda: Wrapped(before=ripple), {"keep": "last", "eps": 0.05, "alpha": 0.05, "steps": 3}),
        (17, "warning", network, {"eps": 0.05, "steps": 10, "alpha": 0.002}),
        # The gradients of such logits vanish in float32.
        (18, "warning", lambda: Wrapped(lambda logits: 2e-44 * logits), {"steps": 5}),
    ],
)
def test_the_probe_catches(number, verdict, model, changes):
    with torch.random.fork_rng(devices=[]):
        found = probed(model(), **changes)
    assert found[number].verdict == verdict, found
    assert found[number].message
