"""RayS, which is told labels and nothing else."""

import pytest
import torch
from attack_fixtures import network, pixels, run

from squeezeproof.attacks.objective import fooled

EPS = 0.15


def attack(model, inputs, labels, **changes):
    return run("rays", model, inputs, labels, **{"eps": EPS, "norm": "linf", **changes})


class Labels(torch.nn.Module):
    """A model that tells which class it takes and no more; it counts the images that it is shown."""

    def __init__(self, model):
        super().__init__()
        self.model, self.shown = model, 0

    def forward(self, points):
        self.shown += len(points)
        predicted = self.model(points).argmax(1)
        return torch.nn.functional.one_hot(predicted, 10).float()


class Plane(torch.nn.Module):
    """Two classes on the sides of a plane, all weights random."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(64, generator=torch.Generator().manual_seed(0))

    def forward(self, points):
        value = (points.flatten(1) - 0.5) @ self.weight - 0.5
        return torch.stack([value, -value], 1)


def test_on_a_plane_the_nearest_point_of_the_cube_is_found():
    # The nearest point in linf lies at margin / ||w||_1, every value changed by as much.
    model = Plane()
    inputs = 0.5 + 0.01 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = model(inputs).argmax(1)
    radius = model(inputs)[:, 0].abs() / model.weight.abs().sum()
    for i in range(2):
        one = inputs[i : i + 1], labels[i : i + 1]
        options = {"queries": 1500, "tolerance": 1e-4}
        below, above = (attack(model, *one, eps=float(radius[i]) * factor, **options) for factor in (0.98, 1.02))
        assert not fooled(model(below), one[1]).any()
        assert fooled(model(above), one[1]).all()


@pytest.mark.parametrize("stop_on_success", [True, False])
@pytest.mark.parametrize("queries", [2, 3, 40])
def test_no_example_asks_for_more_than_its_queries(stop_on_success, queries):
    model, (inputs, labels) = Labels(network()), pixels(50)
    attack(model, inputs, labels, queries=queries, stop_on_success=stop_on_success)
    assert 50 <= model.shown <= 50 * queries
    if not stop_on_success:
        assert model.shown == 50 * queries


def test_scores_make_no_difference():
    inputs, labels = pixels(60)
    told = attack(Labels(network()), inputs, labels, queries=80)
    assert torch.equal(told, attack(network(), inputs, labels, queries=80))


def test_more_queries_fool_more_and_labels_are_nearly_enough():
    model, (inputs, labels) = network(), pixels(200)
    stands = [
        (~fooled(model(attack(model, inputs, labels, queries=queries)), labels)).double().mean()
        for queries in (2, 50, 200, 1000)
    ]
    assert stands == sorted(stands, reverse=True)
    assert stands[0] > 0.6 and stands[-1] < 0.25
    gradients = run("pgd", model, inputs, labels, eps=EPS, norm="linf", steps=40)
    assert (~fooled(model(gradients), labels)).double().mean() <= stands[-1]


def test_what_stops_early_fools_as_many():
    model, (inputs, labels) = network(), pixels(200)
    whole, early = (attack(model, inputs, labels, queries=150, stop_on_success=stop) for stop in (False, True))
    assert (fooled(model(early), labels) >= fooled(model(whole), labels)).all()
    # The full budget is spent on points that other models fall to as well: they lie at the edge of the ball.
    lengths = (whole - inputs).abs().flatten(1).amax(1)
    assert (lengths > 0.99 * EPS).double().mean() > 0.9


def test_the_batch_makes_no_difference():
    inputs, labels = pixels(30)
    whole = attack(network(), inputs, labels, queries=60)
    parts = [attack(network(), inputs[i : i + 7], labels[i : i + 7], queries=60) for i in range(0, 30, 7)]
    assert torch.equal(whole, torch.cat(parts))


def test_what_is_wrong_already_stays_wrong():
    model, (inputs, labels) = network(), pixels(40)
    wrong = (labels + 1) % 10
    assert torch.equal(attack(model, inputs, wrong, queries=20, stop_on_success=True), inputs)
    assert fooled(model(attack(model, inputs, wrong, queries=20)), wrong).all()
