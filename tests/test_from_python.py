"""The public calls: what the package offers, and how a model in memory is attacked as a rule attacks it."""

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
from python_examples import COUNT, black_box
from torch import nn

import squeezeproof
from squeezeproof.attacks.craft import craft


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

    # On some processors the products of a batch of another size round otherwise.
    found = squeezeproof.attack(network(), images.numpy(), labels.tolist(), method, seed=3, batch_size=16, **own)

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
    "half": ({"model": lambda pixels: network()(pixels).half()}, r"float16, float32 is needed; .* logits\.float"),
    "ends in double": ({"model": lambda pixels: network()(pixels).double()}, "logits are float64, float32 is needed"),
    "softmax": ({"model": nn.Sequential(network(), nn.Softmax(1))}, "probabilities.*the logarithm will do"),
    "no gradient": ({"model": black_box(network())}, "gives no gradient"),
    "training": ({"name": "uap"}, r"give training=\(images, labels\)"),
    "binary": ({"name": "autoattack", "model": lambda p: network()(p)[:, :2], "labels": [0] * 8}, "needs 4 classes"),
    "stored": ({"images": held_out(8)[0] / 255, "stored": "uint8"}, "stored: uint8 needs uint8 images"),
    "bytes of 0 and 1": ({"images": (held_out(8)[0] > 99).byte()}, "none has a pixel above 1 of 255; .*images \\* 255"),
    "beyond by rounding": ({"images": held_out(8)[0] / 254.9}, r"1\.0003.*write images\.clip\(0, 1\)"),
    "below by rounding": ({"images": held_out(8)[0] / 255 - 1e-7}, r"-1e-07, .*write images\.clip\(0, 1\)"),
    "sparse": ({"images": (held_out(8)[0] / 255).to_sparse()}, r"write images\.to_dense\(\)"),
    "meta": ({"images": (held_out(8)[0] / 255).to("meta")}, "images: have no values"),
    "batch of none": ({"batch_size": 0}, "batch_size: 0 is no whole number; write one from 1 on"),
    "batch below none": ({"batch_size": -3}, "batch_size: -3 is no whole number"),
    "part of a batch": ({"batch_size": 2.5}, r"batch_size: 2\.5 is no whole number"),
    "seed": ({"seed": "a"}, "seed: 'a' is no whole number; write one from 0 on"),
    "flag": ({"seed": True}, "seed: True is no whole number"),
    "class": ({"model": nn.Flatten}, r"model: Flatten is a class; give a model that was made of it: Flatten\(\)"),
    "weights": ({"model": network().state_dict()}, "model: a OrderedDict cannot be called"),
    "script": ({"model": torch.jit.script(network())}, r"torch\.jit\.script.*lambda pixels: model\(pixels\)"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_refused_in_words(changes, message):
    images, labels = held_out(8)
    arguments = {"model": network(), "images": images, "labels": labels, "name": "pgd", "eps": 0.1} | changes
    with pytest.raises(squeezeproof.InputError, match=message):
        squeezeproof.attack(**arguments)


def test_an_attack_where_torch_is_set_otherwise_is_refused():
    with torch.inference_mode(), pytest.raises(squeezeproof.InputError, match="inference_mode is on"):
        squeezeproof.attack(network(), *held_out(8), "pgd", eps=0.1)
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(squeezeproof.InputError, match="default type is float64, float32 is needed"):
            squeezeproof.attack(network(), *held_out(8), "pgd", eps=0.1)
    finally:
        torch.set_default_dtype(torch.float32)


def test_numbers_of_other_libraries_are_numbers():
    images, labels = held_out(8)
    expected = squeezeproof.attack(network(), images, labels, "pgd", eps=0.25, steps=3).images
    for number in (np.float32, np.array, torch.tensor):
        given = {"eps": number(0.25), "steps": 3, "seed": np.int64(0)}
        found = squeezeproof.attack(network(), images, labels, "pgd", **given)
        assert "eps 0.25" in repr(found) and torch.equal(found.images, expected)


class Writing(nn.Module):
    """Takes a grey level away from the very tensor that it is given."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, pixels):
        return self.network(pixels.sub_(0.1))


def writes_by_numpy(pixels):
    pixels.numpy()[:] -= 0.1
    return network()(pixels).detach()


WRITING = {
    "module": Writing(),
    "function": lambda pixels: network()(pixels.sub_(0.1)),
    "black box": writes_by_numpy,
    "the same numbers": lambda pixels: network()(pixels.clamp_(0, 1) - 0.1),
}


@pytest.mark.parametrize("name", ["pgd", "square"])
@pytest.mark.parametrize("model", WRITING.values(), ids=WRITING)
def test_a_model_that_writes_into_its_pixels_is_attacked_as_one_that_does_not(model, name):
    if (model, name) == (writes_by_numpy, "pgd"):
        return
    images, labels = held_out(16)
    settings = {"pgd": {"steps": 3}, "square": {"queries": 9}}[name]
    pixels = images / 255
    kept = pixels.clone()
    found = squeezeproof.attack(model, pixels, labels, name, eps=0.1, **settings)
    plain = squeezeproof.attack(lambda points: network()(points - 0.1), images, labels, name, eps=0.1, **settings)
    assert torch.equal(found.images, plain.images) and torch.equal(found.predictions, plain.predictions)
    assert torch.equal(pixels, kept)


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
