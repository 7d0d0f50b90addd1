"""Models that draw random numbers in their passes: what is scored of them, and what the audit says."""

import pandas as pd
import pytest
import torch
from attack_fixtures import held_out, network, settings
from plan_examples import BASE, PRUNED, plan
from torch import nn

from squeezeproof.attacks.craft import craft
from squeezeproof.entries.expectation import expected_passes
from squeezeproof.evaluation.again import ask_again
from squeezeproof.models.random_passes import MeanOfPasses, as_scored, predict_expected
from squeezeproof.store.tensors import write_tensors


class Noisy(nn.Module):
    """The trained network behind noise."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, points):
        return self.network(points + 0.4 * torch.randn_like(points))


def test_of_a_random_model_the_mean_of_passes_is_scored_and_others_stay_as_they_are():
    images, _ = held_out(50)
    steady, noisy = network(), Noisy()
    assert as_scored(noisy, images, 1) is noisy and as_scored(steady, images, 10) is steady
    scored = as_scored(noisy, images, 10)
    assert isinstance(scored, MeanOfPasses) and scored.passes == 10


def test_labels_by_the_mean_of_passes_are_those_of_every_job_and_nearer_to_the_expectation():
    images, _ = held_out(300)
    state = torch.get_rng_state()
    once, mean = (predict_expected(Noisy(), images, 100, passes) for passes in (1, 32))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(predict_expected(Noisy(), images, 100, 32), mean)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        expected = torch.stack([Noisy()(images / 255) for _ in range(200)]).mean(0).argmax(1)
    assert (mean != expected).sum() < (once != expected).sum() / 3


@pytest.mark.parametrize("passes", [1, 5])
def test_a_set_tells_by_how_many_passes_it_was_scored(passes):
    images, labels = held_out(20)
    with torch.random.fork_rng(devices=[]):
        entry = settings("fgsm", eps=0.1, expectation=passes)
        noisy = craft(Noisy(), images, labels, entry, seed=0, batch_size=20)[1]
    steady = craft(network(), images, labels, entry, seed=0, batch_size=20)[1]
    assert noisy.get("random_passes") == (passes if passes > 1 else None) and "random_passes" not in steady


def test_a_random_model_is_not_asked_again_for_labels_that_chance_decides(tmp_path):
    images, labels = held_out(40)
    write_tensors(tmp_path / "test", {"images": images.numpy(), "labels": labels.numpy()}, {"kind": "dataset"})
    told = {
        (name, passes): ask_again(model, tmp_path / "test", [], {"clean": labels}, 20, passes)
        for name, model in (("noisy", Noisy().eval()), ("steady", network().eval()))
        for passes in (1, 8)
    }
    assert told["noisy", 8] == {} and told["noisy", 1]["clean"]["asked"] == 32
    assert told["steady", 8] == told["steady", 1] and told["steady", 8]["clean"]["asked"] == 32


def test_passes_are_expected_where_every_attack_sees_several():
    once, several, more = (settings("fgsm", expectation=passes) for passes in (1, 4, 9))
    assert [expected_passes(each) for each in ([several, more], [several, once], [once], [])] == [9, 1, 1, 1]
    stages = [{**several, "method": "fgsm"}, {**more, "method": "pgd"}]
    assert expected_passes([{**settings("suite"), "stages": stages}]) == 9


def test_a_model_is_scored_by_as_many_passes_as_its_own_attacks_see():
    attacks = {"fgsm": {"eps": 0.1, "expectation": 6}, "pgd": {"eps": 0.1, "expectation": 8}, "square": {"eps": 0.1}}
    of_base = {"of-base": {"sources": BASE, "attacks": ["fgsm-*", "pgd-*"]}}
    own = {"own": {"sources": PRUNED[0], "targets": PRUNED[0]}}
    study = plan([("attacks", attacks), ("evaluations", {**of_base, **own})])
    expected = {BASE: 8, PRUNED[0]: 1, PRUNED[1]: 8}
    assert {name: study.expectations["digits", name] for name in expected} == expected


NETWORK = """
import torch
from torch import nn


class Noisy(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, points):
        if self.training:
            return self.network(points)
        return self.network(points + 0.3 * torch.randn_like(points))


def noisy(in_channels, num_classes, image_size):
    return Noisy(nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes)))
"""


@pytest.mark.slow
def test_a_study_of_a_random_model_has_its_rows_and_says_that_chance_decides(fresh):
    (fresh.path / "networks_of_mine.py").write_text(NETWORK)
    fresh.config |= {
        "architectures": {"mine": {"kind": "custom", "factory": "networks_of_mine:noisy", "normalization": "none"}},
        "finetunings": {},
        "compressions": {"weight": {"ratio": 0.3}},
        "variants": [{"finetunings": ["none"]}],
        "attacks": {name: {"eps": 0.05, "expectation": 10} for name in ("fgsm", "pgd")},
        "evaluations": {"all": {}},
    }
    fresh.run("write_tables", "check_audit")
    audit = pd.read_csv(fresh.results / "tables/audit.csv", keep_default_na=False)
    assert not audit["verdict"].eq("failure").any(), audit[audit["verdict"] == "failure"].to_string()
    (told,) = set(audit.loc[audit["check"] == 6, "message"])
    assert "the mean logits of 10 passes" in told
    rows = pd.read_csv(fresh.results / "tables/robust_accuracy.csv")
    assert len(rows) == 4 and rows["warnings"].astype(str).str.contains("6").all()
