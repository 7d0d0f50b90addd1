"""Square Attack: closed form on linear models, its promises, and its strength beside the reference implementations."""

import itertools
import math

import numpy
import pytest
import torch
import torchattacks
from art.attacks.evasion import SquareAttack
from art.estimators.classification import PyTorchClassifier
from attack_fixtures import EPS, NORMS, both_norms, close_examples, dual, network, pixels
from torch import nn

from squeezeproof.attacks import objective
from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.objective import fooled, margin
from squeezeproof.attacks.square import _bumps, schedule, square
from squeezeproof.errors import InputError

STOPS = (False, True)
# Those that a study may name.
LOSSES = {name: objective.LOSSES[name] for name in ("margin", "cross_entropy", "dlr")}
DEFAULTS = {"p_init": 0.8, "reference": True, "loss": "margin", "restarts": 1, "stop_on_success": False, "seed": 0}


def attack(model, inputs, labels, *, eps=None, norm="linf", queries=60, indices=None, **changes):
    """The points of one batch, in the ball and in the box."""
    eps = EPS[norm] if eps is None else eps
    indices = torch.arange(len(labels)) if indices is None else indices
    options = {"eps": eps, "norm": norm, "queries": queries, "indices": indices} | DEFAULTS | changes
    points = square(model, inputs, labels, **options)
    assert points.shape == inputs.shape and points.dtype == torch.float32 and not points.requires_grad
    assert points.min() >= 0 and points.max() <= 1
    assert norms(points - inputs, norm).max() <= eps * (1 + 1e-5)
    return points


class Recorder:
    """A model that keeps what it is shown, and answers without a gradient."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def __call__(self, points):
        assert not torch.is_grad_enabled() and not points.requires_grad
        logits = self.model(points).detach()
        self.seen.append((points.clone(), logits.clone()))
        return logits

    def images(self):
        return sum(len(points) for points, _ in self.seen)


def linear(weight, bias):
    """The model x -> weight x + bias."""
    layer = nn.Linear(*reversed(weight.shape))
    layer.load_state_dict({"weight": weight, "bias": bias})
    return nn.Sequential(nn.Flatten(), layer).eval()


def two_classes(shape, count, reach):
    """A linear model, images that stay inside the box under a perturbation of norm `reach`, and labels."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2, math.prod(shape), generator=generator)
    inputs = reach + (1 - 2 * reach) * torch.rand(count, *shape, generator=generator)
    return linear(weight, torch.tensor([0.3, -0.2])), weight, inputs, torch.arange(count) % 2


def constant(points):
    """Logits that are the same everywhere."""
    return torch.tensor([1.0, 0.0, 0.0]).repeat(len(points), 1)


# --- Closed form -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 6, 6)])
def test_linf_reaches_the_worst_margin_of_a_linear_model(shape, loss):
    model, weight, inputs, labels = two_classes(shape, 20, 0.1)
    points = attack(model, inputs, labels, eps=0.1, queries=2500, loss=loss)
    worst = margin(model(inputs), labels) + 0.1 * dual(weight[0] - weight[1], "linf")
    torch.testing.assert_close(margin(model(points), labels), worst, rtol=1e-5, atol=1e-5)


def test_linf_reaches_the_worst_corner_of_ball_and_box():
    model, weight, inputs, labels = two_classes((3, 4, 5), 20, 0.1)
    inputs = (inputs > 0.5).float()
    points = attack(model, inputs, labels, eps=0.1, queries=3000)
    uphill = (weight[1 - labels] - weight[labels]).sign().view_as(inputs)
    assert close_examples(points, (inputs + 0.1 * uphill).clamp(0, 1)) > 0.9


def test_l2_approaches_the_worst_margin_of_a_linear_model():
    model, weight, inputs, labels = two_classes((1, 6, 6), 40, 0.1)
    points = attack(model, inputs, labels, eps=0.1, norm="l2", queries=2000)
    gain = margin(model(points), labels) - margin(model(inputs), labels)
    share = gain / (0.1 * dual(weight[0] - weight[1], "l2"))
    # Bumps in windows of at least 3 x 3 pixels cannot follow every weight.
    assert share.min() > 0.65 and share.mean() > 0.74 and share.max() <= 1 + 1e-4


@both_norms
def test_every_proposal_lies_at_the_edge_of_the_ball(norm):
    model, _, inputs, labels = two_classes((3, 9, 11), 12, 0.1)
    recorder = Recorder(model)
    attack(recorder, inputs, labels, eps=0.1, norm=norm, queries=300)
    for points, _ in recorder.seen:
        length = (points - inputs).abs() if norm == "linf" else norms(points - inputs, norm)
        torch.testing.assert_close(length, torch.full_like(length, 0.1), rtol=1e-5, atol=1e-6)


def test_the_energy_that_the_box_cuts_off_is_spent_again():
    inputs, labels = torch.zeros(8, 1, 12, 12), torch.zeros(8, dtype=torch.long)
    # Brighter is better, and half of every pair of bumps is dark: cut off at the edge of the box.
    model = linear(torch.stack([-torch.ones(144), torch.zeros(144)]), torch.zeros(2))
    start, later = (attack(model, inputs, labels, eps=1.0, norm="l2", queries=queries) for queries in (1, 400))
    assert (norms(start, "l2") < 0.9).all()
    assert (norms(later, "l2") > 0.97).all()


# --- The search ------------------------------------------------------------------------------------------------------


@both_norms
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stop_on_success", STOPS)
def test_the_strongest_point_that_the_model_saw_is_returned(norm, loss, stop_on_success):
    recorder, (inputs, labels) = Recorder(network()), pixels(48)
    points = attack(
        recorder, inputs, labels, norm=norm, loss=loss, stop_on_success=stop_on_success, restarts=2, queries=40
    )
    logits = recorder.model(points)
    fools, values = fooled(logits, labels), LOSSES[loss](logits, labels)
    assert 0.2 < fools.double().mean() < 0.9
    if not stop_on_success:
        assert len(recorder.seen) == 2 * 40 and recorder.images() == 2 * 40 * 48
        all_fools = torch.stack([fooled(logits, labels) for _, logits in recorder.seen])
        all_values = torch.stack([LOSSES[loss](logits, labels) for _, logits in recorder.seen])
        assert torch.equal(fools, all_fools.any(0))
        best = torch.where(all_fools == all_fools.any(0), all_values, float("-inf")).amax(0)
        torch.testing.assert_close(values, best, rtol=1e-5, atol=1e-5)


@both_norms
@pytest.mark.parametrize("loss", LOSSES)
def test_more_queries_never_lower_the_loss(norm, loss):
    model, (inputs, labels) = network(), pixels(48)
    found = []
    for queries in (1, 2, 11, 12, 60, 150, 250):
        logits = model(attack(model, inputs, labels, norm=norm, loss=loss, queries=queries))
        found.append((fooled(logits, labels), LOSSES[loss](logits, labels)))
    for (fools, values), (more_fools, more_values) in itertools.pairwise(found):
        assert (more_fools >= fools).all()
        same = more_fools == fools
        assert (more_values[same] >= values[same] - 1e-5).all()
    assert (found[-1][1] > found[0][1] + 1e-3).double().mean() > 0.9


@both_norms
def test_stop_on_success_ends_at_the_first_point_that_fools(norm):
    recorder, (inputs, labels) = Recorder(network()), pixels(80)
    everything = attack(recorder, inputs, labels, norm=norm, restarts=2)
    spent = recorder.images()
    logits = torch.stack([logits for _, logits in recorder.seen])
    recorder.seen.clear()
    points = attack(recorder, inputs, labels, norm=norm, restarts=2, stop_on_success=True)

    fools = fooled(recorder.model(points), labels)
    assert (fools == fooled(recorder.model(everything), labels)).double().mean() > 0.97
    hits = torch.stack([fooled(each, labels) for each in logits])
    needed = torch.where(hits.any(0), hits.int().argmax(0) + 1, len(hits)).sum()
    assert spent == 2 * 60 * 80 and abs(recorder.images() - needed) <= 0.03 * needed and needed < 0.8 * spent
    assert (
        margin(recorder.model(everything), labels)[fools].mean() > margin(recorder.model(points), labels)[fools].mean()
    )


def test_restarts_differ_and_add_up():
    recorder, (inputs, labels) = Recorder(network()), pixels(80)
    fools = [fooled(recorder.model(attack(recorder, inputs, labels, restarts=count)), labels) for count in (1, 3)]
    assert (fools[1] >= fools[0]).all() and fools[1].sum() > fools[0].sum()
    starts = [recorder.seen[60 + run * 60][0] for run in range(3)]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(starts, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_square_changes_something_and_the_squares_cover_the_image(channels):
    recorder, inputs = Recorder(constant), torch.full((30, channels, 7, 9), 0.5)
    attack(recorder, inputs, torch.zeros(30, dtype=torch.long), eps=0.1, queries=1600)
    seen = torch.stack([points for points, _ in recorder.seen])
    # On a plateau every proposal is accepted, so that each differs from the one before in its square.
    changed = (seen[1:] != seen[:-1]).any(2)
    assert changed.any((2, 3)).all()
    rows, columns = changed.any(3).sum(2), changed.any(2).sum(2)
    first = 0
    for count, p in schedule(1599, 0.8, reference=True):
        size = min(max(round(math.sqrt(p * 63)), 1), 7)
        assert rows[first : first + count].max() <= size and columns[first : first + count].max() <= size
        first += count
    # The last squares are single pixels.
    single = changed[1001:].double().mean((0, 1))
    assert single.min() > 0.65 * single.mean() and single.max() < 1.35 * single.mean()


@pytest.mark.parametrize("reference", [True, False])
def test_the_schedule_is_that_of_10000_queries_or_scaled_to_those_that_there_are(reference):
    for proposals in (0, 1, 10, 11, 12, 51, 199, 777, 5000, 9999, 10000, 20001):
        theirs = torchattacks.Square(network(), resc_schedule=not reference, p_init=0.8, n_queries=proposals)
        ours = [p for count, p in schedule(proposals, 0.8, reference) for _ in range(count)]
        assert ours == [theirs.p_selection(step) for step in range(proposals)]


def test_the_default_schedule_lies_between_the_two_and_is_autoattacks_where_its_queries_are():
    for proposals in (1, 10, 99, 299, 999, 4998):
        shares = [
            [p for count, p in schedule(proposals, 0.8, reference) for _ in range(count)]
            for reference in (False, None, True)
        ]
        assert all(least <= p <= most for least, p, most in zip(*shares, strict=True))
    assert [*schedule(4999, 0.8, None)] == [*schedule(4999, 0.8, True)]


def test_few_queries_break_more_on_the_scaled_schedule_and_on_that_between():
    model, (inputs, labels) = network(), pixels(200)
    options = {"eps": 0.15, "queries": 100, "stop_on_success": True}
    fixed, scaled, between = (
        fooled(model(attack(model, inputs, labels, reference=reference, **options)), labels).sum()
        for reference in (True, False, None)
    )
    assert min(scaled, between) > fixed + 5


@pytest.mark.parametrize("size", range(1, 12))
def test_the_bumps_are_the_authors(size):
    reference = torchattacks.Square(network(), norm="L2")
    reference.device = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        theirs = reference.eta(size)
    ours = _bumps(size, "cpu")
    torch.testing.assert_close(ours[1], ours[0].T)
    assert any(torch.allclose(bumps, theirs, atol=1e-6) for bumps in ours)


@both_norms
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 2), (3, 3, 8), (2, 28, 5), (4, 32, 32)])
def test_any_image_size_starts_at_the_edge_of_the_ball(norm, shape):
    recorder, inputs = Recorder(constant), torch.full((6, *shape), 0.5)
    attack(recorder, inputs, torch.zeros(6, dtype=torch.long), eps=0.1, norm=norm, queries=15)
    start = recorder.seen[0][0] - inputs
    torch.testing.assert_close(norms(start, norm), torch.full((6,), 0.1), rtol=1e-5, atol=1e-6)
    if norm == "linf":
        assert (start == start[:, :, :1]).all()
    assert (start > 0).any() and (start < 0).any()
    share = (start != 0).double().mean()
    assert share == 1 or (norm == "l2" and share > 0.8)


# --- What every attack promises --------------------------------------------------------------------------------------


@both_norms
@pytest.mark.parametrize("stop_on_success", STOPS)
def test_an_example_s_result_does_not_depend_on_its_batch(norm, stop_on_success):
    model, (inputs, labels) = network(), pixels(60)
    whole = attack(model, inputs, labels, norm=norm, stop_on_success=stop_on_success)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    parts = order.split([1, 2, 7, 50])
    points = torch.cat(
        [attack(model, inputs[i], labels[i], indices=i, norm=norm, stop_on_success=stop_on_success) for i in parts]
    )
    assert close_examples(points, whole[order]) > 0.95
    layout = attack(
        model, inputs.to(memory_format=torch.channels_last), labels, norm=norm, stop_on_success=stop_on_success
    )
    assert close_examples(layout, whole) > 0.95


@both_norms
def test_the_result_is_a_function_of_the_seed_and_touches_no_other_state(norm):
    model, (inputs, labels) = network(), pixels(30)
    before, clean = torch.get_rng_state(), inputs.clone()
    one, again, other = (attack(model, inputs, labels, norm=norm, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one, again) and close_examples(one, other) < 0.1
    assert torch.equal(before, torch.get_rng_state()) and torch.equal(clean, inputs)
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training


@both_norms
@pytest.mark.parametrize("loss", LOSSES)
def test_shift_and_scale_of_the_logits_do_not_make_an_example_robust(norm, loss):
    model, (inputs, labels) = network(), pixels(80)
    fools = fooled(model(attack(model, inputs, labels, norm=norm, loss=loss)), labels)
    for changed in (lambda x: model(x) - 50, lambda x: model(x) + 50, lambda x: 1000 * model(x)):
        hits = fooled(model(attack(changed, inputs, labels, norm=norm, loss=loss)), labels)
        assert abs(hits.sum() - fools.sum()) <= 4


@pytest.mark.parametrize("stop_on_success", STOPS)
def test_logits_that_are_not_finite_raise(stop_on_success):
    inputs, labels = pixels(6)
    with pytest.raises(InputError, match="finite"):
        attack(lambda x: torch.full((len(x), 10), float("nan")), inputs, labels, stop_on_success=stop_on_success)


# --- The reference implementations -----------------------------------------------------------------------------------


COUNT, QUERIES, SEEDS = 80, 100, range(3)
RADII = {"linf": 0.12, "l2": 3.5}


def enlarged():
    """The network behind a 4 x 4 mean and its images enlarged: the references never draw the last row and column,
    which is a large share of an 8 x 8 image."""
    inputs, labels = pixels(COUNT)
    inputs = inputs.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return nn.Sequential(nn.AvgPool2d(4), network()).eval().requires_grad_(False), inputs, labels


def torchattacks_points(model, inputs, labels, norm, seed):
    """torchattacks counts the proposals, ours the start as well."""
    options = {"norm": {"linf": "Linf", "l2": "L2"}[norm], "eps": RADII[norm], "n_queries": QUERIES - 1, "seed": seed}
    with torch.random.fork_rng(devices=[]):
        return torchattacks.Square(model, **options, p_init=0.8, loss="margin", resc_schedule=False)(inputs, labels)


def pyautoattack_points(model, inputs, labels, norm, seed):
    authors = pytest.importorskip("pyautoattack.square").SquareAttack
    options = {"norm": {"linf": "Linf", "l2": "L2"}[norm], "eps": RADII[norm], "n_queries": QUERIES - 1, "seed": seed}
    with torch.random.fork_rng(devices=[]):
        return authors(model, **options, p_init=0.8, loss="margin", resc_schedule=False).perturb(inputs, labels)


def art_points(model, inputs, labels, norm, seed):
    shape = tuple(inputs.shape[1:])
    classifier = PyTorchClassifier(
        model, loss=None, input_shape=shape, nb_classes=10, clip_values=(0, 1), device_type="cpu"
    )
    options = {"norm": numpy.inf, "eps": RADII[norm], "p_init": 0.8, "batch_size": COUNT, "verbose": False}
    reference = SquareAttack(classifier, max_iter=QUERIES - 1, **options)
    # ART stretches the schedule over its queries.
    schedule_of = SquareAttack(classifier, max_iter=10000, **options)._get_percentage_of_elements
    reference._get_percentage_of_elements = schedule_of
    state = numpy.random.get_state()
    try:
        numpy.random.seed(seed)
        return torch.from_numpy(reference.generate(inputs.numpy(), labels.numpy()))
    finally:
        numpy.random.set_state(state)


@pytest.mark.parametrize(
    "peer, norm",
    [
        *itertools.product([torchattacks_points, pyautoattack_points], NORMS),
        # ART's l2 divides the window by its budget instead of multiplying.
        (art_points, "linf"),
    ],
)
def test_the_robust_accuracy_is_that_of_the_references(peer, norm):
    model, inputs, labels = enlarged()
    ours, theirs = [], []
    for seed in SEEDS:
        points = attack(
            model, inputs, labels, eps=RADII[norm], norm=norm, queries=QUERIES, stop_on_success=True, seed=seed
        )
        ours.append(fooled(model(points), labels))
        theirs.append(fooled(model(peer(model, inputs, labels, norm, seed)), labels))
    gain = torch.cat(ours).double().mean() - torch.cat(theirs).double().mean()
    # The references share a window between the examples of a batch, so that their seeds differ by some points.
    assert -0.03 < gain < 0.08
    assert 0.2 < torch.cat(ours).double().mean() < 0.9


@both_norms
def test_the_gain_on_a_linear_model_is_that_of_torchattacks(norm):
    model, weight, inputs, _ = two_classes((3, 15, 15), 40, 0.1)
    # All stay correct, so that torchattacks makes all queries.
    model[1].bias.data = torch.tensor([100.0, 0.0])
    labels = torch.zeros(40, dtype=torch.long)
    points = attack(model, inputs, labels, eps=0.1, norm=norm, queries=200)
    reference = torchattacks.Square(
        model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=0.1, n_queries=199, p_init=0.8, resc_schedule=False
    )
    reference.device, reference.targeted = torch.device("cpu"), False
    reference.init_hyperparam(inputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torch.stack([reference.attack_single_run(inputs, labels)[1] for _ in range(4)])
    worst, clean = 0.1 * dual(weight[0] - weight[1], norm), margin(model(inputs), labels)
    ours = ((margin(model(points), labels) - clean) / worst).mean()
    theirs = torch.stack([((margin(model(each), labels) - clean) / worst).mean() for each in theirs]).mean()
    assert theirs - 0.03 < ours < theirs + 0.06
