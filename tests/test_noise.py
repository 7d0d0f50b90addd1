"""The random-noise control."""

import itertools

import pytest
import torch
from attack_fixtures import EPS, both_norms, close_examples, network, pixels

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.noise import noise
from squeezeproof.attacks.objective import LOSSES, fooled
from squeezeproof.attacks.square import square
from squeezeproof.errors import InputError

WIDE = {"linf": 0.4, "l2": 3.0}


def attack(model, inputs, labels, *, norm="linf", indices=None, **changes):
    """The points of one batch, in the ball and in the box."""
    indices = torch.arange(len(labels)) if indices is None else indices
    options = {"eps": WIDE[norm], "samples": 10, "loss": "margin", "stop_on_success": False, "seed": 0} | changes
    points = noise(model, inputs, labels, norm=norm, indices=indices, **options)
    assert points.min() >= 0 and points.max() <= 1 and not points.requires_grad
    assert norms(points - inputs, norm).max() <= options["eps"] * (1 + 1e-5)
    return points


class Recorder:
    """A model that keeps what it is shown, and answers without a gradient."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def __call__(self, points):
        assert not torch.is_grad_enabled()
        logits = self.model(points).detach()
        self.seen.append((points.clone(), logits.clone()))
        return logits


@both_norms
@pytest.mark.parametrize("loss", LOSSES)
def test_the_strongest_of_all_samples_is_returned(norm, loss):
    recorder, (inputs, labels) = Recorder(network()), pixels(100)
    points = attack(recorder, inputs, labels, norm=norm, loss=loss, samples=7)
    assert len(recorder.seen) == 7
    fools = torch.stack([fooled(logits, labels) for _, logits in recorder.seen])
    values = torch.stack([LOSSES[loss](logits, labels) for _, logits in recorder.seen])
    best = torch.where(fools == fools.any(0), values, float("-inf"))
    # Several may be the best where the difference of logits ratio saturates.
    chosen = torch.stack([(points == seen).flatten(1).all(1) for seen, _ in recorder.seen])
    assert chosen.any(0).all() and chosen.any(1).all()
    assert torch.equal(best[chosen], best.amax(0).expand_as(best)[chosen])
    assert 0.1 < fools.any(0).double().mean() < 0.9


@both_norms
def test_the_samples_fill_the_ball(norm):
    inputs, recorder = torch.full((200, 1, 4, 4), 0.5), Recorder(network_of_zeros)
    attack(recorder, inputs, torch.zeros(200, dtype=torch.long), norm=norm, eps=0.1, samples=5)
    deltas = torch.cat([points - inputs for points, _ in recorder.seen])
    assert deltas.mean().abs() < 0.003
    # The share within a fraction r of the radius is r to the power of the dimension.
    if norm == "linf":
        assert abs((deltas.abs() < 0.05).double().mean() - 0.5) < 0.02
    else:
        assert abs((norms(deltas, norm) < 0.1 * 0.5 ** (1 / 16)).double().mean() - 0.5) < 0.06
    assert len(torch.unique(deltas, dim=0)) == 1000


def network_of_zeros(points):
    return torch.zeros(len(points), 3)


@both_norms
def test_stop_on_success_ends_at_the_first_sample_that_fools(norm):
    recorder, (inputs, labels) = Recorder(network()), pixels(100)
    everything = attack(recorder, inputs, labels, norm=norm)
    hits = torch.stack([fooled(logits, labels) for _, logits in recorder.seen])
    recorder.seen.clear()
    points = attack(recorder, inputs, labels, norm=norm, stop_on_success=True)
    assert torch.equal(fooled(recorder.model(points), labels), fooled(recorder.model(everything), labels))
    needed = torch.where(hits.any(0), hits.int().argmax(0) + 1, 10).sum()
    assert sum(len(points) for points, _ in recorder.seen) == needed < 0.95 * 10 * 100


@both_norms
def test_more_samples_are_never_weaker_and_square_beats_them(norm):
    model, (inputs, labels) = network(), pixels(100)
    fools = [
        fooled(model(attack(model, inputs, labels, norm=norm, eps=EPS[norm], samples=samples)), labels)
        for samples in (1, 3, 30)
    ]
    assert all((more >= less).all() for less, more in itertools.pairwise(fools))
    options = {"eps": EPS[norm], "norm": norm, "loss": "margin", "restarts": 1, "stop_on_success": True}
    options |= {"p_init": 0.8, "reference": True}
    strong = square(model, inputs, labels, queries=30, seed=0, indices=torch.arange(100), **options)
    assert fooled(model(strong), labels).sum() > fools[2].sum() + 5


@both_norms
def test_an_example_s_points_depend_on_its_seed_and_index_alone(norm):
    model, (inputs, labels) = network(), pixels(40)
    before = torch.get_rng_state()
    whole = attack(model, inputs, labels, norm=norm)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    parts = [attack(model, inputs[part], labels[part], norm=norm, indices=part) for part in order.split(7)]
    assert close_examples(torch.cat(parts), whole[order]) > 0.97
    assert torch.equal(whole, attack(model, inputs, labels, norm=norm))
    assert close_examples(whole, attack(model, inputs, labels, norm=norm, seed=1)) == 0
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "change", [lambda logits: logits - 50, lambda logits: logits + 50, lambda logits: 1000 * logits]
)
def test_shift_and_scale_of_the_logits_change_nothing(change):
    model, (inputs, labels) = network(), pixels(80)
    points = attack(model, inputs, labels)
    changed = attack(lambda x: change(model(x)), inputs, labels)
    assert close_examples(points, changed) > 0.97


@pytest.mark.parametrize("stop_on_success", [False, True])
def test_logits_that_are_not_finite_raise(stop_on_success):
    inputs, labels = pixels(6)
    with pytest.raises(InputError, match="finite"):
        attack(lambda x: torch.full((len(x), 10), float("nan")), inputs, labels, stop_on_success=stop_on_success)
