"""Attacks of other libraries: what they are held to."""

import random
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network, pixels
from attack_fixtures import settings as own_settings
from library_fixtures import BUDGETS, settings, study
from torch import nn

import squeezeproof
from squeezeproof.analysis.crafting import library_table
from squeezeproof.attacks.ball import norms
from squeezeproof.attacks.craft import craft
from squeezeproof.attacks.objective import margin
from squeezeproof.audit.sets import Origin, audit_set
from squeezeproof.entries import registry
from squeezeproof.errors import InputError, NotSupported
from squeezeproof.evaluation.scoring import score
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.predictions import NOT_SCORED
from squeezeproof.store.shards import combined
from squeezeproof.study.tables import table_names

RUN = "squeezeproof.attacks.libraries.torchattacks.run"
FEW = 12
# A kind of each: a step, steps, momentum, stop on success, minimum norms, no gradients, few pixels.
REPRESENTATIVE = {
    "torchattacks": ["FGSM", "PGD", "NIFGSM", "APGD", "CW", "DeepFool", "FAB", "Square", "PGDL2", "Pixle"],
    "foolbox": ["LinfPGD", "L2FMNAttack", "L0FMNAttack", "L1FMNAttack", "L2DeepFoolAttack", "HopSkipJumpAttack"],
    "adv_lib": ["apgd", "alma", "ddn", "fmn", "pdpgd", "pgd_linf", "sigma_zero"],
    "art": ["FastGradientMethod", "DeepFool", "HopSkipJump", "SquareAttack", "SimBA"],
}
QUICK = [f"{name}.{attack}" for name, attacks in REPRESENTATIVE.items() for attack in attacks]
SLOW = [method for library in registry.libraries().values() for method in library.methods() if method not in QUICK]
# Of all that a library offers: what fails on these small grey images, and how.
FAILING = {
    **dict.fromkeys(("torchattacks.PIFGSM", "torchattacks.PIFGSMPP", "torchattacks.TIFGSM"), "to have 3 channels"),
    **{"art.GeoDA": "list index out of range", "adv_lib.perc_al": "is invalid for input of size"},
    # Where it fooled no image, it takes a percentile of the changes that it made, of which there are none.
    "adv_lib.str_attack": "is out of bounds for axis 0 with size 0",
}


def crafted(method, batch_size=None, **changes):
    entry = settings(method, **changes)
    return craft(network(), *held_out(FEW), entry, seed=1, batch_size=batch_size)


def held_to_its_budget(method, **changes):
    entry = settings(method, **changes)
    model, (images, labels) = network().train(), held_out(FEW)
    model[1].weight.requires_grad_(False)
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    tensors, metadata = craft(model, images, labels, entry, seed=1, batch_size=None)
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())
    assert all(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()][:2] == [False, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert "failed" not in metadata, metadata.get("failed")
    assert tensors["predictions"].equal(model.eval()(tensors["adversarial"]).argmax(1))
    if entry["eps"] is None and not registry.attacks()[method].own_budget:
        assert (tensors["norm"][tensors["clean_predictions"] != labels] <= 1e-6).all()
    return tensors, metadata


@pytest.mark.parametrize("method", QUICK)
def test_an_attack_keeps_its_ball_and_leaves_nothing_behind(method):
    gradients = registry.attacks()[method].needs == "gradients"
    tensors, metadata = held_to_its_budget(method, queries=None if gradients else 100)
    right = tensors["clean_predictions"] == tensors["labels"]
    assert (tensors["norm"][right] > 0).all()
    assert metadata["forwards_per_example"] >= 1
    assert (metadata["backwards_per_example"] > 0) == gradients
    (stage,) = metadata["stages"]
    assert stage["notes"]["again"] == FEW // 2


@pytest.mark.slow
@pytest.mark.parametrize("method", SLOW)
def test_every_attack_keeps_its_ball_and_leaves_nothing_behind(method):
    entry = registry.attacks()[method]
    for norm in entry.norms:
        changes = {"norm": norm, "eps": BUDGETS[norm], "queries": 200}
        lacking = [name for name in entry.further_packages(settings(method, **changes)) if find_spec(name) is None]
        if lacking:
            with pytest.raises(InputError, match=f"needs the package {lacking[0]} .*pip install"):
                crafted(method, **changes)
        elif method in FAILING:
            assert FAILING[method] in crafted(method, **changes)[1]["failed"]
        else:
            held_to_its_budget(method, **changes)


def test_an_attack_on_probabilities_is_given_a_softmax():
    tensors, metadata = crafted("art.VirtualAdversarialMethod", max_iter=2, finite_diff=1e-3)
    assert "failed" not in metadata and (tensors["predictions"] != tensors["labels"]).sum() > FEW / 2


def test_a_step_of_theirs_is_a_step_of_ours():
    images, labels = held_out(FEW)
    theirs, _ = crafted("torchattacks.FGSM")
    ours, _ = craft(network(), images, labels, own_settings("fgsm", loss="cross_entropy"), seed=1, batch_size=None)
    assert theirs["predictions"].equal(ours["predictions"])
    assert (theirs["adversarial"] - ours["adversarial"]).abs().max() < 1e-6


def test_clean_images_returned_for_failures_are_replaced_by_the_strongest_point_seen():
    tensors, metadata = crafted("torchattacks.APGD", eps=0.02)
    (stage,) = metadata["stages"]
    stands = tensors["predictions"] == tensors["labels"]
    assert stage["notes"]["clean"] == int(stands.sum()) > 0
    right = tensors["clean_predictions"] == tensors["labels"]
    assert (tensors["norm"][right] - 0.02).abs().max() < 1e-6
    inputs, labels = pixels(FEW)
    logits = network()(inputs)
    own = logits.gather(1, labels[:, None]).squeeze(1)
    before = logits.scatter(1, labels[:, None], float("-inf")).amax(1) - own
    assert (tensors["margin"][stands] > before[stands]).all()


def test_a_minimum_norm_attack_with_a_ball_of_its_own_keeps_the_crossings_beyond_it():
    tensors, metadata = crafted("torchattacks.FAB")
    right = tensors["clean_predictions"] == tensors["labels"]
    assert metadata["stages"][0]["notes"]["clean"] > 0
    assert (tensors["predictions"] != tensors["labels"]).all() and (tensors["norm"][right] > 8 / 255).any()


def misbehaving(monkeypatch, work, method="torchattacks.FGSM", **changes):
    """What comes of an attack of which `work(model, inputs, labels)` is the library's part."""
    monkeypatch.setattr(RUN, lambda call: work(call.model, call.inputs, call.labels))
    return crafted(method, **changes)


def test_a_point_outside_the_ball_and_one_that_is_not_finite_are_told_and_moved_inside(monkeypatch):
    def work(model, inputs, labels):
        model((inputs + 0.05).clamp(0, 1))
        points = inputs + 0.3
        points[0] = float("nan")
        return points

    tensors, metadata = misbehaving(monkeypatch, work)
    assert metadata["stages"][0]["notes"]["outside"] == FEW
    assert tensors["norm"].max() <= 0.1 + 1e-6
    # The library's point of the first example is none, so that the point seen stands for it.
    assert tensors["norm"][0] == pytest.approx(0.05, abs=1e-6)


def test_where_no_point_of_the_ball_was_looked_at_the_strongest_beyond_is_moved_onto_it(monkeypatch):
    """A search for the nearest point may see none inside a small ball, and returns the clean image then."""

    def work(model, inputs, labels):
        model(torch.cat([inputs + 0.3, inputs[:5] + 0.05]).clamp(0, 1))
        return inputs

    tensors, _ = misbehaving(monkeypatch, work)
    inputs, _ = pixels(FEW)
    delta = tensors["adversarial"] - inputs
    assert torch.allclose(delta[5:], ((inputs + 0.1).clamp(0, 1) - inputs)[5:], atol=1e-6)
    assert (norms(delta[:5], "linf") <= 0.05 + 1e-6).all()


def test_what_a_library_changes_is_told(monkeypatch):
    def work(model, inputs, labels):
        torch.manual_seed(0)
        model.train()
        return inputs + 0.1

    _, metadata = misbehaving(monkeypatch, work)
    notes = metadata["stages"][0]["notes"]
    assert notes["reseeded"] and notes["mode_changed"]


def test_results_that_depend_on_the_batch_are_told(monkeypatch):
    def work(model, inputs, labels):
        return inputs + 0.01 * len(inputs) / FEW

    _, metadata = misbehaving(monkeypatch, work)
    notes = metadata["stages"][0]["notes"]
    assert (notes["again"], notes["other_points"]) == (FEW // 2, FEW // 2)
    _, metadata = misbehaving(monkeypatch, lambda model, inputs, labels: inputs + 0.01)
    assert metadata["stages"][0]["notes"]["other_points"] == 0


@pytest.mark.parametrize("even", [5, 10])
def test_an_attack_that_8_bits_undo_is_told_to_depend_on_no_batch(monkeypatch, even):
    """The examples that it is made for once more are others than those that it is compared on."""
    monkeypatch.setattr(RUN, lambda call: (call.inputs + 0.3 / 255).clamp(0, 1))
    images = torch.full((FEW, 1, 2, 2), 100, dtype=torch.uint8)
    images[:even] += 1
    entry = settings("torchattacks.FGSM", eps=0.3 / 255, stored="uint8", stop_on_success=True)

    def between(pixels):
        steps = 255 * pixels[:, 0, 0, 0] - 100
        return torch.stack([torch.zeros_like(steps), torch.where((steps > 0.1) & (steps < 0.5), 1.0, -1.0)], 1)

    model = torch.nn.Module()
    model.forward = between
    _, metadata = craft(model, images, torch.zeros(FEW, dtype=torch.int64), entry, seed=1, batch_size=None)
    notes = metadata["stages"][0]["notes"]
    assert metadata["float_successes"] == FEW - even
    assert (notes["again"], notes["other_points"], notes["other_outcomes"]) == (FEW // 2, 0, 0)


def test_points_of_a_part_of_the_batch_in_any_order_are_those_of_their_examples(monkeypatch):
    def work(model, inputs, labels):
        # The last examples alone, backwards, each twice.
        chosen = torch.arange(len(inputs) - 1, 5, -1)
        model(torch.cat([inputs[chosen] + 0.05, inputs[chosen] - 0.05]).clamp(0, 1))
        return inputs

    tensors, _ = misbehaving(monkeypatch, work)
    inputs, _ = pixels(FEW)
    delta = tensors["adversarial"] - inputs
    assert (delta[:6] == 0).all()
    assert (norms(delta[6:], "linf") - 0.05).abs().max() < 1e-6


def test_equal_images_have_all_points_of_each_other(monkeypatch):
    """Which of them a point belongs to nobody can tell; labels may differ."""

    def work(call):
        call.model(torch.cat([call.inputs[:6] - 0.02, call.inputs[6:] + 0.05]).clamp(0, 1))
        return call.inputs

    monkeypatch.setattr(RUN, work)
    images, labels = held_out(6)
    twice, answers = images.repeat(2, 1, 1, 1), torch.cat([labels, (labels + 1) % 10])
    tensors, _ = craft(network(), twice, answers, settings("torchattacks.FGSM"), seed=1, batch_size=None)
    assert (tensors["norm"] > 0.01).all()
    away = network()((images / 255 + 0.05).clamp(0, 1)), network()((images / 255 - 0.02).clamp(0, 1))
    for rows in (slice(6), slice(6, 12)):
        margins = torch.stack([margin(logits, answers[rows]) for logits in away])
        assert torch.allclose(tensors["margin"][rows], margins.amax(0), atol=1e-5)


def test_a_budget_of_queries_ends_an_attack(monkeypatch):
    def work(model, inputs, labels):
        for step in range(1, 100):
            model((inputs + 0.001 * step).clamp(0, 1))
        raise AssertionError("it was not ended")

    tensors, metadata = misbehaving(monkeypatch, work, queries=10)
    assert metadata["forwards_per_example"] == 10 and metadata["stages"][0]["notes"]["ended_by_queries"] == FEW
    assert tensors["norm"].max() <= 0.01 + 1e-6 and (tensors["norm"] > 0).all()


def test_points_that_are_not_finite_are_no_fault_of_the_source(monkeypatch):
    def work(model, inputs, labels):
        points = (inputs + 0.05).clamp(0, 1)
        points[0] = float("nan")
        logits = model(points)
        assert logits[0].isnan().all() and logits[1:].isfinite().all()
        return points

    tensors, metadata = misbehaving(monkeypatch, work)
    assert "failed" not in metadata and metadata["stages"][0]["notes"]["outside"] == 1
    assert (tensors["norm"][1:] > 0.04).all()


class Rooted(torch.nn.Module):
    """The slope of the root of a black pixel is infinite, and times 0 no number."""

    def forward(self, points):
        return network()((points * (1 - points) * 0).sqrt() + points)


@pytest.mark.parametrize("method", ["torchattacks.PGD", "foolbox.L2DeepFoolAttack", "adv_lib.fmn"])
@pytest.mark.parametrize("stop_on_success", [False, True])
def test_a_model_without_finite_gradients_is_no_robust_one(method, stop_on_success):
    with pytest.raises(InputError, match="not finite"):
        craft(Rooted(), *held_out(FEW), settings(method, stop_on_success=stop_on_success), seed=1, batch_size=None)


def test_gradients_that_vanish_in_the_model_are_counted_and_those_of_a_loss_are_not(monkeypatch):
    def work(model, inputs, labels):
        points = inputs.clone().requires_grad_(True)
        for weights in (0, float("nan"), 1):
            logits = model(points)
            torch.autograd.grad((logits * weights).sum(), points)
        return (inputs + 0.05).clamp(0, 1)

    class Clipped(torch.nn.Module):
        def forward(self, points):
            clipped = torch.arange(len(points)) % 3 == 0
            logits = network()(points)
            return torch.where(clipped[:, None], logits.clamp(-1e-3, 1e-3), logits)

    monkeypatch.setattr(RUN, lambda call: work(call.model, call.inputs, call.labels))
    _, metadata = craft(Clipped(), *held_out(FEW), settings("torchattacks.FGSM"), seed=1, batch_size=None)
    assert metadata["zero_gradients"] == pytest.approx(FEW / 3 / (3 * FEW))


def test_a_library_that_asks_for_gradients_it_declares_not_to_need_fails(monkeypatch):
    def work(model, inputs, labels):
        model(inputs.requires_grad_(True)).sum().backward()

    _, metadata = misbehaving(monkeypatch, work, method="torchattacks.Square")
    assert "does not require grad" in metadata["failed"]


def failing(call):
    raise IndexError("no such class")


REASON = "torchattacks.FGSM failed: IndexError: no such class"


class Codes(nn.Module):
    """Looks grey levels up, so that nothing follows from the pixels by autograd."""

    def __init__(self):
        super().__init__()
        self.codes, self.fc = nn.Embedding(17, 4), nn.Linear(256, 10)

    def forward(self, pixels):
        return self.fc(self.codes((16 * pixels).long().flatten(1)).flatten(1))


@pytest.mark.parametrize("method", ["torchattacks.PGD", "foolbox.LinfPGD", "adv_lib.ddn", "art.DeepFool"])
def test_a_network_without_gradients_is_not_supported_and_no_failure_of_a_library(method):
    with pytest.raises(NotSupported, match="gives no gradient to its input"):
        craft(Codes(), *held_out(FEW), settings(method), seed=1, batch_size=None)


@pytest.mark.parametrize("rows", [None, range(4, FEW)], ids=["whole", "shard"])
def test_an_exception_leaves_clean_images_and_its_reason(monkeypatch, rows):
    monkeypatch.setattr(RUN, failing)
    entry = settings("torchattacks.FGSM")
    tensors, metadata = craft(network(), *held_out(FEW), entry, seed=1, batch_size=5, rows=rows)
    assert metadata["failed"] == REASON and (tensors["norm"] == 0).all()
    if rows:
        sound = {key: value for key, value in metadata.items() if key != "failed"}
        assert combined([sound, metadata])["failed"] == REASON


def stored(path, method, attack):
    """The file of a set of that attack, and its split."""
    entry, (images, labels) = settings(method), held_out(FEW)
    tensors, metadata = craft(network(), images, labels, entry, seed=1, batch_size=None)
    split = {"fingerprint": Origin(images.numpy(), labels.numpy(), "").split_fingerprint}
    names = {"attack": attack, "entry": attack, "dataset": "d", "source": "s"}
    save_set(path, tensors, entry, metadata | names, source={"fingerprint": "of the model"}, split=split)
    return split


def test_a_set_that_failed_is_scored_on_nothing_and_fails_the_audit_with_its_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(RUN, failing)
    path, (images, labels) = tmp_path / "set.safetensors", held_out(FEW)
    split = stored(path, "torchattacks.FGSM", "made")
    monkeypatch.setattr("squeezeproof.evaluation.scoring.open_split", lambda test: (images, labels, split))
    _, predictions, attacks, *_ = score(lambda images: torch.zeros(len(images), dtype=torch.int64), None, [path])
    assert (predictions["made"] == NOT_SCORED).all() and attacks["made"]["failed"] == REASON
    (finding,) = audit_set(path, "d", "s", "made", Origin(images.numpy(), labels.numpy(), "of the model"))
    assert (finding.verdict, finding.message) == ("failure", REASON)


def test_a_table_tells_what_they_did(monkeypatch, tmp_path):
    stored(tmp_path / "apgd.safetensors", "torchattacks.APGD", "apgd")
    monkeypatch.setattr(RUN, failing)
    stored(tmp_path / "fgsm.safetensors", "torchattacks.FGSM", "fgsm")
    ran, failed = library_table(tmp_path.glob("*.safetensors")).to_dict("records")
    assert (ran["attacked"], ran["compared"], ran["reseeded"], ran["failed"]) == (FEW, FEW // 2, 1, "")
    assert 0 <= ran["returned_clean"] < FEW
    assert (failed["attacked"], failed["failed"]) == (0, REASON)
    plan = study({"method": "torchattacks.FGSM", "eps": 0.1})
    assert "library_attacks" in table_names(plan)
    assert "library_attacks" not in table_names(study({"method": "fgsm", "eps": 0.1}))


def test_they_are_called_from_python_as_ours_are(monkeypatch):
    images, labels = held_out(FEW)
    found = squeezeproof.attack(network(), images, labels, "torchattacks.APGD", eps=0.1, steps=5, seed=1)
    tensors, _ = crafted("torchattacks.APGD", steps=5)
    assert found.success.equal(tensors["predictions"] != labels)
    monkeypatch.setattr(RUN, failing)
    with pytest.raises(InputError, match=REASON):
        squeezeproof.attack(network(), images, labels, "torchattacks.FGSM", eps=0.1)


def test_a_library_that_is_not_installed_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setattr(registry.libraries()["torchattacks"], "package", "torchattacks_of_nowhere")
    with pytest.raises(InputError, match=r"torchattacks: No module named .*pip install torchattacks==3\.5\.1"):
        crafted("torchattacks.FGSM")


def test_a_package_that_a_library_s_attack_needs_and_does_not_bring_is_told_with_what_to_install(monkeypatch):
    def work(call):
        raise ModuleNotFoundError("No module named 'cma'", name="cma")

    monkeypatch.setattr(RUN, work)
    with pytest.raises(InputError, match=r"torchattacks\.FGSM needs the package cma .*pip install cma"):
        crafted("torchattacks.FGSM")


def test_attacks_of_libraries_are_stages_beside_our_own():
    stages = [{"method": "fgsm"}, {"method": "torchattacks.APGD", "steps": 5}]
    checked = study({"method": "suite", "eps": 0.1, "stages": stages}).attacks["theirs-eps0.1"].settings
    tensors, metadata = craft(network(), *held_out(FEW), checked, seed=1, batch_size=None)
    assert [stage["method"] for stage in metadata["stages"]] == ["fgsm", "torchattacks.APGD"]
    assert metadata["stages"][1]["attacked"] == metadata["stages"][0]["standing"]
    assert set(tensors["stage"].tolist()) <= {-1, 0, 1}
