"""The fresh attack of the audit costs less than a tenth of the passes of crafting, whatever the attack."""

import pytest
import torch
from attack_fixtures import digits, network, settings
from torch import nn

from squeezeproof.attacks.craft import craft
from squeezeproof.audit.fresh import FEWEST, audit_fresh, sample
from squeezeproof.store.adversarial import save_set

IMAGES, WANTED = 500, 200
PASSES = {"forward": 0, "backward": 0}


class Counted(nn.Linear):
    """The last layer of a network, which counts the images of its passes, also in copies and after a fusion."""

    def forward(self, points):
        PASSES["forward"] += len(points)
        found = super().forward(points)
        if found.requires_grad:
            found.register_hook(self.count)
        return found

    @staticmethod
    def count(gradient):
        PASSES["backward"] += len(gradient)


def counted():
    model = network()
    last = Counted(model[-1].in_features, model[-1].out_features)
    last.load_state_dict(model[-1].state_dict())
    model[-1] = last.eval()
    return model.requires_grad_(False)


def passes(work):
    """What some work returns, and how many images it passed in either direction."""
    PASSES.update(forward=0, backward=0)
    return work(), sum(PASSES.values())


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("fgsm", {}), ("bim", {}), ("pgd", {"steps": 10}), ("pgd", {"steps": 10, "random_start": False}),
        ("pgd", {"steps": 5, "restarts": 3}), ("pgd", {"steps": 10, "alpha": 0.01, "norm": "l2", "eps": 0.5}),
        ("apgd", {}),
    ],
)  # fmt: skip
def test_the_fresh_attack_costs_less_than_a_tenth_of_crafting(method, changes, tmp_path):
    images, labels = (tensor[-IMAGES:] for tensor in digits())
    model, entry = counted(), settings(method, **{"eps": 0.1, **changes})
    found, crafting = passes(lambda: craft(model, images, labels, entry, seed=0, batch_size=100))
    split = {"fingerprint": "", "classes": list("0123456789")}
    save_set(tmp_path / "a", found[0], entry, {**found[1], "attack": "a"}, {"fingerprint": ""}, split)
    rows = sample(WANTED, IMAGES)
    cell = {"seed": 1, "batch_size": 100, "dataset": "digits", "source": "base"}
    _, fresh = passes(lambda: audit_fresh(model, images[rows], labels[rows], rows, {"a": tmp_path / "a"}, **cell))
    assert len(rows) >= FEWEST and 0 < fresh <= 0.1 * crafting


def test_more_images_than_are_wanted_are_not_attacked():
    assert [len(sample(WANTED, count)) for count in (10, 100, 500, 1000, 10_000)] == [10, 40, 40, 80, 200]
    assert torch.tensor(sample(WANTED, 1000)).unique().numel() == 80
