"""The public calls: a model in memory is attacked as a rule attacks it, and a verdict on two is never too strong."""

import copy
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network, settings
from conftest import ROOT
from torch import nn

import squeezeproof
from squeezeproof.analysis.answers import CARE, KEEP, STOP, UNKNOWN, Evidence, Loss, remedies
from squeezeproof.analysis.answers import answer as the_rule
from squeezeproof.analysis.replacement import TOGETHER, Faced, replacement
from squeezeproof.attacks.craft import craft
from squeezeproof.in_memory.inputs import gives_gradients
from squeezeproof.pages import answer_page
from squeezeproof.seeds import derive_seed

COUNT = 60


def black_box(model):
    """The model as a function that autograd cannot follow."""
    return lambda pixels: model(torch.from_numpy(pixels.numpy())).detach().numpy()


def worse(model, scale=0.05):
    """A copy of the model with noise on its weights."""
    generator = torch.Generator().manual_seed(1)
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return model


def run_elsewhere(code, folder, path=ROOT / "workflow_scripts"):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(path)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


# --- the package ------------------------------------------------------------------------------------------------------


def test_the_package_loads_nothing_and_names_what_it_offers(tmp_path):
    code = "import sys, squeezeproof; assert not {'torch', 'numpy'} & set(sys.modules); print(dir(squeezeproof))"
    done = run_elsewhere(code, tmp_path)
    assert done.returncode == 0 and all(f"'{name}'" in done.stdout for name in ("attack", "check", "InputError"))
    with pytest.raises(AttributeError, match="no attribute 'defend'"):
        squeezeproof.defend  # noqa: B018


def test_the_examples_of_the_page_run_in_another_folder(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/from_python.md").read_text(), re.S)
    code = "import torch; torch.set_num_threads(1)\n" + "\n".join(blocks)
    done = run_elsewhere(code, tmp_path)
    assert len(blocks) == 3 and done.returncode == 0, done.stdout
    assert "<h1>Do not ship: " in (tmp_path / "check.html").read_text()


def test_the_wheel_holds_what_the_calls_need(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT / "workflow_scripts", source / "workflow_scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        tmp_path,
        ".",
    ]
    subprocess.run(command, cwd=source, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("squeezeproof/")}
    library = ROOT / "workflow_scripts/squeezeproof"
    needed = [path for path in library.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert held == {path.relative_to(library.parent).as_posix() for path in needed}


# --- attack -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["apgd", "square", "cw"])
def test_an_attack_makes_what_the_rule_makes(method):
    images, labels = held_out(COUNT)
    entry = settings(method)
    tensors, metadata = craft(network(), images, labels, entry, seed=3, batch_size=16)
    own = {key: value for key, value in entry.items() if key not in ("method", "stored")}

    found = squeezeproof.attack(network(), images.numpy(), labels.tolist(), method, seed=3, **own)

    assert torch.equal(found.images, tensors["adversarial"]) and torch.equal(found.predictions, tensors["predictions"])
    assert torch.equal(found.success, tensors["predictions"] != labels)
    assert found.forwards == metadata["forwards_per_example"] and found.settings == entry
    assert found.accuracy == pytest.approx((tensors["predictions"] == labels).double().mean().item())
    assert list(found.table["norm"]) == tensors["norm"].tolist() and len(found.table) == COUNT
    assert f"accuracy {100 * found.clean_accuracy:.1f} % to {100 * found.accuracy:.1f} %" in repr(found)


def test_pixels_are_what_uint8_images_stand_for_and_stay_as_they_are():
    images, labels = held_out(COUNT)
    pixels = images / 255
    kept = pixels.clone()

    of_pixels = squeezeproof.attack(network(), pixels, labels, "pgd", eps=0.1)

    assert torch.equal(pixels, kept)
    assert torch.equal(of_pixels.images, squeezeproof.attack(network(), images, labels, "pgd", eps=0.1).images)


def test_crafting_on_pixels_leaves_them():
    images, labels = held_out(COUNT)
    pixels = images / 255
    kept = pixels.clone()
    craft(network(), pixels, labels, settings("pgd"), seed=0, batch_size=16)
    assert torch.equal(pixels, kept)


def test_a_function_is_attacked_like_the_module_inside():
    images, labels = held_out(COUNT)
    model = network()
    as_function = squeezeproof.attack(lambda pixels: model(pixels), images, labels, "pgd", eps=0.1)
    as_module = squeezeproof.attack(model, images, labels, "pgd", eps=0.1)
    assert (as_function.success == as_module.success).double().mean() > 0.98
    without = squeezeproof.attack(black_box(model), images, labels, "square", eps=0.1, queries=40)
    assert torch.equal(
        without.success, squeezeproof.attack(model, images, labels, "square", eps=0.1, queries=40).success
    )


def test_a_model_is_left_as_it_was():
    images, labels = held_out(20)
    model = network().train()
    squeezeproof.attack(model, images, labels, "fgsm", eps=0.1)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


WRONG = {
    "name": ({"name": "apdg"}, "no attack 'apdg', did you mean apgd?"),
    "of a library": ({"name": "torchattacks.PDG"}, "no attack 'torchattacks.PDG', did you mean torchattacks.PGD?"),
    "setting": ({"step": 3}, "pgd: step: unknown, did you mean steps?"),
    "several": ({"steps": 0, "restarts": 0}, r"steps: 0 is not in \[1, 100000\]; restarts: 0 is not"),
    "no eps": ({"eps": None}, "pgd: eps: missing"),
    "eps of 255": ({"eps": 8}, "did you mean 8/255"),
    "l2 of 255": ({"eps": 128, "norm": "l2"}, r"eps: 128 is not in \(0, .*\], the l2 distance.*did you mean 128/255"),
    "two eps": ({"eps": [0.1, 0.2]}, "2 values, give one"),
    "norm": ({"norm": "l1"}, "norm: 'l1' is unknown"),
    "0 to 255": ({"images": held_out(8)[0].float()}, r"lie in \[0, 255\].*divide them by 255"),
    "normalised": ({"images": held_out(8)[0] / 128 - 1}, r"lie in \[-1, .*put that into the model"),
    "twice": ({"images": held_out(8)[0] / 255 / 256}, "divided by 255 twice"),
    "not finite": ({"images": held_out(8)[0] / 0}, "not finite"),
    "int64": ({"images": held_out(8)[0].long()}, "int64; give uint8"),
    "last": ({"images": held_out(8)[0].permute(0, 2, 3, 1)}, "channels last"),
    "one": ({"images": held_out(8)[0][0]}, r"images\[None\]"),
    "none": ({"images": held_out(8)[0][:0]}, r"\[N, C, H, W\] is needed"),
    "words": ({"images": ["a.png"]}, "images"),
    "fewer": ({"labels": [1, 2]}, "there are 8 images"),
    "one-hot": ({"labels": np.eye(10)[:8]}, r"labels.argmax\(1\)"),
    "floats": ({"labels": [0.5] * 8}, "whole numbers"),
    "negative": ({"labels": [-1] * 8}, "counted from 0"),
    "classes": ({"labels": [10] * 8}, "the model has 10 classes"),
    "path": ({"model": "model.pt"}, "cannot be called"),
    "shape": ({"model": nn.Sequential(nn.Flatten(), nn.Linear(9, 10))}, r"fails on float32 pixels \(2, 1, 8, 8\)"),
    "weights in half": (
        {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).half()},
        "its weights are float16, write model.float",
    ),
    "map": ({"model": nn.Conv2d(1, 10, 3)}, "one logit for each class"),
    "dictionary": ({"model": lambda pixels: {"logits": network()(pixels)}}, r"returns a dict.*\['logits'\]"),
    "half": ({"model": lambda pixels: network()(pixels).half()}, "float16, float32 is needed"),
    "softmax": ({"model": nn.Sequential(network(), nn.Softmax(1))}, "probabilities.*the logarithm will do"),
    "no gradient": ({"model": black_box(network())}, "gives no gradient"),
    "training": ({"name": "uap"}, r"give training=\(images, labels\)"),
    "binary": ({"name": "autoattack", "model": lambda p: network()(p)[:, :2], "labels": [0] * 8}, "needs 4 classes"),
    "stored": ({"images": held_out(8)[0] / 255, "stored": "uint8"}, "stored: uint8 needs uint8 images"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_refused_in_words(changes, message):
    images, labels = held_out(8)
    arguments = {"model": network(), "images": images, "labels": labels, "name": "pgd", "eps": 0.1} | changes
    with pytest.raises(squeezeproof.InputError, match=message):
        squeezeproof.attack(**arguments)


def test_an_attack_may_learn_from_training_images():
    images, labels = held_out(60)
    training = images[20:], labels[20:]
    found = squeezeproof.attack(network(), images[:20], labels[:20], "uap", eps=0.1, passes=1, training=training)
    moved = found.images - images[:20] / 255
    assert 0 < moved.abs().max() <= 0.1 + 1e-6


def test_what_an_attacker_has_seen_is_not_scored():
    images, labels = held_out(60)
    assert len(labels[:40].unique()) == 10
    found = squeezeproof.attack(
        network(), images, labels, "substitute", eps=0.1, **{"seeds": 40, "rounds": 2, "epochs": 1}
    )
    assert found.scored.tolist() == [False] * 40 + [True] * 20
    assert found.accuracy == pytest.approx((~found.success[40:]).double().mean().item())


def test_an_attacker_starts_from_images_of_every_class_however_they_lie():
    images, labels = held_out(60)
    order = labels.argsort()
    options = {"seeds": 20, "rounds": 2, "epochs": 1}
    found = squeezeproof.attack(network(), images[order], labels[order], "substitute", eps=0.1, **options)
    assert len(found.labels[~found.scored].unique()) == len(labels.unique()) and (~found.scored).sum() == 20
    # Every row is that of its image.
    assert found.labels.equal(labels[order])
    assert 0 < (found.images - images[order] / 255).abs().max() <= 0.1 + 1e-6
    assert found.predictions.equal(network()(found.images).argmax(1))


# --- check ------------------------------------------------------------------------------------------------------------

QUICK = {"pgd": {"steps": 5}, "square": {"queries": 20}}


def check(base, compressed, count=COUNT, **changes):
    return squeezeproof.check(base, compressed, *held_out(count), **{"eps": 0.05, "attacks": QUICK, **changes})


def test_a_copy_may_replace_its_base_and_the_audit_says_that_it_is_one():
    checked = check(network(), network(), 400, margin=0.05)
    assert checked.verdict == CARE and "the audit warns: check 23" in checked.answer.headline
    assert (checked.table["difference"][checked.table["crafted_on"] == "itself"].abs() < 0.05).all()


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


def test_a_random_model_is_told_by_the_audit():
    draws = nn.Sequential(network(), Drawing())
    checked = check(network(), draws)
    assert checked.verdict == UNKNOWN and "the audit refuses results (check 6" in checked.answer.headline


class Drawing(nn.Module):
    def forward(self, logits):
        return logits + 0.01 * torch.randn_like(logits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": []}, "eps: is empty"),
        ({"attacks": []}, "attacks: is empty"),
        ({"attacks": "pdg"}, "did you mean pgd"),
        ({"attacks": {"pgd": {"eps": 1}}}, "eps is no setting here"),
        ({"attacks": ["uap"]}, "learns from training images"),
        ({"margin": 2}, "margin: 2 is not in"),
        ({"alpha": 0}, "alpha: 0 is not in"),
        ({"compressed": lambda pixels: network()(pixels)[:, :9], "labels": [0] * 8}, "10 classes, compressed: 9"),
        ({"compressed": 3}, "compressed: 3 cannot be called"),
    ],
)
def test_what_cannot_be_checked_is_refused(changes, message):
    images, labels = held_out(8)
    arguments = {"base": network(), "compressed": network(), "images": images, "labels": labels, "eps": 0.1} | changes
    with pytest.raises(squeezeproof.InputError, match=message):
        squeezeproof.check(**arguments)


# --- the answer -------------------------------------------------------------------------------------------------------

STATISTICS = {"alpha": 0.05, "margin": 0.02}


def outcomes(count, wrong):
    """Whether each of `count` images is right, the first `wrong` are not."""
    return np.arange(count) >= wrong


def faced(source, base, compressed, *, attack="pgd", eps=0.1, entry=None):
    settings = {"entry": entry or attack, "method": attack, "norm": "linf", "eps": eps, "steps": 20}
    right = {"base": base, "compressed": compressed}
    return Faced(source, settings, right, np.ones(len(base), bool))


def answer(*faced, clean=(0, 0), count=2000, **changes):
    right = {name: outcomes(count, wrong) for name, wrong in zip(("base", "compressed"), clean, strict=True)}
    return replacement(right, list(faced), 10, STATISTICS, **changes)


def test_an_image_stands_where_it_stands_against_everything():
    first, second = outcomes(2000, 400), outcomes(2000, 500)[::-1]
    found = answer(
        faced("base", first, first), faced("compressed", second, outcomes(2000, 0)), clean=(0, 100)
    ).together.iloc[0]
    assert found["base_accuracy"] == (first & second).mean() == 0.55
    assert found["compressed_accuracy"] == (first & outcomes(2000, 100)).mean()


@pytest.mark.parametrize(
    ("followed", "lost", "verdict"),
    [
        (("base", "compressed"), 0, KEEP),
        (("base", "compressed"), 120, STOP),
        (("base", "compressed"), -120, KEEP),
        # A loss of 1.5 to 2.5 points: shown, and small.
        (("base", "compressed"), 40, CARE),
        # Attacked by other means than its base, the compressed model has nothing proved in its favour.
        (("base",), 0, UNKNOWN),
        (("base",), -120, UNKNOWN),
        (("base",), 120, STOP),
        # The images of the compressed model prove nothing against it.
        (("compressed",), 120, UNKNOWN),
        (("compressed",), 0, KEEP),
        # Nobody has followed the gradients of either.
        ((), 0, UNKNOWN),
    ],
)
def test_a_verdict_says_no_more_than_its_images(followed, lost, verdict):
    base, compressed = outcomes(2000, 800), outcomes(2000, 800 + lost)
    methods = {source: "pgd" if source in followed else "square" for source in ("base", "compressed")}
    both = [faced(source, base, compressed, attack=method) for source, method in methods.items()]
    assert answer(*both).verdict == verdict


def test_differences_in_both_directions_show_nothing():
    base, compressed = outcomes(1000, 400), np.roll(outcomes(1000, 400), 400)
    found = answer(*[faced(source, base, compressed) for source in ("base", "compressed")], count=1000)
    assert found.verdict == UNKNOWN and "could not be shown with 1000 images" in found.sentences[0]


def test_one_budget_at_which_it_is_less_robust_decides():
    same, less = outcomes(2000, 400), outcomes(2000, 700)
    both = [faced(source, same, same, eps=0.1) for source in ("base", "compressed")]
    both += [faced(source, same, less, eps=0.2) for source in ("base", "compressed")]
    assert answer(*both).verdict == STOP


def test_a_budget_at_which_the_base_keeps_nothing_decides_nothing():
    same, fallen = outcomes(2000, 400), outcomes(2000, 2000)
    both = [faced(source, same, same, eps=0.1) for source in ("base", "compressed")]
    both += [faced(source, outcomes(2000, 1980), fallen, eps=0.2) for source in ("base", "compressed")]
    assert answer(*both).verdict == KEEP


def test_what_clean_images_lose_counts():
    same = outcomes(2000, 800)
    both = [faced(source, same, same) for source in ("base", "compressed")]
    assert answer(*both).verdict == KEEP
    found = answer(*both, clean=(0, 200))
    assert found.verdict == STOP and "points on clean images" in found.headline


def test_a_few_steps_are_no_steps():
    same = outcomes(2000, 800)
    both = [faced(source, same, same) for source in ("base", "compressed")]
    for one in both:
        one.settings["steps"] = 2
    assert answer(*both).verdict == UNKNOWN


def test_the_answer_is_that_of_the_rule_on_the_same_numbers():
    """What a study's story says of two models and what `check` says of them is one rule's."""
    base, compressed = outcomes(2000, 800), outcomes(2000, 840)
    found = answer(*[faced(source, base, compressed) for source in ("base", "compressed")])
    row = found.together.iloc[0]
    loss = Loss(
        "all attacks together (Linf, eps 0.1)", row["verdict"], row["difference"], row["low"], row["high"], 2000,
        kept=row["base_accuracy"],
    )  # fmt: skip
    clean = Loss("clean images", "", 0.0, found.clean["low"], found.clean["high"], 2000)
    weighed = Evidence(clean, [loss])
    verdict, reasons = the_rule(weighed, STATISTICS["margin"])
    assert (found.verdict, found.headline) == (verdict, f"{verdict.capitalize()}: {'; '.join(reasons)}.")
    assert found.changes.lower() == f"{'; '.join(remedies(weighed, STATISTICS['margin'], None))}.".lower()


def test_the_page_places_an_interval_on_its_scale():
    assert answer_page._place(0.05, 10) == 75 and answer_page._place(-1, 10) == 0
    same = outcomes(2000, 800)
    found = answer(*[faced(source, same, same, entry="<b>") for source in ("base", "compressed")])
    page = answer_page.page(found, ["<i>tried"], [], [], {"a": "&"}, 0.02)
    assert "<b>, eps" not in page and "&lt;i&gt;tried" in page and "+5 points" in page
    assert TOGETHER.capitalize() not in page
