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


@pytest.mark.parametrize(
    "rows",
    [
        lambda logits: list(logits),
        lambda logits: logits.tolist(),
        lambda logits: tuple(map(tuple, logits.tolist())),
        lambda logits: list(logits.detach().numpy()),
    ],
    ids=["tensors", "lists", "tuples", "arrays"],
)
def test_a_function_may_return_rows(rows):
    images, labels = held_out(8)
    plain = squeezeproof.attack(network(), images, labels, "noise", eps=0.1)
    found = squeezeproof.attack(lambda pixels: rows(network()(pixels)), images, labels, "noise", eps=0.1)
    assert torch.equal(found.images, plain.images) and torch.equal(found.predictions, plain.predictions)


def test_a_model_is_left_as_it_was():
    images, labels = held_out(20)
    model = network().train()
    squeezeproof.attack(model, images, labels, "fgsm", eps=0.1)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


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
