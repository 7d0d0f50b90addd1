"""APGD and the transfer baselines: against the authors' code through torchattacks, and what they promise."""

import math

import pytest
import torch
import torchattacks
from attack_fixtures import EPS, both_norms, close_examples, held_out, network, pixels, run, settings
from torch import nn

from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.objective import cross_entropy, dlr, fooled, margin
from squeezeproof.attacks.random import normal, uniform
from squeezeproof.errors import InputError
from squeezeproof.seeds import derive_seed

COUNT = 256
NAMES = {"linf": "Linf", "l2": "L2"}
LOSSES = {"cross_entropy": "ce", "dlr": "dlr"}


def agree(ours, theirs):
    """McNemar: where two equal attacks differ, either is as likely to be the one that fools."""
    only_ours, only_theirs = (ours & ~theirs).sum().item(), (theirs & ~ours).sum().item()
    assert abs(only_ours - only_theirs) <= 2 + 4 * math.sqrt(only_ours + only_theirs)
    assert only_ours + only_theirs < 0.08 * len(ours)
    assert 0.3 < ours.double().mean() < 0.95


@both_norms
@pytest.mark.parametrize("loss", LOSSES)
def test_apgd_reaches_the_robust_accuracy_of_the_authors_code(norm, loss):
    model, (inputs, labels) = network(), pixels(COUNT)
    ours, theirs = [], []
    for seed in range(2):
        points = run("apgd", model, inputs, labels, seed=seed, eps=EPS[norm], norm=norm, loss=loss, steps=25)
        ours.append(fooled(model(points), labels))
        attack = torchattacks.APGD(model, norm=NAMES[norm], eps=EPS[norm], steps=25, loss=LOSSES[loss], seed=seed)
        with torch.random.fork_rng(devices=[]):
            theirs.append(fooled(model(attack(inputs, labels)), labels))
    agree(torch.cat(ours), torch.cat(theirs))


@both_norms
def test_apgd_t_reaches_the_robust_accuracy_of_the_authors_code(norm):
    model, (inputs, labels) = network(), pixels(128)
    points = run("apgd_t", model, inputs, labels, eps=EPS[norm], norm=norm, steps=15, targets=9, stop_on_success=True)
    attack = torchattacks.APGDT(model, norm=NAMES[norm], eps=EPS[norm], steps=15, n_classes=10)
    with torch.random.fork_rng(devices=[]):
        theirs = fooled(model(attack(inputs, labels)), labels)
    agree(fooled(model(points), labels), theirs)


@both_norms
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stop_on_success", [False, True])
def test_from_the_same_starts_apgd_breaks_what_the_authors_code_breaks(monkeypatch, norm, loss, stop_on_success):
    model, (inputs, labels) = network(), pixels(COUNT)
    right = (~fooled(model(inputs), labels)).nonzero().squeeze(1)
    inputs, labels = inputs[right], labels[right]
    options = {"eps": {"linf": 0.12, "l2": 0.8}[norm], "steps": 12}
    ours = run("apgd", model, inputs, labels, norm=norm, loss=loss, stop_on_success=stop_on_success, **options)
    draw = uniform if norm == "linf" else normal
    starts = draw(derive_seed(0, 0), torch.arange(len(labels)), inputs.shape[1:], stream=0)
    monkeypatch.setattr(torch, "rand" if norm == "linf" else "randn", lambda shape: starts)
    attack = torchattacks.APGD(model, norm=NAMES[norm], loss=LOSSES[loss], n_restarts=1, **options)
    with torch.random.fork_rng(devices=[]):
        theirs = attack(inputs, labels)
    ours, theirs = (fooled(model(points), labels) for points in (ours, theirs))
    assert 0.2 < theirs.double().mean() < 0.95
    assert (ours != theirs).double().mean() <= 0.01


@both_norms
def test_apgd_is_stronger_than_pgd_with_as_many_passes(norm):
    model, (inputs, labels) = network(), pixels(COUNT)
    shared = {"eps": EPS[norm], "norm": norm, "steps": 25}
    apgd, pgd = (run(method, model, inputs, labels, **shared) for method in ("apgd", "pgd"))
    assert cross_entropy(model(apgd), labels).mean() > cross_entropy(model(pgd), labels).mean() - 0.01
    assert fooled(model(apgd), labels).sum() >= fooled(model(pgd), labels).sum() - 1


@pytest.mark.parametrize("method", ["apgd", "apgd_t"])
def test_restarts_and_steps_never_weaken(method):
    model, (inputs, labels) = network(), pixels(100)
    once = run(method, model, inputs, labels, eps=0.1, steps=8)
    twice = run(method, model, inputs, labels, eps=0.1, steps=8, restarts=2)
    fools_once, fools_twice = fooled(model(once), labels), fooled(model(twice), labels)
    assert (fools_twice >= fools_once).all()
    gain = margin(model(twice), labels) - margin(model(once), labels)
    if method == "apgd_t":
        assert (gain[fools_once == fools_twice] > -1e-4).all()
    assert (gain > 1e-3).any()


def test_an_example_that_is_not_fooled_comes_back_at_its_highest_loss_not_clean():
    model, (inputs, labels) = network(), pixels(100)
    points = run("apgd", model, inputs, labels, eps=0.02)
    standing = ~fooled(model(points), labels)
    assert standing.sum() > 70 and (norms(points - inputs, "linf")[standing] > 0.015).all()
    # The authors' code returns the clean image there.
    with torch.random.fork_rng(devices=[]):
        theirs = torchattacks.APGD(model, eps=0.02, steps=10)(inputs, labels)
    clean = (theirs == inputs).flatten(1).all(1)
    assert clean.sum() > 60
    raised = cross_entropy(model(points), labels) - cross_entropy(model(theirs), labels)
    assert (raised[clean & standing] > 0).all()


NEEDED = [("apgd", {"loss": "dlr"}, 3), ("apgd_t", {}, 4), ("pgd", {"loss": "dlr"}, 3)]


@pytest.mark.parametrize("method, changes, least", NEEDED)
def test_differences_of_logits_need_three_classes_and_targeted_ones_four(method, changes, least):
    model, (inputs, _) = network(), pixels(10)
    labels = torch.zeros(10, dtype=torch.int64)
    run(method, lambda points: model(points)[:, :least], inputs, labels, **changes)
    with pytest.raises(InputError, match=f"at least {least} classes, the model has {least - 1}"):
        run(method, lambda points: model(points)[:, : least - 1], inputs, labels, **changes)


def test_the_difference_of_logits_ratio_of_three_classes_is_that_of_the_authors_code():
    logits, labels = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    theirs = torchattacks.APGD(network(), loss="dlr").dlr_loss(logits, labels)
    torch.testing.assert_close(dlr(logits, labels), theirs)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_mi_fgsm_s_last_iterate_is_torchattacks_point(decay):
    model, (inputs, labels) = network(), pixels(COUNT)
    shared = {"eps": 0.15, "alpha": 0.03, "steps": 8, "decay": decay}
    ours = run("mifgsm", model, inputs, labels, keep="last", **shared)
    assert close_examples(ours, torchattacks.MIFGSM(model, **shared)(inputs, labels)) > 0.98


def test_di_fgsm_without_diversity_is_mi_fgsm_and_with_it_sees_shrunk_images():
    model, (inputs, labels) = network(), pixels(60)
    shared = {"eps": 0.15, "steps": 6, "decay": 1.0}
    plain = run("mifgsm", model, inputs, labels, keep="last", **shared)
    assert torch.equal(run("difgsm", model, inputs, labels, probability=0.0, **shared), plain)
    seen = []

    def watched(points):
        seen.append((points[:, :, -1, :] == 0).all().item() or (points[:, :, 0, :] == 0).all().item())
        return model(points)

    diverse = run("difgsm", watched, inputs, labels, probability=1.0, smallest=0.5, **shared)
    assert sum(seen) >= 4 and close_examples(diverse, plain) < 0.5
    again = run("difgsm", model, inputs[:7], labels[:7], probability=1.0, smallest=0.5, **shared)
    assert close_examples(again, diverse[:7]) > 0.8


@pytest.mark.slow
def test_autoattack_reaches_the_robust_accuracy_of_the_authors_code():
    model, (images, labels) = network(), held_out(100)
    entry = settings("autoattack", eps=0.1, stop_on_success=True)
    tensors, _ = craft(model, images, labels, entry, seed=0, batch_size=100)
    attack = torchattacks.AutoAttack(model, eps=0.1, n_classes=10)
    with torch.random.fork_rng(devices=[]):
        theirs = fooled(model(attack(images / 255, labels)), labels)
    agree(tensors["predictions"] != labels, theirs)


@pytest.mark.parametrize("shape", [(7, 11), (12, 5), (1, 1)])
def test_di_fgsm_sees_images_that_are_not_square_in_their_own_size(shape):
    inputs, labels = torch.rand(6, 2, *shape, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    torch.manual_seed(0)
    network, seen = nn.Sequential(nn.Flatten(), nn.Linear(2 * shape[0] * shape[1], 3)), []

    def watched(points):
        seen.append(points.shape)
        return network(points)

    options = {"eps": 0.1, "steps": 4, "decay": 1.0, "probability": 1.0, "smallest": 0.3}
    points = run("difgsm", watched, inputs, labels, **options)
    assert set(seen) == {inputs.shape} and (points - inputs).abs().max() <= 0.1 + 1e-6
