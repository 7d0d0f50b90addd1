"""Every check of the audit on stored files: a sound study passes, and each sabotage is caught by its check."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attack_fixtures import settings

from squeezeproof.audit.cells import Cell, Split, below_clean
from squeezeproof.audit.comparisons import falling_with_eps
from squeezeproof.audit.findings import (
    EVERY,
    FAILURE,
    MODEL_BROKEN,
    WARNING,
    Audit,
    Finding,
    read_audit,
    read_findings,
    write_findings,
)
from squeezeproof.audit.models import Models
from squeezeproof.audit.sets import Origin, audit_set, reproduced
from squeezeproof.audit.study import audit_study, check, with_results
from squeezeproof.entries.attack import SHARED
from squeezeproof.errors import InputError
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.predictions import NOT_SCORED, save_predictions
from squeezeproof.store.tensors import fingerprint

N, CLASSES = 40, 4
LABELS = np.arange(N) % CLASSES
IMAGES = np.random.default_rng(0).integers(60, 190, (N, 1, 4, 4), dtype=np.uint8)
METADATA = {"fingerprint": fingerprint(IMAGES, LABELS), "classes": list("abcd")}
CLEAN = 38


def stage(method):
    """An attack as a stage of a suite: without what the suite has for all."""
    return {key: value for key, value in settings(method).items() if key not in SHARED}


SUITE = {"method": "suite", "eps": 0.1, "norm": "linf", "stop_on_success": True, "stored": "float32"}
ATTACKS = {  # attack -> (settings, correct on its own source, correct on the other model)
    "noise-eps0.1": (settings("noise"), 36, 37),
    "fgsm-eps0.1": (settings("fgsm"), 20, 32),
    "fgsm-eps0.2": (settings("fgsm", eps=0.2), 12, 30),
    "fgsm-eps0.5": (settings("fgsm", eps=0.5), 10, 25),
    "pgd-eps0.1": (settings("pgd"), 10, 31),
    "square-eps0.1": (settings("square"), 12, 33),
    "suite-eps0.1": (SUITE | {"stages": [stage("fgsm")]}, 8, None),
    "deepfool": (settings("deepfool"), 0, 30),
}


def first_right(count):
    """Labels of which exactly the first `count` are right."""
    return np.where(np.arange(N) < count, LABELS, (LABELS + 1) % CLASSES)


def crafted(name):
    """The tensors and metadata of a sound set."""
    entry, correct, _ = ATTACKS[name]
    norm, reach = entry["norm"], entry["eps"] or 0.1
    step = reach / 4 if norm == "l2" else reach
    clean = torch.from_numpy(IMAGES).float() / 255
    tensors = {
        "adversarial": (clean + step * (-1) ** torch.arange(16.0).view(1, 1, 4, 4)).clamp(0, 1),
        "labels": torch.from_numpy(LABELS),
        "clean_predictions": torch.from_numpy(first_right(CLEAN)),
        "predictions": torch.from_numpy(first_right(correct)),
        "margin": torch.where(torch.arange(N) < correct, -1.0, 1.0),
    }
    return tensors, {"zero_gradients": 0.0, "stages": [{"standing": correct}]}


class Stored:
    """The files of a study of two models, `a` and `b`, each attacked and scored on both; any of them may be spoilt."""

    def __init__(self, folder):
        self.folder = folder
        self.models = {("digits", name): name.upper() for name in "ab"}
        self.sets = {(source, name): crafted(name) for source in "ab" for name in ATTACKS}
        self.settings = {name: dict(entry) for name, (entry, _, _) in ATTACKS.items()}
        self.labels = {(target, source): LABELS for target in "ab" for source in "ab"}
        self.split = {source: dict(METADATA) for source in "ab"}
        self.predictions = {
            (target, source): {
                "clean": first_right(CLEAN),
                **{
                    name: first_right(own if target == source else other)
                    for name, (_, own, other) in ATTACKS.items()
                    if target == source or other is not None
                },
            }
            for target in "ab"
            for source in "ab"
        }

    def audit(self):
        """All findings on the study, as its jobs make them."""
        found = []
        for (source, name), (tensors, metadata) in self.sets.items():
            path = self.folder / f"{source}.{name}.safetensors"
            save_set(path, tensors, self.settings[name], metadata, {"fingerprint": source.upper()}, self.split[source])
            evaluated = self.predictions.get((source, source), {}).get(name)
            origin = Origin(IMAGES, LABELS, self.models["digits", source])
            found += audit_set(path, "digits", source, name, origin, evaluated)
        paths = []
        for (target, source), predicted in self.predictions.items():
            names = SimpleNamespace(dataset="digits", target=target, source=source)
            attacks = {name: self.settings[name] for name in ATTACKS if target == source or ATTACKS[name][2]}
            paths.append(self.folder / f"{target}-{source}.safetensors")
            arrays = {name: torch.from_numpy(values) for name, values in predicted.items()}
            checkpoint = {"fingerprint": target.upper()}
            labels = torch.from_numpy(self.labels[target, source])
            save_predictions(paths[-1], labels, arrays, names, attacks, checkpoint, METADATA)
        split = Split(LABELS, METADATA["fingerprint"])
        parents = dict.fromkeys(self.models)
        return audit_study(found, paths, {"digits": split}, self.models, self.models, parents)


@pytest.fixture
def stored(tmp_path):
    return Stored(tmp_path)


def alarms(findings):
    return {
        (finding.check, finding.verdict, finding.source, finding.target, finding.attack)
        for finding in findings
        if finding.verdict in ("failure", "warning")
    }


def test_a_sound_study_raises_nothing(stored):
    findings = stored.audit()
    assert alarms(findings) == set()
    passed = {finding.check for finding in findings if finding.verdict == "pass"}
    assert passed == {1, 2, 3, 4, 5, 9, 10, 12, 13, 14, 15, 22, 23, 25, 26, 27, 36}
    assert all(finding.message for finding in findings if finding.verdict == "not applicable")


# Sets: a spoilt PGD set of `a`


def clean_images_returned(tensors, metadata, entry):
    tensors["adversarial"] = torch.from_numpy(IMAGES).float() / 255
    return 3


def one_clean_image_returned(tensors, metadata, entry):
    tensors["adversarial"][5] = torch.from_numpy(IMAGES[5]).float() / 255
    return 3


def left_the_ball(tensors, metadata, entry):
    tensors["adversarial"][7, 0, 0, 0] += 2e-6
    return 1


def left_the_l2_ball(tensors, metadata, entry):
    entry["norm"] = "l2"
    return 1


def left_the_box(tensors, metadata, entry):
    entry["eps"] = 1.0
    tensors["adversarial"][7, 0, 1, 1] = 1 + 1e-6
    return 1


def not_finite(tensors, metadata, entry):
    tensors["adversarial"][0, 0, 0, 0] = float("nan")
    return 1


def labels_shifted(tensors, metadata, entry):
    tensors["labels"] = (tensors["labels"] + 1) % CLASSES
    tensors["predictions"] = (tensors["predictions"] + 1) % CLASSES
    return 1


def images_of_another_shape(tensors, metadata, entry):
    tensors["adversarial"] = tensors["adversarial"][:, :, :3]
    return 2


def success_that_does_not_reevaluate(tensors, metadata, entry):
    tensors["predictions"][9] = (LABELS[9] + 1) % CLASSES
    metadata["stages"] = [{"standing": 9}]
    return 4


def suite_that_is_not_its_attacks_together(tensors, metadata, entry):
    metadata["stages"] = [{"standing": 12}, {"standing": 9}]
    return 5


@pytest.mark.parametrize(
    "sabotage",
    [
        clean_images_returned,
        one_clean_image_returned,
        left_the_ball,
        left_the_l2_ball,
        left_the_box,
        not_finite,
        labels_shifted,
        images_of_another_shape,
        success_that_does_not_reevaluate,
        suite_that_is_not_its_attacks_together,
    ],
)
def test_a_spoilt_set_is_a_failure(stored, sabotage):
    expected = sabotage(*stored.sets["a", "pgd-eps0.1"], stored.settings["pgd-eps0.1"])
    found = {alarm for alarm in alarms(stored.audit()) if alarm[2] == "a"}
    assert (expected, "failure", "a", EVERY, "pgd-eps0.1") in found
    assert {alarm[4] for alarm in found if alarm[1] == "failure"} == {"pgd-eps0.1"}


def test_a_set_of_other_images_or_weights_is_a_failure(stored):
    stored.split["a"]["fingerprint"] = "stale"
    stored.models["digits", "b"] = "retrained"
    findings = stored.audit()
    failed = {(finding.source, finding.target): finding.message for finding in findings if finding.verdict == "failure"}
    assert "other images" in failed["a", EVERY] and "a.deepfool.safetensors" in failed["a", EVERY]
    assert "other weights than the source" in failed["b", EVERY]
    # The predictions of the retrained model are stale too.
    assert "other weights than the target" in failed["a", "b"]


def test_an_unreadable_set_is_a_missing_cell(stored, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"half a file")
    (finding,) = audit_set(path, "digits", "a", "pgd-eps0.1", Origin(IMAGES, LABELS, "A"))
    assert (finding.check, finding.verdict) == (2, "failure") and "truncated" in finding.message


@pytest.mark.parametrize(("count", "verdict"), [(0, "pass"), (2, "warning"), (3, "failure")])
def test_a_few_labels_that_another_machine_rounds_otherwise_are_a_warning(count, verdict):
    arrays = {"predictions": np.zeros(200, int), "margin": np.full(200, 3.0), "clean_predictions": np.zeros(200, int)}
    evaluated = (np.arange(200) < count).astype(int)
    found = reproduced(("digits", "a", EVERY, "pgd"), arrays, evaluated, evaluated * 0, "; make it again", None)
    assert (found.check, found.verdict, found.value) == (4, verdict, count)
    assert ("such as a quantized one" in found.message) == (verdict == "warning")
    assert found.message.endswith("make it again") == (verdict == "failure")


def test_ties_that_rounding_decides_are_listed_not_failed(stored):
    tensors, metadata = stored.sets["a", "pgd-eps0.1"]
    tensors["predictions"][9], tensors["margin"][9] = (LABELS[9] + 1) % CLASSES, 5e-6
    metadata["stages"] = [{"standing": 9}]
    findings = stored.audit()
    assert alarms(findings) == set()
    assert [f.message for f in findings if f.check == 4 and f.message] == ["rounding decides ties: examples 9"]


def test_eight_bit_sets_are_held_to_the_same_ball(stored):
    tensors, _ = stored.sets["a", "fgsm-eps0.1"]
    stored.settings["fgsm-eps0.1"]["stored"] = "uint8"
    moved = IMAGES.astype(int) + 25 * (-1) ** np.arange(16).reshape(1, 1, 4, 4)
    tensors["adversarial"] = torch.from_numpy(moved.clip(0, 255).astype(np.uint8))
    assert alarms(stored.audit()) == set()
    # Rounding may undo a perturbation, which marks the set; 26 levels are more than 0.1.
    tensors["adversarial"][3] = torch.from_numpy(IMAGES[3])
    assert alarms(stored.audit()) == {(3, "warning", "a", EVERY, "fgsm-eps0.1")}
    tensors["adversarial"][3] += 26
    assert alarms(stored.audit()) == {(1, "failure", "a", EVERY, "fgsm-eps0.1")}


def test_masked_gradients_are_a_warning(stored):
    stored.sets["a", "pgd-eps0.1"][1]["zero_gradients"] = 0.3
    assert alarms(stored.audit()) == {(9, "warning", "a", EVERY, "pgd-eps0.1")}
    # This loss has no gradient where the label's logit is the third highest, whatever the model.
    stored.sets["a", "pgd-eps0.1"][1]["stages"][-1]["loss"] = "dlr"
    assert alarms(stored.audit()) == set()


# Predictions


def rescore(stored, name, correct, target="a", source="a"):
    """Let the set and its predictions agree on another number of correct ones."""
    stored.predictions[target, source][name] = first_right(correct)
    if target == source:
        tensors, metadata = stored.sets[source, name]
        tensors["predictions"] = torch.from_numpy(first_right(correct))
        metadata["stages"] = [{"standing": correct}]


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda s: s.labels.update({("a", "b"): (LABELS + 1) % CLASSES}), (1, "failure", "b", "a", EVERY)),
        (lambda s: s.predictions["a", "b"].pop("pgd-eps0.1"), (2, "failure", "b", "a", "pgd-eps0.1")),
        (lambda s: s.predictions["a", "b"]["pgd-eps0.1"].fill(NOT_SCORED), (2, "failure", "b", "a", "pgd-eps0.1")),
        (lambda s: s.predictions["a", "b"]["pgd-eps0.1"].put(3, CLASSES), (2, "failure", "b", "a", "pgd-eps0.1")),
        (lambda s: rescore(s, "pgd-eps0.1", 39), (5, "failure", "a", "a", "pgd-eps0.1")),
        (lambda s: rescore(s, "pgd-eps0.1", 30), (10, "warning", "a", "a", "pgd-eps0.1")),
        (lambda s: rescore(s, "suite-eps0.1", 13), (10, "warning", "a", "a", "suite-eps0.1")),
        (lambda s: rescore(s, "suite-eps0.1", 30), (5, "warning", "a", "a", "suite-eps0.1")),
        (lambda s: rescore(s, "fgsm-eps0.2", 24), (12, "warning", "a", "a", "fgsm-eps0.2")),
        (lambda s: rescore(s, "fgsm-eps0.2", 36, "a", "b"), (12, "warning", "b", "a", "fgsm-eps0.2")),
        (lambda s: rescore(s, "fgsm-eps0.5", 12), (13, "warning", "a", "a", "fgsm-eps0.5")),
        (lambda s: rescore(s, "deepfool", 2), (13, "warning", "a", "a", "deepfool")),
        (lambda s: rescore(s, "pgd-eps0.1", 2, "a", "b"), (14, "warning", "a", "a", "suite-eps0.1")),
        (lambda s: rescore(s, "square-eps0.1", 4), (15, "warning", "a", "a", "suite-eps0.1")),
    ],
)
def test_wrong_predictions_are_caught(stored, change, expected):
    change(stored)
    findings = stored.audit()
    assert expected in alarms(findings)
    assert all(finding.message for finding in findings if finding.verdict in ("failure", "warning"))


@pytest.mark.parametrize("budgets", [(1e-5, 2e-5), (0.1, 0.2)])
@pytest.mark.parametrize("entries", ["pgd", "fab-eps"])
def test_budgets_of_one_attack_are_compared_whatever_their_names_are(budgets, entries):
    def cell(eps, right):
        return Cell(
            "d", "a", "a", f"{entries}-eps{eps:g}", settings("pgd", eps=eps), np.arange(N) < right, np.ones(N, bool)
        )

    found = list(falling_with_eps([cell(budgets[0], 10), cell(budgets[1], 20)]))
    assert [(one.verdict, one.attack) for one in found] == [("warning", f"{entries}-eps{budgets[1]:g}")]
    assert all("at one eps only" in one.message for one in falling_with_eps([cell(budgets[0], 10)]))
    # Two entries that are one attack at one budget differ by chance.
    assert list(falling_with_eps([cell(budgets[0], 10), cell(budgets[0], 20)])) == []


@pytest.mark.parametrize(
    "source, gained, lost, verdict",
    [
        ("a", 1, 0, "failure"),
        ("a", 9, 9, "pass"),
        ("b", 9, 9, "pass"),
        ("b", 15, 4, "warning"),
        ("b", 40, 4, "warning"),
    ],
)
def test_a_rise_is_a_failure_where_the_attack_follows_the_targets_gradients(source, gained, lost, verdict):
    clean, scored = np.arange(200) < 100, np.ones(200, dtype=bool)
    correct = clean.copy()
    correct[100 : 100 + gained], correct[:lost] = True, False
    assert below_clean(Cell("digits", source, "a", "pgd", settings("pgd"), correct, scored), clean).verdict == verdict


def test_an_attack_that_helps_its_source_is_caught_where_the_source_is_not_scored_on_it(stored):
    rescore(stored, "pgd-eps0.1", CLEAN + 1)
    del stored.predictions["a", "a"]
    assert (5, "failure", "a", EVERY, "pgd-eps0.1") in alarms(stored.audit())
    (message,) = {finding.message for finding in stored.audit() if finding.check == 5 and finding.verdict == "failure"}
    assert message.startswith("the source labels 39 of its images right, and 38 of the clean ones: an attack that")


def test_examples_that_only_transfer_breaks_are_named(stored):
    rescore(stored, "pgd-eps0.1", 2, "a", "b")
    (message,) = {finding.message for finding in stored.audit() if finding.check == 14 and finding.verdict == "warning"}
    assert message.startswith(
        "pgd-eps0.1 crafted on b breaks more; 6 examples fall to transfer alone (examples 2, 3, 4, 5, 6, 7)"
    )


def test_transfer_may_break_more_by_chance(stored):
    rescore(stored, "pgd-eps0.1", 6, "a", "b")
    assert not any(alarm[0] == 14 for alarm in alarms(stored.audit()))


def test_attackers_own_images_are_not_missing(stored):
    entry = settings("substitute", eps=0.1, seeds=10)
    stored.settings["noise-eps0.1"] = entry
    for predicted in stored.predictions.values():
        predicted["noise-eps0.1"][:10] = NOT_SCORED
    assert not [alarm for alarm in alarms(stored.audit()) if alarm[0] in (2, 4)]


def findings_of(models, parents, weights=None):
    return models.findings(weights or {}, parents, models.lossless(parents))


def test_rounding_in_each_of_many_files_is_not_another_model():
    models, labels, parents = Models(), np.arange(200) % CLASSES, {("digits", "a"): None}
    for source in range(5):
        clean = labels.copy()
        clean[source] += source > 0
        models.add("digits", f"s{source}", "a", labels, {"clean": clean}, {})
    assert [finding.verdict for finding in findings_of(models, parents) if finding.check == 27] == ["pass"]
    models.add("digits", "s5", "a", labels, {"clean": np.roll(labels, 1)}, {})
    (finding,) = [finding for finding in findings_of(models, parents) if finding.check == 27]
    assert finding.verdict == "failure" and finding.message.startswith("it has two labels for 200 clean images")


def of_models(clean, attacked=None, weights=None, parents=None):
    """The findings of checks 23 and 27 on models of clean labels, all but `base` compressed from it, and of the labels
    of what was crafted on `base`."""
    models, labels = Models(), np.arange(200) % CLASSES
    parents = {("digits", name): (parents or {}).get(name, None if name == "base" else "base") for name in clean}
    for name, predicted in clean.items():
        models.add("digits", "base", name, labels, {"clean": predicted, "pgd": (attacked or clean)[name]}, {})
    found = findings_of(models, parents, {key: (weights or {}).get(key[1], key[1]) for key in parents})
    return {(finding.check, finding.target) for finding in found if finding.verdict != "pass"} & {
        (check, name) for check in (23, 27) for name in clean
    }


def test_models_that_answer_with_one_class_are_told_of_by_check_22_alone():
    labels, one = np.arange(200) % CLASSES, np.zeros(200, int)
    base = np.where(np.arange(200) < 30, (labels + 1) % CLASSES, labels)
    fooled = np.where(np.arange(200) < 120, (labels + 1) % CLASSES, labels)
    clean = {"base": base, "small": one, "smaller": one}
    assert of_models(clean, {"base": fooled, "small": one, "smaller": one}) == set()
    # Of models that tell classes apart it is what it was.
    same = np.where(np.arange(200) < 40, (labels + 1) % CLASSES, labels)
    clean = {"base": base, "small": same, "smaller": same}
    attacked = {"base": fooled, "small": same, "smaller": same}
    assert of_models(clean, attacked) == {(23, "small"), (23, "smaller"), (27, "small"), (27, "smaller")}


@pytest.mark.parametrize(("own", "told"), [(None, {27}), (20, set()), (60, set()), (150, {27})])
def test_a_model_that_resists_an_attack_on_itself_may_resist_that_on_its_base(own, told):
    """One that was trained against it changes no label where its standard base changes most."""
    labels, next_class = np.arange(200) % CLASSES, (np.arange(200) + 1) % CLASSES
    models = Models()
    models.add("digits", "base", "base", labels, {"clean": labels, "pgd": np.where(labels > 0, next_class, labels)}, {})
    models.add("digits", "base", "robust", labels, {"clean": labels, "pgd": labels}, {})
    if own is not None:
        fooled = np.where(np.arange(200) < own, next_class, labels)
        models.add("digits", "robust", "robust", labels, {"clean": labels, "pgd": fooled}, {})
    found = findings_of(models, {("digits", "base"): None, ("digits", "robust"): "base"})
    told_of = [one for one in found if one.check == 27 and one.verdict != "pass"]
    assert {one.check for one in told_of} == told
    assert all("unless it was trained against attacks" in one.message for one in told_of)


@pytest.mark.parametrize(("sets", "differing", "told"), [
    (1, 5, set()), (1, 9, set()), (1, 10, {27}), (2, 9, set()), (3, 4, set()), (3, 5, {27}),
])  # fmt: skip
def test_labels_of_another_model_are_told_where_chance_does_not_explain_them(sets, differing, told):
    """An int8 model may label a few clean images in another way than its base, and by chance none of a set."""
    labels = np.arange(240) % CLASSES
    small = np.where(np.arange(240) < differing, (labels + 2) % CLASSES, labels)
    fooled = {f"pgd{place}": np.where(np.arange(240) < 120 + place, (labels + 1) % CLASSES, labels)
              for place in range(sets)}  # fmt: skip
    models = Models()
    models.add("digits", "base", "base", labels, {"clean": labels, **fooled}, {})
    models.add("digits", "base", "small", labels, {"clean": small, **fooled}, {})
    found = findings_of(models, {("digits", "base"): None, ("digits", "small"): "base"})
    assert {one.check for one in found if one.check == 27 and one.verdict != "pass"} == told


def test_a_compression_that_moves_no_label_is_lossless_and_no_reason_to_doubt():
    """One that moves a label was kept, one that moves none was kept with care."""
    labels = np.arange(200) % CLASSES
    base = np.where(np.arange(200) < 30, (labels + 1) % CLASSES, labels)
    clean = {"base": base, "small": base, "other": base}
    assert of_models(clean) == of_models(clean, parents={"other": "small"}) == set()
    # Of other weights that come from others there is no reason to label alike.
    assert of_models(clean, parents={"other": ""}) == {(23, name) for name in clean}
    alike = {"other": "weights", "small": "weights"}
    assert of_models(clean, weights=alike) == {(23, "small"), (23, "other")}
    assert of_models({"base": base, "small": base}, weights={"base": "weights", "small": "weights"}) == {
        (23, "base"), (23, "small"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("target", "base", "asked", "verdict"),
    [
        ("small", "pass", "pass", WARNING),
        # The base is broken as well, the labels are not the model's own, or nobody asked.
        ("small", "failure", "pass", FAILURE),
        ("small", "pass", "failure", FAILURE),
        ("small", "pass", "not applicable", FAILURE),
        ("base", "pass", "pass", FAILURE),
    ],
)
def test_that_compressing_broke_a_model_is_a_result_and_no_failure(target, base, asked, verdict):
    names = {check: f"check {check}" for check in (22, 41)}
    broken = f"{MODEL_BROKEN}predicts one class for every image; train it again"
    finding = lambda name, check, verdict, message="": Finding(  # noqa: E731
        "digits", name, name, "pgd", check, names[check], 0, 1, verdict, message
    )
    of_set = Finding("digits", target, EVERY, "pgd", 22, names[22], 0, 1, FAILURE, broken)
    found = [
        finding("base", 22, base), finding("base", 41, "pass"), finding(target, 41, asked),
        finding(target, 22, FAILURE, broken), of_set,
    ]  # fmt: skip
    parents = {("digits", "base"): None, ("digits", "half"): "base", ("digits", "small"): "half"}
    told = [one.verdict for one in with_results(found, parents) if one.message == broken]
    assert told == [verdict, verdict]
    single = replace(found[3], message="the images are all of one class")
    assert [one.verdict for one in with_results([*found[:3], single], parents)][-1] == FAILURE


# What follows


def test_findings_survive_their_file_with_failures_first(stored, tmp_path):
    rescore(stored, "fgsm-eps0.2", 24)
    stored.predictions["a", "b"].pop("pgd-eps0.1")
    findings = stored.audit()
    path = tmp_path / "audit.csv"
    write_findings(path, findings)
    read = read_findings(path)
    assert len(read) == len(findings) and read[0].verdict == "failure"
    audit = read_audit(path)
    assert audit.failed("digits", "b", "a", "pgd-eps0.1") and not audit.failed("digits", "b", "b", "pgd-eps0.1")
    assert audit.warnings("digits", "a", "a", "fgsm-eps0.2") == "12"
    with pytest.raises(
        InputError, match=r"pgd-eps0.1 of b on a: check 2 \(an exception is a missing cell\): .*--forcerun "
    ):
        check(read)


def test_a_finding_on_every_target_or_attack_reaches_each():
    def finding(target, attack, number, verdict):
        return Finding("d", "s", target, attack, number, "", "", "", verdict, "")

    audit = Audit([finding(EVERY, EVERY, 18, "warning"), finding("t", "a", 12, "warning")])
    audit_of_set = Audit([finding(EVERY, "a", 1, "failure")])
    assert audit.warnings("d", "s", "t", "a") == "12 18" and audit.warnings("d", "s", "u", "b") == "18"
    assert audit_of_set.failed("d", "s", "t", "a") and not audit_of_set.failed("d", "s", "t", "b")
    assert not audit.failed("d", "s", "t", "a") and audit.warnings("d", "r", "t", "a") == ""


def test_a_sound_audit_is_counted(stored):
    assert check(stored.audit()).startswith("not applicable: ")
