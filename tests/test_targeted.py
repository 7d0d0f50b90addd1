"""Targeted attacks: the class that every example is to reach."""

import numpy as np
import pytest
import torch
import torchattacks
from attack_fixtures import both_norms, close_examples, held_out, network, pixels, run, settings
from hypothesis import given
from hypothesis import strategies as st
from targeted_examples import three
from test_independence import COUNT, EPS, RowByRow
from torch import nn

import squeezeproof
from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.objective import AWAY, TARGETED_LOSSES, TOWARDS, margin, targeted_dlr
from squeezeproof.attacks.registry import ATTACKS
from squeezeproof.attacks.targets import target_classes
from squeezeproof.entries import registry
from squeezeproof.entries.attack import DRAWN_TARGETS
from squeezeproof.errors import InputError
from squeezeproof.in_memory.attack import checked_settings
from squeezeproof.store.shards import combined, shard_rows

TAKERS = [name for name, attack in registry.attacks().items() if attack.takes_target]
takers = pytest.mark.parametrize("method", TAKERS)
# Values of an image, which bound the radii that can be meant.
VALUES = 64
rules = pytest.mark.parametrize("rule", [*DRAWN_TARGETS, "3"])


def budget(method, norm="linf"):
    """The ball of an attack; cw is an l2 attack and looks for the nearest point."""
    return {"norm": "l2", "eps": None, "steps": 40} if method == "cw" else {"norm": norm, "eps": EPS[norm]}


# --- The class to reach ----------------------------------------------------------------------------------------------


@given(classes=st.integers(2, 12), count=st.integers(1, 40), first=st.integers(0, 10**6), seed=st.integers(0, 10**6))
def test_no_drawn_target_is_the_label(classes, count, first, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    logits, indices = torch.randn(count, classes, generator=generator), torch.arange(first, first + count)
    for rule in DRAWN_TARGETS:
        targets = target_classes(rule, logits, labels, indices, [])
        assert (targets != labels).all() and targets.min() >= 0 and targets.max() < classes, rule


def test_the_rules_are_what_they_are_called():
    logits = torch.tensor([[3.0, -1.0, 2.0], [-5.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    labels, indices = torch.tensor([0, 0, 2]), torch.arange(3)
    # The second image's label is itself the least likely class.
    assert target_classes("least-likely", logits, labels, indices, []).tolist() == [1, 2, 0]
    assert target_classes("next", logits, labels, indices, []).tolist() == [1, 1, 0]
    assert target_classes("cat", logits, labels, indices, ["dog", "cat", "cow"]).tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="'cta' is no class, did you mean cat"):
        target_classes("cta", logits, labels, indices, ["dog", "cat", "cow"])


def test_random_targets_are_uniform_and_the_same_whatever_the_source_says():
    labels, indices = torch.full((6000,), 2), torch.arange(6000)
    drawn = [target_classes("random", torch.randn(6000, 4), labels, indices, []) for _ in range(2)]
    assert torch.equal(*drawn)
    assert torch.bincount(drawn[0], minlength=4)[[0, 1, 3]].min() > 1850
    assert torch.equal(target_classes("random", torch.randn(9, 4), labels[:9], indices[40:49], []), drawn[0][40:49])


# --- The losses ------------------------------------------------------------------------------------------------------


def test_a_goal_is_met_where_its_margin_is_positive():
    logits, labels = torch.randn(500, 5), torch.randint(5, (500,))
    for goal in (AWAY, TOWARDS):
        assert torch.equal(goal.margin(logits, labels) > 0, goal.reached(logits, labels))
    assert torch.equal(TOWARDS.reached(logits, labels), logits.argmax(1) == labels)


@pytest.mark.parametrize("loss", TARGETED_LOSSES)
def test_a_targeted_loss_rises_towards_its_target(loss):
    logits = torch.randn(50, 6, dtype=torch.double).requires_grad_(True)
    targets = torch.randint(6, (50,))
    (gradient,) = torch.autograd.grad(TARGETED_LOSSES[loss](logits, targets).sum(), logits)
    raised = logits + 1e-3 * gradient / gradient.norm(dim=1, keepdim=True)
    assert (TARGETED_LOSSES[loss](raised, targets) > TARGETED_LOSSES[loss](logits, targets)).all()


def test_dlr_towards_the_runner_up_of_a_right_example_is_that_of_apgd_t():
    logits = torch.randn(50, 6)
    order = logits.argsort(dim=1, descending=True)
    found = TARGETED_LOSSES["dlr"](logits, order[:, 1])
    torch.testing.assert_close(found, targeted_dlr(logits, order[:, 0], order[:, 1]))


# --- The attacks -----------------------------------------------------------------------------------------------------

# torchattacks' attacks whose last iterate ours is, from the clean image.
THEIRS = {
    "fgsm": (torchattacks.FGSM, {}, {"eps": 0.2}),
    "bim": (torchattacks.BIM, {"steps": 5, "alpha": 0.06, "keep": "last"}, {"eps": 0.2, "steps": 5, "alpha": 0.06}),
    "pgd": (
        torchattacks.PGD,
        {"steps": 5, "alpha": 0.06, "keep": "last", "random_start": False},
        {"eps": 0.2, "steps": 5, "alpha": 0.06, "random_start": False},
    ),
    "mifgsm": (
        torchattacks.MIFGSM,
        {"steps": 5, "alpha": 0.06, "keep": "last", "decay": 1.0},
        {"eps": 0.2, "steps": 5, "alpha": 0.06, "decay": 1.0},
    ),
}


@pytest.mark.parametrize("name", THEIRS)
def test_from_the_same_start_ours_is_torchattacks_point(name):
    theirs, own, given_them = THEIRS[name]
    model, (inputs, labels) = network(), pixels(200)
    targets = target_classes("random", model(inputs), labels, torch.arange(200), [])
    attack = theirs(model, **given_them)
    attack.set_mode_targeted_by_label(quiet=True)
    ours = run(name, model, inputs, targets, eps=0.2, norm="linf", goal=TOWARDS, **own)
    assert close_examples(ours, attack(inputs, targets)) > 0.98
    assert 0.1 < TOWARDS.reached(model(ours), targets).double().mean() < 0.95


def test_on_a_linear_model_of_two_classes_the_nearest_point_of_the_target_is_found():
    torch.manual_seed(0)
    weight = torch.randn(1, 12)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.cat([weight, -weight]))
        model[1].bias.zero_()
    inputs = 0.5 + 0.1 * torch.randn(40, 3, 2, 2)
    labels = model(inputs).argmax(1)
    points = run("cw", model, inputs, 1 - labels, goal=TOWARDS, steps=300, searches=6, learning_rate=0.01, eps=None)
    assert (model(points).argmax(1) == 1 - labels).all()
    nearest = margin(model(inputs), labels).abs() / (2 * weight.norm())
    assert (norms(points - inputs, "l2") / nearest).max() < 1.05


@takers
@both_norms
def test_every_attack_reaches_more_than_chance_and_stays_in_its_ball(method, norm):
    if method == "noise":
        pytest.skip("noise reaches by chance alone")
    images, labels = held_out(60)
    tensors, told = craft(
        network(), images, labels, settings(method, **budget(method, norm), targeted="next"), seed=0, batch_size=None
    )
    targets = (labels + 1) % 10
    reached, before = (tensors[name] == targets for name in ("predictions", "clean_predictions"))
    assert torch.equal(tensors["targets"], targets)
    assert reached.sum() > before.sum() + 5 and told["stages"][0]["standing"] == (~reached).sum()
    assert torch.equal(tensors["margin"] > 0, reached)


@takers
@rules
def test_batches_and_shards_have_the_same_bits(method, rule):
    model, (images, labels) = RowByRow(network()), held_out(COUNT)
    entry = {**settings(method, **budget(method), targeted=rule), **({"steps": 10} if method == "cw" else {})}
    whole, told = craft(model, images, labels, entry, seed=3, batch_size=COUNT)
    parts, facts = [], []
    for shard in range(1, 4):
        tensors, said = craft(model, images, labels, entry, seed=3, batch_size=5, rows=shard_rows(COUNT, shard, 3))
        parts.append(tensors)
        facts.append(said)
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), tensor), name
    assert {**combined(facts), "seconds": 0} == {**told, "seconds": 0}


def test_images_of_the_class_to_reach_are_left_out():
    images, labels, tensors, told = three()
    own = labels == 3
    assert own.sum() > 3 and told["stages"][0]["attacked"] == (~own).sum()
    assert torch.equal(tensors["adversarial"][own], images[own] / 255) and (tensors["stage"][own] == -1).all()
    assert (tensors["norm"][~own] > 0).all()


def test_images_of_the_class_are_left_out_where_examples_stop_too():
    images, labels = held_out(60)
    entry = settings("pgd", eps=0.2, targeted="3", stop_on_success=True)
    tensors, told = craft(network(), images, labels, entry, seed=0, batch_size=7)
    there = (tensors["clean_predictions"] == 3) & (labels != 3)
    assert told["stages"][0]["attacked"] == (labels != 3).sum() - there.sum()
    assert (tensors["norm"][labels == 3] == 0).all() and (tensors["predictions"] == 3)[labels != 3].sum() > 20


def test_what_reaches_its_class_already_is_left_where_examples_stop():
    images, labels = held_out(60)
    model = network()
    # Half of the images are given a label that the network does not see in them.
    seen = model(images / 255).argmax(1)
    given_labels = torch.where(torch.arange(60) % 2 == 0, (seen - 1) % 10, labels)
    entry = settings("pgd", eps=0.2, targeted="next", stop_on_success=True)
    tensors, told = craft(model, images, given_labels, entry, seed=0, batch_size=None)
    there = seen == (given_labels + 1) % 10
    assert there.sum() >= 30 and (tensors["norm"][there] == 0).all()
    assert (
        told["stages"][0]["attacked"] == 60 - there.sum()
        and (tensors["predictions"] == tensors["targets"])[there].all()
    )


def test_a_class_by_name_is_one_of_the_data_set():
    images, labels = held_out(20)
    names = [f"digit {label}" for label in range(10)]
    entry = settings("pgd", targeted="digit 7")
    tensors, _ = craft(network(), images, labels, entry, seed=0, batch_size=None, classes=names)
    assert (tensors["targets"] == 7).all()
    with pytest.raises(InputError, match="'digit 77' is no class, did you mean digit 7"):
        craft(network(), images, labels, {**entry, "targeted": "digit 77"}, seed=0, batch_size=None, classes=names)


# One of each library, small enough for a test.
LIBRARIES = {
    "torchattacks.PGD": {"eps": 0.3, "steps": 10, "alpha": 0.05},
    "foolbox.LinfPGD": {"eps": 0.3, "steps": 10, "rel_stepsize": 0.2},
    "foolbox.L2FMNAttack": {"steps": 40},
    "adv_lib.pgd_linf": {"eps": 0.3, "steps": 10, "relative_step_size": 0.2},
    "adv_lib.ddn": {"steps": 40},
    "art.BasicIterativeMethod": {"eps": 0.3, "max_iter": 10, "eps_step": 0.05},
    # It is targeted alone.
    "foolbox.GenAttack": {"eps": 0.5, "steps": 60, "mutation_range": 0.5},
}


@pytest.mark.parametrize("method", LIBRARIES)
def test_a_library_is_told_the_classes_to_reach(method):
    images, labels = held_out(24)
    entry = checked_settings(method, {**LIBRARIES[method], "targeted": "next"}, VALUES)
    tensors, told = craft(network(), images, labels, entry, seed=0, batch_size=None)
    assert "failed" not in told and (tensors["predictions"] == (labels + 1) % 10).sum() > 12


def test_the_attacks_of_foolbox_that_only_leave_the_label_refuse_a_target():
    takes = {name for name in registry.libraries()["foolbox"].methods() if registry.attacks()[name].takes_target}
    assert {"foolbox.LinfPGD", "foolbox.L2CarliniWagnerAttack"} <= takes
    assert not takes & {"foolbox.L2DeepFoolAttack", "foolbox.NewtonFoolAttack", "foolbox.L1BrendelBethgeAttack"}


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "given_settings", "problem"),
    [
        ("deepfool", {"targeted": "next"}, "deepfool takes no target"),
        ("foolbox.L2DeepFoolAttack", {"targeted": "next"}, "foolbox.L2DeepFoolAttack takes no target"),
        ("autoattack", {"eps": 0.1, "targeted": "next"}, "autoattack takes no target"),
        (
            "suite",
            {"eps": 0.1, "stages": [{"method": "pgd", "targeted": "next"}]},
            "a stage of a suite takes no target",
        ),
        ("foolbox.GenAttack", {"eps": 0.1}, "targeted: missing"),
        ("suite", {"eps": 0.1, "stages": ["pgd", "foolbox.GenAttack"]}, "GenAttack needs a target, and a stage"),
        ("pgd", {"eps": 0.1, "targeted": ""}, "targeted: is empty; write least-likely, random, next or the name"),
        ("pgd", {"eps": 0.1, "targeted": False}, "targeted: False is no class to reach; leave it out"),
        ("deepfool", {"targeted": True}, "deepfool takes no target"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(method, given_settings, problem):
    with pytest.raises(InputError, match=problem):
        checked_settings(method, given_settings, VALUES)


def test_class_names_may_be_numbers_in_a_config():
    assert checked_settings("pgd", {"eps": 0.1, "targeted": 3}, VALUES)["targeted"] == "3"


# --- From Python -----------------------------------------------------------------------------------------------------


def test_from_python_success_is_to_reach_the_class():
    images, labels = held_out(60)
    found = squeezeproof.attack(network(), images, labels, "pgd", eps=0.2, targeted="3")
    assert torch.equal(found.scored, labels != 3) and torch.equal(found.success, found.predictions == 3)
    assert found.success_rate == found.success[labels != 3].double().mean().item()
    assert found.accuracy == (found.predictions == labels)[labels != 3].double().mean().item()
    assert found.accuracy < 1 - found.success_rate
    assert "reach their class" in repr(found) and "accuracy" not in repr(found)
    assert list(found.table.columns)[-1] == "targets"
    away = squeezeproof.attack(network(), images, labels, "pgd", eps=0.2)
    assert away.targets is None and away.success_rate == pytest.approx(1 - away.accuracy)
    with pytest.raises(InputError, match="pgd: targeted leads to no robust accuracy"):
        squeezeproof.check(network(), network(), images, labels, eps=0.1, attacks={"pgd": {"targeted": "next"}})


def test_what_takes_a_target_declares_it():
    assert set(TAKERS) == {"fgsm", "bim", "pgd", "mifgsm", "difgsm", "apgd", "cw", "square", "noise"}
    assert all(callable(ATTACKS[name]) for name in TAKERS)
    assert np.all([not registry.attacks()[name].takes_target for name in ("fab", "fab_t", "apgd_t", "deepfool", "uap")])
