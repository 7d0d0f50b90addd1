"""What is said of a targeted attack: its audit, its success rates, and its place in the plan."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network, settings
from targeted_examples import three
from torchvision.datasets import MNIST, FashionMNIST

from squeezeproof.analysis.targeted import targeted_table
from squeezeproof.audit.cells import Split, audit_predictions
from squeezeproof.audit.fresh import audit_fresh
from squeezeproof.audit.models import Models
from squeezeproof.audit.sets import Origin, audit_set
from squeezeproof.datasets.digits import load_digits
from squeezeproof.entries import registry
from squeezeproof.evaluation.scoring import score
from squeezeproof.pages.targeted import targeted_sentences
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.datasets import to_pixels
from squeezeproof.store.predictions import NOT_SCORED, read_predictions, read_targeted, save_predictions
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.figures import figures
from squeezeproof.study.plan import Study
from squeezeproof.study.tables import design, story_tables, table_names

# --- Sets, predictions, the audit, tables ----------------------------------------------------------------------------

SPLIT = {"fingerprint": "f", "classes": [str(label) for label in range(10)]}
FACTS = {"attack": "aim-eps0.2", "entry": "aim", "dataset": "d", "source": "base", "device": "cpu"}


def saved_set(path, tensors, told, entry, labels, images):
    """The file of a set, the Origin that it claims and its split."""
    origin = Origin(images.numpy(), labels.numpy(), "of the model")
    split = {**SPLIT, "fingerprint": origin.split_fingerprint}
    save_set(path, tensors, entry, {**told, **FACTS}, source={"fingerprint": "of the model"}, split=split)
    return origin, split


def spoilt(change, tmp_path):
    """Check -> message of the failures of the set of `three` after a change of its tensors and its settings."""
    images, labels, tensors, told = three()
    tensors, entry = {name: tensor.clone() for name, tensor in tensors.items()}, settings("pgd", eps=0.2, targeted="3")
    change(tensors, entry)
    path = tmp_path / "set.safetensors"
    origin, _ = saved_set(path, tensors, told, entry, labels, images)
    found = audit_set(path, "d", "base", FACTS["attack"], origin, tensors["predictions"].numpy())
    return {finding.check: finding.message for finding in found if finding.verdict == "failure"}


def untouched(tensors, entry):
    pass


def one_target_is_never_reached(tensors, entry):
    row = (tensors["predictions"] == 3).nonzero()[0]
    tensors["predictions"][row] = 4


def one_is_to_reach_its_own_label(tensors, entry):
    entry["targeted"] = "random"


def one_clean_image_is_returned(tensors, entry):
    images, labels = held_out(60)
    row = ((tensors["clean_predictions"] == labels) & (labels != 3)).nonzero()[0]
    tensors["adversarial"][row] = images[row] / 255


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (untouched, None, None),
        (one_target_is_never_reached, 5, "left"),
        (one_is_to_reach_its_own_label, 1, "images were to reach their own class"),
        (one_clean_image_is_returned, 3, "are unperturbed"),
    ],
)
def test_the_audit_knows_what_a_target_is(change, check, said, tmp_path):
    found = spoilt(change, tmp_path)
    assert set(found) == ({check} if check else set())
    assert check is None or said in found[check]


def test_the_audit_tells_of_an_attack_that_leads_away_from_its_target(tmp_path):
    images, labels, tensors, told = three()
    entry = settings("pgd", eps=0.2, targeted="3")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    # What reaches its class before the attack does so no more.
    others = (labels != 3).nonzero().squeeze(1)
    tensors["clean_predictions"][others], tensors["predictions"][others] = 3, 5
    told = {**told, "stages": [{**told["stages"][0], "standing": len(others)}]}
    origin, _ = saved_set(tmp_path / "set.safetensors", tensors, told, entry, labels, images)
    found = {finding.check: finding for finding in audit_set(tmp_path / "set.safetensors", "d", "base", "aim", origin)}
    assert found[5].verdict == "failure" and "not as the classes to reach" in found[5].message


@pytest.mark.parametrize(("spoil", "verdict"), [(False, "pass"), (True, "failure")])
def test_a_fresh_attack_has_the_same_targets(spoil, verdict, tmp_path):
    images, labels, tensors, told = three()
    clean = {"adversarial": images / 255, "predictions": tensors["clean_predictions"]} if spoil else {}
    path, entry = tmp_path / "set.safetensors", settings("pgd", eps=0.2, targeted="3")
    saved_set(path, {**tensors, **clean}, told, entry, labels, images)
    options = {"seed": 0, "batch_size": 25, "dataset": "d", "source": "base"}
    found = audit_fresh(network(), images[:50], labels[:50], np.arange(50), {"aim": path}, **options)
    finding = next(finding for finding in found if finding.check == 24)
    assert finding.verdict == verdict
    assert not spoil or "without their class" in finding.message


def test_what_is_scored_on_a_targeted_set_is_read_apart(monkeypatch, tmp_path):
    (images, labels, tensors, told), made = three(), tmp_path / "set.safetensors"
    _, split = saved_set(made, tensors, told, settings("pgd", targeted="3"), labels, images)
    monkeypatch.setattr("squeezeproof.evaluation.scoring.open_split", lambda test: (images, labels, split))
    found = score(lambda pixels: network()(to_pixels(pixels[:], "cpu")).argmax(1), None, [made])
    labels, predictions, attacks, split, targets, scored = found
    assert (predictions["aim-eps0.2"] == NOT_SCORED).equal(labels == 3)
    names = SimpleNamespace(dataset="d", target="base", source="base")
    path = tmp_path / "predictions.safetensors"
    save_predictions(path, labels, predictions, names, attacks, {"fingerprint": "m"}, split, targets, scored)
    _, robust, metadata = read_predictions(path)
    assert list(robust) == ["clean"] and metadata["attacks"] == {} and metadata["scored"] == scored
    _, clean, (apart,), _ = read_targeted(path)
    assert apart == "aim-eps0.2"
    kept = read_targeted(path)[2][apart]
    assert kept.settings["targeted"] == "3" and (kept.targets == 3).all()
    assert kept.reached.sum() == int((tensors["predictions"] == 3)[labels != 3].sum())
    assert np.array_equal(clean, tensors["clean_predictions"].numpy())


def scored_on(path, target, source, reached, clean=(0, 1, 2, 3)):
    """Predictions of a model on four images that are to reach class 3, the last of which is one."""
    names = SimpleNamespace(dataset="d", target=target, source=source)
    predicted = torch.tensor([3 if row < reached else 4 for row in range(3)] + [NOT_SCORED])
    entry = {**settings("pgd", eps=0.2, targeted="3"), "entry": "aim"}
    predictions = {"clean": torch.tensor(clean), "aim-eps0.2": predicted}
    targets = {"aim-eps0.2": torch.full((4,), 3)}
    labels, attacks = torch.arange(4), {"aim-eps0.2": entry}
    save_predictions(path, labels, predictions, names, attacks, {"fingerprint": target}, SPLIT, targets)
    return path


def description(name, base):
    return {"dataset": "d", "name": name, "base": base}


def test_the_table_has_success_rates_and_those_of_the_base(tmp_path):
    paths = [
        scored_on(tmp_path / "a.safetensors", "base", "base", 1),
        scored_on(tmp_path / "b.safetensors", "small", "small", 3, clean=(0, 3, 2, 3)),
        scored_on(tmp_path / "c.safetensors", "small", "base", 2),
    ]
    models = [description("base", "base"), description("small", "base")]
    table = targeted_table(paths, models).set_index(["source", "target"])
    own, other = table.loc[("small", "small")], table.loc[("base", "small")]
    assert (own["n"], own["reached"], own["success_rate"], own["base_rate"]) == (3, 3, 1, pytest.approx(1 / 3))
    assert own["clean_rate"] == pytest.approx(1 / 3) and own["targeted"] == "3"
    assert (other["threat"], other["success_rate"]) == ("transfer", pytest.approx(2 / 3))
    assert np.isnan(table.loc[("base", "base"), "base_rate"])
    assert not {"accuracy", "correct"} & set(table.columns)
    told = targeted_sentences(table.reset_index())
    assert told[0].startswith("small (d) under aim, eps 0.2, targeted (3): 100.0 % of 3 images reach their class")
    assert told[0].endswith(" (its base: 33.3 %), 33.3 % before the attack.") and len(told) == 2
    assert not any(word in text for text in told for word in ("robust", "accura"))


def test_cells_of_targeted_attacks_are_complete_or_told(tmp_path):
    split = Split(np.arange(4), "f")
    path = scored_on(tmp_path / "a.safetensors", "base", "base", 1)
    cells, findings = audit_predictions(path, {"d": split}, {("d", "base"): "base"}, Models())
    assert cells == [] and {finding.verdict for finding in findings if finding.attack == "aim-eps0.2"} == {"pass"}
    labels = torch.arange(4)
    names = SimpleNamespace(dataset="d", target="base", source="base")
    entry = {**settings("pgd", eps=0.2, targeted="3"), "entry": "aim"}
    predictions = {"clean": labels, "aim": torch.tensor([3, NOT_SCORED, 4, NOT_SCORED])}
    targets = {"aim": torch.full((4,), 3)}
    save_predictions(path, labels, predictions, names, {"aim": entry}, {"fingerprint": "base"}, SPLIT, targets)
    _, findings = audit_predictions(path, {"d": split}, {("d", "base"): "base"}, Models())
    (finding,) = [found for found in findings if found.check == 2]
    assert finding.verdict == "failure" and "1 predictions are missing (examples 1)" in finding.message


# --- Plans -----------------------------------------------------------------------------------------------------------

PGD = {"method": "pgd", "eps": 0.1}
AIM = {**PGD, "targeted": "next"}


def planned(attacks, **sections):
    """The plan of a small study on digits."""
    config = {"study": "s", "question": "?", "datasets": {"digits": {"kind": "digits"}}, "architectures": {"cnn3": {}}}
    config |= {"trainings": {"standard": {"epochs": 1}}, "evaluations": {"own": {"where": ["white-box"]}}}
    config["attacks"] = attacks
    return Study({**config, **sections})


def test_a_targeted_attack_has_a_table_of_its_own_and_no_matrix():
    plan = planned({"pgd": {**PGD, "eps": [0.1, 0.2]}, "aim": {**PGD, "targeted": 3}})
    assert "targeted" in table_names(plan) and "targeted" in story_tables(plan)
    matrices = [names["attack"] for names in figures()["heatmap"].each(plan)]
    assert matrices == ["pgd-eps0.1", "pgd-eps0.2"]
    assert "aim-eps0.1 (targeted: 3)" in design(plan)["numbers"]["Attacks"]
    assert "targeted" not in table_names(planned({"pgd": PGD}))
    # The audit probes the first PGD that leads away from the label.
    assert planned({"aim": {**PGD, "steps": 3, "targeted": "next"}, "pgd": PGD}).probed_attack["steps"] == 10


@pytest.mark.parametrize(
    ("attacks", "sections", "said"),
    [
        ({"aim": {**PGD, "targeted": "cat"}}, {}, "attacks.aim.targeted: 'cat' is no class of datasets.digits"),
        ({"pgd": {**PGD, "targeted": "next"}}, {}, "attacks: every one is targeted"),
        ({"aim": AIM}, {"select": {"attack": "aim-eps0.1"}}, "select.attack: aim-eps0.1 is targeted"),
        ({"aim": AIM}, {"sweeps": {"s": {"attack": "aim"}}}, "sweeps.s.attack: aim is targeted"),
        ({"deepfool": {"targeted": "next"}}, {}, "attacks.deepfool.targeted: deepfool takes no target"),
    ],
)
def test_what_does_not_go_with_a_target_is_refused_before_anything_runs(attacks, sections, said):
    with pytest.raises(ConfigError, match=said):
        planned({"pgd": PGD, **attacks}, **sections)


def test_class_names_are_known_where_no_file_is_read():
    known = registry.datasets()
    assert list(known["mnist"].known_names) == MNIST.classes
    assert list(known["fashion_mnist"].known_names) == FashionMNIST.classes
    assert list(known["digits"].known_names) == load_digits({"size": 8})[2]
    for name, kind in known.items():
        assert not kind.known_names or len(kind.known_names) == kind.known_classes, name


def test_the_classes_of_a_folder_are_its_folders(tmp_path):
    for name in ("cow", "cat", ".hidden"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "1.png").touch()
    kind = registry.datasets()["image_folder"]
    assert kind(root=str(tmp_path), size=8).class_names() == ["cat", "cow"]
    assert kind(root=str(tmp_path / "none"), size=8).class_names() == []
