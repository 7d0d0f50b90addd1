"""Training, compressing and evaluating on a GPU give what they give on the CPU, bit for bit."""

import copy
from functools import partial

import pytest
import torch
from adversary_examples import TRAIN, VALIDATION
from attack_fixtures import held_out, network, settings
from device_examples import ADVERSARIES, COMPRESSIONS, MODELS, compressed, trained_by_admm
from model_examples import training
from pairwise import paired
from pretend_device import NAME

from squeezeproof.evaluation.layers import layer_features
from squeezeproof.evaluation.sweep import sweep
from squeezeproof.models.build import build
from squeezeproof.models.ensemble import averaged
from squeezeproof.models.predict import predict
from squeezeproof.training.loop import fit

DEVICE = f"{NAME}:0"


def on_both(work):
    """What work(to) gives on the CPU and on the device, `to` being a function that places a model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = work(lambda model: model)
        torch.manual_seed(0)
        found = work(lambda model: model.to(DEVICE))
    return expected, found


def same_state(found, expected):
    expected = expected.state_dict()
    for name, tensor in found.state_dict().items():
        assert tensor.device == torch.device(DEVICE), name
        assert torch.equal(tensor.cpu(), expected[name]), name
    assert found.state_dict().keys() == expected.keys()


@pytest.mark.parametrize(("rival", "name", "optimizer"), paired(ADVERSARIES, MODELS, ["sgd", "adam"]))
def test_trainings(rival, name, optimizer):
    recipe = training(2, batch_size=16, optimizer=optimizer, learning_rate=0.01, adversary=ADVERSARIES[rival])

    def work(to):
        model = to(build(MODELS[name], seed=0))
        return model, fit(model, TRAIN, VALIDATION, recipe, seed=1)

    (expected, course), (found, told) = on_both(work)
    same_state(found, expected)
    timed = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in timed} for row in told] == [
        {k: v for k, v in row.items() if k not in timed} for row in course
    ]


def test_admm():
    (expected, course, masks), (found, told, marks) = on_both(trained_by_admm)
    same_state(found, expected)
    assert len(told) == len(course) and all(torch.equal(marks[name].cpu(), mask) for name, mask in masks.items())


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressions(name):
    (expected, labels_expected), (found, labels_found) = on_both(partial(compressed, name))
    same_state(found, expected)
    assert torch.equal(labels_found, labels_expected)


def test_predictions_and_features():
    images = held_out(30)[0]

    def work(to):
        features, labels = layer_features(to(network()), images, ["1", "3"], "flatten", 7)
        return {**features, "labels": labels}

    expected, found = on_both(work)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_sweeps():
    images, labels = held_out(12)
    attacks = [(f"pgd-{eps}", settings("pgd", eps=eps, stop_on_success=True)) for eps in (0.05, 0.2)]

    def work(to):
        options = {"classes": 10, "stops": True, "seed": lambda name: 0, "batch_size": 6}
        return list(sweep(to(network()), images, labels, attacks, **options))

    expected, found = on_both(work)
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.predictions, other.predictions) and one.costs == other.costs


def test_ensembles():
    images = held_out(20)[0]
    first, second = network(), network()
    with torch.no_grad():
        second[-1].weight.mul_(0.5)

    def work(to):
        return predict(to(averaged([copy.deepcopy(first), copy.deepcopy(second)])), images, 8)

    expected, found = on_both(work)
    assert torch.equal(found, expected)
