"""The attacks against torchattacks, with every one of its parameters given: its defaults are not ours."""

import math

import pytest
import torch
import torchattacks
from attack_fixtures import close_examples, network, pixels, run

from squeezeproof.attacks.objective import cross_entropy, fooled

# torchattacks takes the mean over the batch; a power of two keeps its gradients equal to ours but for the exponent.
COUNT = 256
STEPS = 8
# torchattacks' guard against division by zero would shorten the steps of well-classified images.
GUARD = 1e-30

REFERENCES = {
    "fgsm": ("fgsm", {"norm": "linf", "eps": 0.1}, torchattacks.FGSM, {"eps": 0.1}),
    "bim": (
        "bim",
        {"norm": "linf", "eps": 0.15, "alpha": 0.04, "steps": STEPS},
        torchattacks.BIM,
        {"eps": 0.15, "alpha": 0.04, "steps": STEPS},
    ),
    "pgd": (
        "pgd",
        {"norm": "linf", "eps": 0.15, "alpha": 0.04, "steps": STEPS, "random_start": False},
        torchattacks.PGD,
        {"eps": 0.15, "alpha": 0.04, "steps": STEPS, "random_start": False},
    ),
    "pgd-l2": (
        "pgd",
        {"norm": "l2", "eps": 0.6, "alpha": 0.2, "steps": STEPS, "random_start": False},
        torchattacks.PGDL2,
        {"eps": 0.6, "alpha": 0.2, "steps": STEPS, "random_start": False, "eps_for_division": GUARD},
    ),
}
references = pytest.mark.parametrize("name", REFERENCES)


def both(name, **changes):
    """(model, labels, our points, torchattacks' points)."""
    model, (inputs, labels) = network(), pixels(COUNT)
    method, ours, attack, theirs = REFERENCES[name]
    return model, labels, run(method, model, inputs, labels, **ours, **changes), attack(model, **theirs)(inputs, labels)


@references
def test_the_last_iterate_is_torchattacks_point(name):
    model, labels, ours, theirs = both(name, **({} if name == "fgsm" else {"keep": "last"}))
    assert close_examples(ours, theirs) > 0.98
    torch.testing.assert_close(
        cross_entropy(model(ours), labels), cross_entropy(model(theirs), labels), rtol=0.02, atol=0.02
    )
    disagreements = fooled(model(ours), labels) != fooled(model(theirs), labels)
    assert disagreements.sum() <= 1
    assert 0.2 < fooled(model(ours), labels).double().mean() < 0.95


@pytest.mark.parametrize("name", [name for name in REFERENCES if name != "fgsm"])
def test_the_best_iterate_is_at_least_as_strong_as_torchattacks_point(name):
    model, labels, ours, theirs = both(name, keep="best")
    our_logits, their_logits = model(ours), model(theirs)
    our_fools, their_fools = fooled(our_logits, labels), fooled(their_logits, labels)
    assert (our_fools >= their_fools).double().mean() > 0.99 and our_fools.sum() >= their_fools.sum()
    same = our_fools == their_fools
    gain = cross_entropy(our_logits, labels) - cross_entropy(their_logits, labels)
    assert (gain[same] >= -0.02).all()
    assert (gain > 1e-3).any()


@pytest.mark.parametrize(
    "norm, eps, steps, attack, extra",
    [
        ("linf", 0.15, 8, torchattacks.PGD, {}),
        # torchattacks draws the start's l2 norm uniformly and so starts nearer the image; more steps make up for it.
        ("l2", 0.6, 16, torchattacks.PGDL2, {"eps_for_division": GUARD}),
    ],
)
def test_random_starts_reach_the_robust_accuracy_of_torchattacks(norm, eps, steps, attack, extra):
    model, (inputs, labels) = network(), pixels(COUNT)
    shared = {"eps": eps, "alpha": eps / 4, "steps": steps, "random_start": True}
    ours, theirs = [], []
    for seed in range(3):
        points = run("pgd", model, inputs, labels, seed=seed, norm=norm, keep="last", **shared)
        ours.append(fooled(model(points), labels))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            theirs.append(fooled(model(attack(model, **shared, **extra)(inputs, labels)), labels))
    ours, theirs = torch.cat(ours), torch.cat(theirs)
    only_ours, only_theirs = (ours & ~theirs).sum().item(), (theirs & ~ours).sum().item()
    # McNemar: where two equal attacks differ, either is as likely to be the one that fools.
    assert abs(only_ours - only_theirs) <= 1 + 4 * math.sqrt(only_ours + only_theirs)
    assert only_ours + only_theirs < 0.05 * len(ours)
    assert 0.3 < ours.double().mean() < 0.95


def test_on_a_confident_model_the_rounded_cross_entropy_is_what_libraries_attack():
    model, (inputs, labels) = network(), pixels(COUNT)

    def confident(points):
        return 40 * model(points)

    theirs = torchattacks.FGSM(torch.nn.Sequential(model, Times(40)), eps=0.1)(inputs, labels)
    rounded = run("fgsm", confident, inputs, labels, norm="linf", eps=0.1, loss="rounded_cross_entropy")
    exact = run("fgsm", confident, inputs, labels, norm="linf", eps=0.1)
    moved = (theirs != inputs).flatten(1).any(1)
    assert close_examples(rounded[moved], theirs[moved]) > 0.98
    assert close_examples(exact, theirs) < 0.95
    assert fooled(confident(exact), labels).sum() > fooled(confident(theirs), labels).sum()


class Times(torch.nn.Module):
    """Numbers times a factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, numbers):
        return self.factor * numbers
