"""A set made again: rounding is no other image, and what cannot be made again says so."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network, settings
from torch import nn

from squeezeproof.attacks.craft import craft
from squeezeproof.audit.again import audit_again
from squeezeproof.audit.fresh import audit_fresh
from squeezeproof.audit.losses import Told, as_told, judge_losses
from squeezeproof.models.foreign import Foreign
from squeezeproof.store.adversarial import save_set

KEY = ("digits", "base", "*", "a")


def audited(folder, model, entry, *, made_by=None, seed=3, told=3):
    """The findings of checks 32 and 42 on a set of 40 images that another model may have made."""
    images, labels = held_out(40)
    training = held_out(60) if entry["method"] == "uap" else None
    options = {"seed": seed, "batch_size": 40, "training": training}
    tensors, metadata = craft(made_by or model, images, labels, entry, **options)
    split = {"fingerprint": "", "classes": list("0123456789")}
    save_set(folder / "a", tensors, entry, {**metadata, "attack": "a"}, {"fingerprint": ""}, split)
    names = {"batch_size": 40, "dataset": "digits", "source": "base"}
    return audit_again(model, images, labels, {"a": folder / "a"}, {"a": told}, **names)


def verdicts(*given, **options):
    return [finding.verdict for finding in audited(*given, **options)]


@pytest.mark.parametrize("method", ["pgd", "square", "deepfool", "rays"])
def test_a_set_made_again_is_the_same_and_another_seed_is_told(method, tmp_path):
    entry = settings(method)
    assert verdicts(tmp_path, network(), entry) == ["pass", "pass"]
    if method in ("pgd", "square"):
        assert verdicts(tmp_path, network(), entry, seed=4) == ["warning", "not applicable"]


def test_what_learns_from_other_images_is_not_made_again(tmp_path):
    for found in audited(tmp_path, network(), settings("uap")):
        assert found.verdict == "not applicable" and "learns from other images" in found.message


class File(Foreign):
    """A network as if it were in a file of another program."""

    def __init__(self):
        nn.Module.__init__(self)
        self.network = network()

    def forward(self, pixels):
        return self.network(pixels)


def test_what_a_file_of_another_program_rounds_is_not_known(tmp_path):
    for found in audited(tmp_path, File(), settings("square", queries=5), seed=4):
        assert found.verdict == "not applicable" and "another program" in found.message


class Even(nn.Module):
    """Two logits of which no more than rounding tells one from the other, on top of three that differ."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 64))

    def forward(self, pixels):
        even = pixels.flatten(1) @ self.weight.T
        return torch.cat([even, even[:, :1].expand(-1, 8) * 0], dim=1)


def test_what_rounding_decides_is_no_other_image(tmp_path):
    model = Even().eval()
    with torch.no_grad():
        model.weight *= 1 + 1e-7 * torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    near = deepcopy(model)
    with torch.no_grad():
        near.weight *= 1 + 1e-7 * torch.randn(2, 64, generator=torch.Generator().manual_seed(1))
    entry = settings("fgsm", eps=0.1)
    (images, labels), told = held_out(40), {"seed": 3, "batch_size": 40}
    labels = torch.zeros_like(labels)
    points = [craft(each, images, labels, entry, **told)[0]["adversarial"] for each in (model, near)]
    assert (points[0] - points[1]).abs().flatten(1).amax(1).gt(0.1).double().mean() > 0.5
    assert verdicts(tmp_path, model, entry, made_by=near) == ["pass", "pass"]


@pytest.mark.parametrize(("kind", "verdict"), [(torch.float32, "pass"), (torch.float16, "warning")])
@pytest.mark.parametrize("method", ["pgd", "deepfool", "square"])
def test_margins_that_were_recorded_in_half_precision_are_told(kind, verdict, method, tmp_path):
    model = network()
    other = deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(parameter.to(kind).float())
    assert verdicts(tmp_path, model, settings(method), made_by=other) == ["pass", verdict]


def losses(short, count=100):
    """Losses at a set, at a fresh attack and at clean images, where the set falls `short` [n] of the attack's rise."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(count)
    return [2.0 - short * 1.5 + noise, np.full(count, 2.0), np.full(count, 0.5)]


@pytest.mark.parametrize(
    ("short", "value", "where"),
    [
        (np.zeros(100), 0, ""),
        (np.full(100, -0.2), 0, ""),
        (np.full(100, 0.03), 3, "the sample, 100 of 100 images,"),
        (np.where(np.arange(100) >= 75, 0.5, 0.0), 12.5, "the sample"),
        (np.where(np.arange(100) % 10 == 3, np.linspace(0.2, 1.2, 100), 0.0), 2.74, "class 3, 10 of 100"),
    ],
)
def test_what_a_set_falls_short_of_a_fresh_attack(short, value, where):
    labels = np.arange(100) % 10
    found = judge_losses(KEY, "linf", losses(short), labels, labels, "make it again")
    assert found.value == pytest.approx(value, rel=0.1)
    assert where in found.message and (found.verdict == "pass") == (found.value <= 1)


def test_a_fresh_attack_is_no_stronger_than_the_settings_ask():
    told = as_told(settings("pgd", eps=0.1, steps=100, alpha=0.002, restarts=7))
    assert told == Told(20, 0.002, True, 3)
    assert as_told(settings("fgsm", eps=0.1)) == Told(1, 0.1, False)
    weaker = [{"stop_on_success": True}, {"stored": "uint8"}, {"loss": "margin"}, {"gradient": "smoothed"}]
    assert [as_told(settings("pgd", **changes)) for changes in weaker] == [None] * 4
    assert as_told(settings("apgd")) is None and as_told(settings("mifgsm")) is None


class Codes(nn.Module):
    """Looks grey levels up, in a table that takes a gradient."""

    def __init__(self, detached):
        super().__init__()
        self.codes, self.fc, self.detached = nn.Embedding(17, 4), nn.Linear(256, 10), detached

    def forward(self, pixels):
        logits = self.fc(self.codes((16 * pixels).long().flatten(1)).flatten(1))
        return logits.detach() if self.detached else logits


@pytest.mark.parametrize("detached", [False, True])
def test_a_source_without_gradients_is_probed(tmp_path, detached):
    """It ended the study, after all of its attacks by queries had been made."""
    torch.manual_seed(0)
    (images, labels), model = held_out(24), Codes(detached)
    entry = settings("square", queries=9)
    tensors, metadata = craft(model, images, labels, entry, seed=0, batch_size=None)
    split = {"fingerprint": "", "classes": list("0123456789")}
    save_set(tmp_path / "a", tensors, entry, {**metadata, "attack": "a"}, {"fingerprint": ""}, split)
    options = {"seed": 0, "batch_size": 25, "dataset": "d", "source": "base"}
    for sets in ({}, {"a": tmp_path / "a"}):
        assert audit_fresh(model, images, labels, np.arange(24), sets, **options) == []
