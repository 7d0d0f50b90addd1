"""squeezeproof.check: a verdict on two models in memory is never too strong."""

import ast

import numpy as np
import pandas as pd
import pytest
import torch
from attack_fixtures import held_out, network
from python_examples import COUNT, black_box, worse
from torch import nn

import squeezeproof
from squeezeproof.analysis.answers import CARE, KEEP, STOP, UNKNOWN
from squeezeproof.errors import InputError
from squeezeproof.in_memory.inputs import gives_gradients
from squeezeproof.seeds import derive_seed
from squeezeproof.tables.words import Verdict

QUICK = {"pgd": {"steps": 5}, "square": {"queries": 20}}


def check(base, compressed, count=COUNT, **changes):
    return squeezeproof.check(base, compressed, *held_out(count), **{"eps": 0.05, "attacks": QUICK, **changes})


def test_a_copy_may_replace_its_base_and_the_audit_says_that_it_is_one():
    checked = check(network(), network(), 400, margin=0.05)
    assert checked.verdict == CARE and "what the audit doubts: check 23" in checked.answer.headline
    assert (checked.table["difference"][checked.table["crafted_on"] == "itself"].abs() < 0.05).all()


@pytest.mark.parametrize("other", [False, True])
def test_a_compression_that_moves_no_label_is_kept_as_one_that_moves_some_is(other):
    """Logits times a number that is no power of two: other weights, the same labels."""
    small = network()
    with torch.no_grad():
        small[-1].weight *= 3.1
        small[-1].bias *= 3.1
    base, small = (black_box(network()), black_box(small)) if other else (network(), small)
    checked = check(base, small, 400, margin=0.05)
    assert "check 23" not in checked.answer.headline and (other or checked.verdict == KEEP)
    assert "bit for bit" in str(check(base, base, 400, margin=0.05))


class OfAnother(nn.Module):
    """Answers for images that it has not seen before as another model does, as a mistaken cache may."""

    def __init__(self, own, other):
        super().__init__()
        self.own, self.other = own, other
        self.known = {image.numpy().tobytes() for image in held_out(200)[0] / 255}

    def forward(self, pixels):
        known = torch.tensor([image.detach().numpy().tobytes() in self.known for image in pixels])
        return torch.where(known[:, None], self.own(pixels), self.other(pixels))


def test_what_a_finding_asks_for_can_be_done_by_who_called():
    """There is no job that makes predictions again."""
    checked = check(network(), OfAnother(worse(network(), 0.1), network()), 200)
    [told] = [finding for finding in checked.audit if finding.check == 27 and finding.target == "compressed"]
    assert "it labels as another model does" in told.message and told.message.endswith("was asked before")
    assert "predictions" not in told.message


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("name", ["base", "compressed"])
def test_a_model_of_negatives_is_told_as_such_and_not_called_broken(name, as_bytes):
    models, images = {"base": network(), "compressed": network()}, held_out(60)[0]
    own = models[name]
    models[name] = lambda pixels: own(1 - pixels)
    told = rf"^{name}: labels .* of the images right and \d\d\.\d% of their negatives: .*; give lambda pixels: {name}\("
    with pytest.raises(InputError, match=told):
        squeezeproof.check(
            *models.values(), images if as_bytes else images / 255, held_out(60)[1], eps=0.05, attacks=QUICK
        )


def test_a_damaged_model_may_not(tmp_path):
    checked = check(network(), worse(network(), 0.1), 300, eps=[0.02, 0.05], page=tmp_path / "page.html")
    assert checked.verdict == STOP
    together = checked.answer.together
    assert list(together["eps"]) == [0.02, 0.05] and set(together["crafted_on"]) == {"both"}
    page = (tmp_path / "page.html").read_text()
    for text in (checked.answer.headline, *checked.tried, *checked.not_tried):
        assert text in page
    for row in together.itertuples():
        assert f"{100 * row.base_accuracy:.1f} → {100 * row.compressed_accuracy:.1f}" in page


def test_an_image_that_is_given_several_times_counts_once(tmp_path):
    images, labels = held_out(40)
    models, options = (network(), worse(network(), 0.1)), {"eps": 0.05, "attacks": QUICK, "margin": 0.2}
    once = squeezeproof.check(*models, images, labels, **options)
    repeated = images.repeat(5, 1, 1, 1) / 255
    repeated[40:80] *= -(repeated[40:80] == 0).float() * 2 + 1
    again = squeezeproof.check(*models, repeated, labels.repeat(5), **options, page=tmp_path / "page.html")
    assert torch.signbit(repeated).any()
    pd.testing.assert_frame_equal(once.table, again.table)
    assert once.answer.clean == again.answer.clean
    found = {finding.check: finding for finding in again.audit if finding.check in (28, 29)}
    assert found[28].verdict == "pass" and (found[29].verdict, found[29].value) == ("warning", 160)
    for text in (str(again), (tmp_path / "page.html").read_text()):
        assert "160 of 200 images are there before" in text and "40 of 1 × 8 × 8, 10 classes; 160 more" in text
    assert "\n  images, warning: 160 of" in str(again) and "left out" not in str(once)


def test_an_answer_on_repeated_images_is_no_stronger_than_that_on_the_distinct_ones():
    images, labels = held_out(400)
    once = check(network(), worse(network(), 0.001), 400, margin=0.2)
    again = squeezeproof.check(
        *(network(), worse(network(), 0.001), images.repeat(2, 1, 1, 1), labels.repeat(2)),
        **{"eps": 0.05, "attacks": QUICK, "margin": 0.2},
    )
    assert once.verdict in (KEEP, CARE) and again.verdict == CARE
    assert "check 29, few test images are there twice" in again.answer.headline


def test_an_image_with_two_labels_is_refused():
    images, labels = held_out(40)
    others = labels.repeat(2)
    others[41] = (others[1] + 1) % 10
    with pytest.raises(InputError, match=r"^labels: 2 of 80 images are there with another label too.*\(classes"):
        squeezeproof.check(network(), network(), images.repeat(2, 1, 1, 1), others, eps=0.05)


def test_accuracies_are_those_of_the_attacks_alone():
    images, labels = held_out(COUNT)
    checked = check(network(), worse(network()))
    row = checked.table.query("attack == 'square' and crafted_on == 'base'").iloc[0]
    model = network()
    again = squeezeproof.attack(
        model, images, labels, "square", eps=0.05, queries=20, seed=derive_seed(0, "base", "square-eps0.05")
    )
    assert row["base_accuracy"] == pytest.approx(again.accuracy)
    predicted = worse(network())(again.images).argmax(1)
    assert row["compressed_accuracy"] == pytest.approx((predicted == labels).double().mean().item())


def test_a_black_box_is_attacked_without_gradients_and_never_found_equal():
    checked = check(network(), black_box(network()), 400, margin=0.2)
    crafted = checked.table.groupby("attack")["crafted_on"].agg(set)
    assert crafted["pgd"] == {"base"} and crafted["square"] == {"base", "compressed", "itself"}
    assert checked.verdict == UNKNOWN and "no attack followed its gradients" in checked.answer.headline
    assert any("Gradients of the compressed model" in sentence for sentence in checked.not_tried)


def test_a_black_box_is_asked_for_labels_too():
    checked = check(network(), black_box(network()), 20, attacks=None)
    crafted = checked.table.groupby("attack")["crafted_on"].agg(set)
    assert crafted["rays"] == {"base", "compressed", "itself"}
    assert "rays" not in set(check(network(), network(), 20, attacks=None).table["attack"])
    assert "rays" not in set(check(network(), black_box(network()), 20, attacks=None, norm="l2").table["attack"])


def test_a_black_box_may_be_found_wanting():
    assert check(network(), black_box(worse(network(), 0.15)), 300).verdict == STOP


class Rounding(nn.Module):
    """A network behind or before a step that has no gradients, as integer kernels have none."""

    def __init__(self, before=False):
        super().__init__()
        self.network, self.before = network(), before

    def forward(self, pixels):
        if self.before:
            return self.network((pixels * 255).round() / 255)
        return self.network(pixels).round()


@pytest.mark.parametrize("of_classes", [(1, 0), (0, 1), (1, -1), (2, -1)])
def test_a_model_of_two_classes_and_one_score_gives_gradients(of_classes):
    score = nn.Linear(64, 1)
    model = nn.Sequential(nn.Flatten(), score, nn.Linear(1, 2, bias=False)).eval()
    model[2].weight.data = torch.tensor(of_classes, dtype=torch.float32)[:, None]
    assert gives_gradients(model, held_out(4)[0])
    score.weight.data.zero_()
    assert not gives_gradients(model, held_out(4)[0])


@pytest.mark.parametrize("before", [False, True])
def test_a_model_that_rounds_is_attacked_by_queries_and_never_found_more_robust(before):
    images, labels = held_out(40)
    found = squeezeproof.check(network(), Rounding(before), images, labels, eps=0.1)
    assert found.verdict in (STOP, UNKNOWN)
    assert "more robust" not in " ".join([found.answer.headline, *found.answer.sentences])
    crafted = found.table.groupby("attack")["crafted_on"].agg(set)
    assert crafted["pgd"] == {"base"} and "compressed" in crafted["square"]


def test_a_suite_that_follows_gradients_is_made_on_what_gives_them():
    suite = {"suite": {"stages": ["fgsm", "square"]}, **QUICK}
    checked = check(network(), black_box(network()), 20, attacks=suite)
    assert set(checked.table["crafted_on"][checked.table["attack"] == "suite"]) == {"base"}


def test_an_attack_of_a_library_goes_by_its_name():
    found = squeezeproof.attack(network(), *held_out(20), "torchattacks.PGD", eps=0.1, steps=3)
    assert found.accuracy < found.clean_accuracy and found.norm.max() <= 0.1 + 1e-6


def test_where_both_fall_there_is_nothing_to_lose():
    checked = check(network(), worse(network()), eps=0.6)
    assert checked.verdict == UNKNOWN and "nothing to lose" in checked.answer.headline


def test_a_model_that_knows_one_class_is_no_model():
    constant = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    constant[1].weight.data.mul_(0.001)
    constant[1].bias.data = torch.eye(10)[3]
    checked = check(network(), constant)
    assert checked.verdict == STOP and "it is broken: predicts one class" in checked.answer.headline
    # Guessing stands better than a base that falls, and is no robustness.
    checked = check(network(), constant, 300, eps=0.4)
    assert checked.table["base_accuracy"].min() < 0.03 and Verdict.FOUND_LESS in set(checked.table["verdict"])
    assert Verdict.MORE not in set(checked.table["verdict"])
    said = " ".join(checked.answer.sentences)
    assert "the compressed model is broken, so that what it resists proves nothing in its favour" in said


def test_labels_in_another_order_are_no_fault_of_the_compressed_model():
    images, labels = held_out(COUNT)
    with pytest.raises(InputError, match=r"^base: labels .* of the clean images right"):
        squeezeproof.check(network(), worse(network()), images, (labels + 1) % 10, eps=0.1)


def of_studies(checked, path):
    """What is said to readers of a study alone, of all that a call says."""
    checked.write(path)
    said = str(checked) + path.read_text()
    return [
        text for text in ("tables/", "audit.csv", "COMPRESSED", "make check", "expectation: 10 for") if text in said
    ]


def test_a_random_model_is_told_by_the_audit(tmp_path):
    checked = check(network(), nn.Sequential(network(), Drawing()))
    assert checked.verdict == UNKNOWN and "the audit refuses results (check 6" in checked.answer.headline
    assert checked.answer.changes == "what the audit's findings say to do, and a new call."
    [message] = [finding.message for finding in checked.audit if finding.check == 6 and finding.message]
    assert not of_studies(checked, tmp_path / "page.html")
    # What it says to write does what it says.
    attacks = ast.literal_eval(message.partition("several passes: attacks=")[2])
    assert attacks == {name: {**settings, "expectation": 10} for name, settings in QUICK.items()}
    again = check(network(), nn.Sequential(network(), Drawing()), attacks=attacks)
    assert "the audit refuses" not in again.answer.headline


@pytest.mark.parametrize(("attacks", "kept"), [("autoattack", "pgd"), (["fgsm", "autoattack"], "fgsm")])
def test_attacks_that_see_no_mean_of_passes_are_named(attacks, kept):
    checked = check(network(), nn.Sequential(network(), Drawing()), 8, eps=0.9, attacks=attacks)
    [message] = [finding.message for finding in checked.audit if finding.check == 6 and finding.message]
    assert (
        f"without autoattack, which takes no expectation itself: attacks={{'{kept}': {{'expectation': 10}}}}" in message
    )


def test_what_follows_no_gradients_is_told_what_a_caller_can_give(tmp_path):
    checked = check(network(), black_box(network()), 400, margin=0.2)
    assert "as a torch.nn.Module, fake-quantized" in checked.answer.changes
    assert not of_studies(checked, tmp_path / "page.html")


def test_a_random_model_is_a_warning_where_every_attack_sees_several_passes():
    checked = check(network(), nn.Sequential(network(), Drawing()), attacks={"pgd": {"steps": 3, "expectation": 8}})
    found = {finding.target: finding for finding in checked.audit if finding.check == 6}
    assert {name: finding.verdict for name, finding in found.items()} == {"base": "pass", "compressed": "warning"}
    assert "the mean logits of 8 passes" in found["compressed"].message
    assert "the audit refuses" not in checked.answer.headline


class Drawing(nn.Module):
    def forward(self, logits):
        return logits + 0.01 * torch.randn_like(logits)


@pytest.mark.parametrize("eps", [np.float32(0.0625), torch.tensor(0.0625), "1/16", np.array([0.0625])])
def test_a_radius_is_a_number_of_any_library_or_a_fraction(eps):
    checked = check(network(), worse(network()), 24, eps=eps, attacks="fgsm")
    assert set(checked.table["eps"]) == {0.0625}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": []}, "eps: is empty"),
        ({"attacks": []}, "attacks: is empty"),
        ({"attacks": "pdg"}, "did you mean pgd"),
        ({"attacks": {"pgd": {"eps": 1}}}, "eps is no setting here"),
        ({"attacks": ["uap"]}, "learns from training images"),
        ({"margin": 2}, r"margin: 2 is not in \(0, 0\.5\]; did you mean 0\.02\?"),
        ({"margin": 0}, r"margin: 0 is not in \(0, 0\.5\]$"),
        ({"margin": "2%"}, "margin: '2%' is no number; write one in"),
        ({"margin": np.nan}, "margin: nan is no number"),
        ({"margin": True}, "margin: True is no number"),
        ({"alpha": 5}, r"alpha: 5 is not in \(0, 0\.2\]; did you mean 0\.05\?"),
        ({"alpha": 0.5}, r"alpha: 0\.5 is not in \(0, 0\.2\]$"),
        ({"alpha": 0}, "alpha: 0 is not in"),
        ({"compressed": lambda pixels: network()(pixels)[:, :9], "labels": [0] * 7 + [1]}, "10 classes, compressed: 9"),
        ({"compressed": 3}, "compressed: 3 cannot be called"),
        ({"eps": [0.1, 0.05, 0.1]}, "the same radius stands there twice"),
        ({"eps": ["2/255", 2 / 255]}, "the same radius stands there twice"),
        ({"attacks": {"pgd": None}}, "pgd: None is no mapping of settings; write {} for its defaults"),
        ({"labels": [3] * 8}, "labels: all are 3, of which a model that always answers so makes no mistake"),
        ({"batch_size": 0}, "batch_size: 0 is no whole number"),
        ({"page": "."}, "page: . is a folder; name a file, such as check.html"),
        ({"page": f"{__file__}/page.html"}, r"page: .*page\.html: .*test_from_python_check\.py is no folder"),
    ],
)
def test_what_cannot_be_checked_is_refused(changes, message):
    images, labels = held_out(8)
    arguments = {"base": network(), "compressed": network(), "images": images, "labels": labels, "eps": 0.1} | changes
    with pytest.raises(squeezeproof.InputError, match=message):
        squeezeproof.check(**arguments)
