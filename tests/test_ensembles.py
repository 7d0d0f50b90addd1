"""Ensembles: the average of probabilities, its checkpoint, what a study declares; attacks see through it."""

import math

import pytest
import torch
from attack_fixtures import close_examples, network, pixels, run
from entry_examples import complete
from model_examples import assert_same_tensors, model_of, pixels_of, shape_of, spec_of
from study_examples import changed
from torch import nn

from squeezeproof.analysis.names import MODEL, model_in_words
from squeezeproof.attacks.objective import LOSSES
from squeezeproof.attacks.source import prepared
from squeezeproof.compression.quantization import quantize
from squeezeproof.errors import InputError
from squeezeproof.figures.heatmap import model_label
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.ensemble import averaged, join
from squeezeproof.models.measure import measure
from squeezeproof.runtime import place
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

STUDY = """
study: small
seeds: [0, 1]
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 4}, pgd: {epochs: 4, adversary: {method: pgd, eps: 0.1}}}
finetunings: {short: {epochs: 1}}
compressions: {weight: {ratio: 0.9}}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
ensembles: {both: {members: [cnn3.standard.none.none, cnn3.pgd.none.none]}}
"""
BOTH = "both.ensemble.none.none.s0"


class Fixed(nn.Module):
    """Logits that do not depend on the image."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, points):
        return self.logits.expand(len(points), -1)


# The average


def test_the_output_is_the_logarithm_of_the_mean_probability():
    members = [
        Fixed([math.log(0.7), math.log(0.2), math.log(0.1)]),
        Fixed([2 + math.log(0.1)] * 2 + [2 + math.log(0.8)]),
    ]
    expected = torch.tensor([0.4, 0.15, 0.45])
    logits = averaged(members)(torch.zeros(2, 1, 4, 4))
    torch.testing.assert_close(logits, expected.log().expand(2, 3))
    torch.testing.assert_close(logits.softmax(1), expected.expand(2, 3))


def test_probabilities_are_averaged_and_not_logits():
    # One member is certain of class 0 and the other two lean to class 1: logits would average to class 0.
    members = [Fixed([30.0, 0.0]), Fixed([0.0, 2.0]), Fixed([0.0, 2.0])]
    logits = averaged(members)(torch.zeros(1, 1, 2, 2))
    assert logits.argmax(1).item() == 1
    assert torch.stack([member.logits for member in members]).mean(0).argmax() == 0


def test_members_certain_of_one_class_give_finite_logits_and_gradients():
    members = [nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2)]
    for scale, member in zip((400, 300), members, strict=True):
        member[1].weight.data = scale * torch.tensor([[1.0] * 4, [-1.0] * 4, [0.0] * 4])
    points = torch.full((1, 1, 2, 2), 0.6, requires_grad=True)
    for name, loss in LOSSES.items():
        # Of the others one needs three classes that are apart, one is rounded away, as its name says.
        if name in ("cross_entropy", "margin"):
            (gradient,) = torch.autograd.grad(loss(averaged(members)(points), torch.tensor([0])).sum(), points)
            assert torch.isfinite(gradient).all() and gradient.abs().min() > 0


@pytest.mark.parametrize("method", ["fgsm", "pgd", "apgd", "deepfool", "cw", "square"])
def test_an_attack_on_twins_is_the_attack_on_one_of_them(method):
    inputs, labels = pixels(20)
    alone = run(method, network(), inputs, labels)
    together = run(method, averaged([network(), network()]).eval(), inputs, labels)
    assert close_examples(alone, together, 1e-4) >= 0.95


def test_the_gradient_reaches_every_member():
    inputs, labels = pixels(4)
    model = averaged([network(), network()])
    loss = LOSSES["cross_entropy"](model(inputs), labels).sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


# Checkpoints


def members_of(*specs):
    return [model_of(spec, seed) for seed, spec in enumerate(specs)]


def joined(models, specs, masks=None):
    """(model, specification, masks) as the rule build_ensemble joins checkpoints."""
    metadata = [{"specification": spec} for spec in specs]
    return averaged(models), *join(list(zip(masks or [{}] * len(models), metadata, strict=True)))


def test_a_checkpoint_of_different_members_is_bit_equal_after_loading(tmp_path):
    specs = [spec_of("cnn8", width=4), spec_of("resnet18", width=8)]
    models = members_of(*specs)
    mask = torch.rand(models[0].network.conv1.weight.shape) > 0.5
    model, spec, masks = joined(models, specs, [{"network.conv1.weight": mask}, {}])
    save_model(tmp_path / "m", model, spec, masks, name=BOTH)
    loaded, kept, metadata = load_model(tmp_path / "m")
    place(model, "cpu")
    assert_same_tensors(loaded.state_dict(), model.state_dict())
    assert torch.equal(kept["network.members.0.network.conv1.weight"], mask)
    images = pixels_of(specs[0])
    assert torch.equal(loaded(images), model.eval()(images))
    assert metadata["specification"]["num_classes"] == 10


def test_a_quantized_member_stays_quantized(tmp_path):
    spec = spec_of("cnn8", width=4)
    models = members_of(spec, spec)
    settings = complete("compressions", "quantization", bits=4)
    quantize(models[1], shape_of(spec), settings, (pixels_of(spec, 8) * 255).to(torch.uint8), 0)
    model, joint, masks = joined(models, [spec, spec])
    save_model(tmp_path / "m", model, joint, masks)
    loaded, _, metadata = load_model(tmp_path / "m")
    images = pixels_of(spec)
    assert metadata["quantization"] and torch.equal(loaded(images), model.eval()(images))


def test_its_size_is_that_of_its_members():
    specs = [spec_of("cnn8", width=4), spec_of("cnn8", width=6)]
    models = members_of(*specs)
    model, _, _ = joined(models, specs)
    sizes = [measure(member, {}, shape_of(specs[0])) for member in models]
    for key, value in measure(model, {}, shape_of(specs[0])).items():
        assert value == sum(size[key] for size in sizes), key


def test_passes_of_attacks_compute_the_same_logits():
    specs = [spec_of("resnet18", width=8), spec_of("cnn8", width=4)]
    model, spec, _ = joined(members_of(*specs), specs)
    images = pixels_of(specs[0])
    with prepared(model, images) as folded, torch.no_grad():
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-4)
    assert build(spec, 0).network.members[1](images).shape == (3, 10)


def test_members_that_do_not_fit_each_other_are_refused():
    specs = [spec_of("cnn8", width=4), spec_of("cnn8", width=4, classes=4)]
    with pytest.raises(InputError, match="tell classes apart alike"):
        joined(members_of(*specs), specs)


# The plan


def plan(**changes):
    return Study(changed(STUDY, changes))


def problems_of(changes):
    with pytest.raises(ConfigError) as caught:
        Study(changed(STUDY, changes))
    return caught.value.problems


def test_a_study_has_one_ensemble_per_seed():
    study = plan()
    assert study.ensembles["digits", BOTH] == ["cnn3.standard.none.none.s0", "cnn3.pgd.none.none.s0"]
    assert {name for _, name in study.ensembles} == {BOTH, BOTH.replace("s0", "s1")}
    model = study.model("digits", BOTH)
    assert model.is_ensemble and model.base == model and model.name == BOTH


def test_an_ensemble_is_neither_base_nor_compressed():
    study = plan(**{"evaluations.all": {"sources": ["base", "compressed"], "targets": "compressed"}})
    assert not any("ensemble" in name for key in study.pairs for name in key[1:])


def test_an_ensemble_is_a_source_and_a_target():
    study = plan(**{"evaluations.all": {"sources": ["both.*", "cnn3.pgd.none*"], "targets": "both.*"}})
    assert {(target, source) for _, target, source in study.pairs} >= {(BOTH, BOTH), (BOTH, "cnn3.pgd.none.none.s0")}
    assert study.sets["digits", BOTH] == ["fgsm-eps0.1"]
    described = study.describe("digits", BOTH)
    assert (described["base"], described["compression"], described["ratio"]) == (BOTH, "none", 0)


def test_members_are_built_and_described_where_the_ensemble_alone_is_evaluated():
    members = ["cnn3.standard.none.none", "cnn3.pgd.weight-90.short"]
    changes = {"ensembles.both.members": members, "evaluations.all": {"sources": "both.*", "targets": "both.*"}}
    names = {name for _, name in plan(**changes).evaluated_models if name.endswith("s0")}
    assert names == {BOTH, *(f"{member}.s0" for member in members), "cnn3.pgd.none.none.s0"}


def test_figures_call_it_by_its_name():
    described = plan().describe("digits", BOTH)
    row = {f"target_{axis}": described[axis] for axis in MODEL}
    assert model_label(row, "target", set()) == "both ensemble" and model_label(row, "target", {"both", "ensemble"})
    assert model_in_words(*(described[axis] for axis in MODEL)) == "both, ensemble"


def test_patterns_choose_members():
    study = plan(**{"ensembles.both.members": ["cnn3.*.weight-90.short"]})
    assert len(study.ensembles["digits", BOTH]) == 2


def test_an_ensemble_is_built_where_all_its_members_are():
    changes = {
        "datasets.other": {"kind": "digits", "test": 100},
        "variants": [{"datasets": ["other"]}],
        "ensembles.both.members": ["cnn3.standard.none.none", "cnn3.standard.weight-90.short"],
    }
    assert {dataset for dataset, _ in plan(**changes).ensembles} == {"other"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ensembles.both.members": ["cnn3.pdg.none.none"]}, "did you mean cnn3.pgd.none.none"),
        ({"ensembles.both.members": ["cnn3.pgd.none.none"]}, "name at least two models"),
        ({"ensembles.cnn3": {"members": ["cnn3.*.none.none"]}}, "ensembles.cnn3: architectures.cnn3 has that name"),
        ({"trainings.ensemble": {"epochs": 1}}, "trainings.ensemble: the name is taken"),
        ({"ensembles.both.weights": [1, 2]}, "ensembles.both.weights: unknown"),
        ({"ensembles.both": {}}, "ensembles.both.members: missing"),
    ],
)
def test_what_no_ensemble_can_be_is_told(changes, told):
    assert any(told in problem for problem in problems_of(changes)), problems_of(changes)


def test_a_training_of_a_name_that_is_taken_is_told_once():
    told = problems_of({"trainings.ensemble": {"epochs": 1}})
    assert len([problem for problem in told if "trainings.ensemble" in problem]) == 1, told


def test_members_that_are_nowhere_together_are_told():
    changes = {
        "datasets.other": {"kind": "digits", "test": 100},
        "compressions.filter": {"ratio": 0.5},
        "variants": [
            {"datasets": ["other"], "compressions": ["weight*"]},
            {"datasets": ["digits"], "compressions": ["filter*"]},
        ],
        "ensembles.both.members": ["cnn3.standard.weight-90.short", "cnn3.standard.filter-50.short"],
    }
    assert any("on no data set together" in problem for problem in problems_of(changes))
