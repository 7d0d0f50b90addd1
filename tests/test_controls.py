"""Controls: which a study needs, how they are made, and what they tell of a difference."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TABLES, TINY, Workspace
from schema_examples import MINIMAL
from study_examples import changed
from verdict_examples import STATISTICS, counted, describe, pair

from squeezeproof.analysis.effects import effects
from squeezeproof.analysis.max_delta import max_delta
from squeezeproof.analysis.verdicts import headline, verdicts
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.statistics.crossed import About, Mean, interval
from squeezeproof.study.controls import Schedule
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

TUNED = {"standard": {"epochs": 2}, "long": {"epochs": 5}}
TESTED = {"finetunings": TUNED, "evaluations": {"own": {"sources": "*", "where": ["white-box"]}}}


def study(compressions, **changes):
    return Study(changed(MINIMAL, {**TESTED, "compressions": compressions, **changes}))


def finetunings(found):
    """Name of the fine-tuning in every control's name -> its schedules."""
    return {control.finetuning: schedules for control, schedules in found.controls.items()}


# The plan


def test_a_fine_tuning_has_one_control_for_all_compressions():
    found = study({"weight": {"ratio": [0.5, 0.9]}, "filter": {"ratio": 0.5}})
    assert finetunings(found) == {"standard": (Schedule("standard"),), "long": (Schedule("long"),)}
    for model, control in found.references.items():
        assert control.name == model.base.name.replace("none.none", f"none.{model.finetuning}")
        assert control.is_control and not control.is_base and found.parent(control) == model.base
        assert found.finetuning_of(control) == found.finetuning_of(model)
        # Attacked itself by the same attacks, as the compressed model is.
        assert found.pairs[control.dataset, control.name, control.name] == list(found.attacks)
    assert len(found.made_models) == 1 + 2 * 3 + 2


def test_a_control_has_the_epochs_between_the_steps_too():
    iterative = {"method": "filter", "ratio": 0.5, "steps": 4, "step_epochs": 3}
    at_once = {"method": "filter", "ratio": 0.3, "steps": 4, "step_epochs": 0}
    found = study({"iterative": iterative, "at-once": at_once})
    assert finetunings(found)["standard-after-3x3"] == (Schedule("standard", 4, 3),)
    assert finetunings(found)["standard"] == (Schedule("standard"),)
    control = next(control for control in found.controls if control.finetuning == "standard-after-3x3")
    assert found.compression_settings(control) == {"method": "control", "steps": 4, "step_epochs": 3, "scratch": False}


def test_without_further_training_the_base_is_the_control():
    found = study({"int": {"method": "quantization", "bits": 8}}, variants=[{"finetunings": ["none"]}])
    [model] = [model for model in found.models.values() if not model.is_base]
    assert found.controls == {} and found.references[model] == model.base
    assert found.describe(model.dataset, model.name)["control"] == model.base.name


def test_what_a_file_of_the_users_was_trained_is_not_known():
    found = study({"mine": {"method": "external", "file": "my/a.safetensors"}})
    [model] = [model for model in found.models.values() if not model.is_base]
    assert found.controls == {} and found.references == {}
    assert found.describe(model.dataset, model.name)["control"] == ""


def test_what_is_quantized_after_a_pruning_trained_twice():
    compressions = {"weight": {"ratio": 0.5}, "int": {"method": "quantization", "bits": 8, "after": "weight-50.long"}}
    found = study(compressions, variants=[{"compressions": ["int-8"], "finetunings": ["standard", "none"]}])
    assert set(finetunings(found)) == {"long", "long-then-standard"}
    twice = next(control for control in found.controls if control.finetuning == "long-then-standard")
    assert found.parent(twice).finetuning == "long"
    tuned, not_tuned = (
        found.references[model] for model in found.references if model.compression == "int-8"
    )  # fmt: skip
    assert {tuned.finetuning, not_tuned.finetuning} == {"long", "long-then-standard"}


def test_trainings_from_scratch_are_compared_with_one():
    sparse = {"sparse": {"method": "admm", "ratio": 0.5}, "ticket": {"method": "weight", "ratio": 0.5, "rewind": True}}
    found = study(sparse)
    assert finetunings(found)["standard-from-scratch"] == (Schedule("standard", scratch=True),)
    assert {control.finetuning for control in found.references.values()} == {
        "standard-from-scratch", "long-from-scratch",
    }  # fmt: skip
    # A base that was trained like that is the control itself.
    alike = study(sparse, trainings={"standard": TUNED["standard"]}, finetunings={"standard": TUNED["standard"]})
    assert alike.controls == {}
    assert all(control.is_base for control in alike.references.values())


def test_controls_meet_the_images_that_the_compressed_models_meet():
    found = Study(changed(MINIMAL, {"finetunings": TUNED, "compressions": {"weight": {"ratio": 0.5}}}))
    [base] = [model for model in found.models.values() if model.is_base]
    for control in found.controls:
        assert (base.dataset, control.name, base.name) in found.pairs
        assert (base.dataset, control.name) not in found.sets


def test_controls_can_be_left_out():
    found = study({"weight": {"ratio": 0.5}}, control=False)
    assert found.controls == {} and found.references == {}
    assert {found.describe(*key)["control"] for key in found.evaluated_models} == {""}


def test_a_fine_tuning_of_a_controls_name_is_refused():
    iterative = {"method": "filter", "ratio": 0.5, "steps": 2}
    with pytest.raises(ConfigError, match=r"finetunings.standard-after-1x1: is the name of a control"):
        study({"iterative": iterative}, finetunings={**TUNED, "standard-after-1x1": {"epochs": 1}})


# Their training


@pytest.mark.parametrize("scratch", [False, True])
def test_a_control_is_trained_in_as_many_stages_and_loses_nothing(scratch):
    model, untrained = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    before = copy.deepcopy(untrained if scratch else model)
    stages = []

    def train_on(trained, masks, stage):
        if not stages:
            torch.testing.assert_close(trained.weight, before.weight, rtol=0, atol=0)
        stages.append((masks, stage))

    settings = Schedule("standard", steps=3, step_epochs=1, scratch=scratch).settings
    assert compress(Task(model, (3, 1, 1), settings, train_on, initial=lambda: untrained)) == {}
    assert stages == [({}, 0), ({}, 1), ({}, 2)]


# What they tell


def trio(seed, *, trained, compressed, n=400, source=None):
    """The pairs with base and control of a compressed model, and of the control: shares that each step loses."""
    rng = np.random.default_rng(seed)
    base = np.ones(n, bool)
    control = rng.random(n) >= trained
    own = control & (rng.random(n) >= compressed)
    alone = pair(base, control, seed, source=source)
    alone.target.update(describe(seed, "control"))
    return [pair(base, own, seed, source=source), pair(control, own, seed, source=source, against="control"), alone]


def test_the_difference_to_the_base_is_that_of_training_and_that_of_compression():
    members = [member for seed in range(3) for member in trio(seed, trained=0.2, compressed=0.05)]
    table = effects(members, 0.05)
    assert table["about"].tolist() == [About.MODELS, About.TRAININGS]
    for row in table.itertuples():
        assert row.total == pytest.approx(row.by_training + row.by_compression)
        assert row.by_training == pytest.approx(-0.2, abs=0.03)
        assert row.by_compression == pytest.approx(-0.04, abs=0.02)
        assert (row.seeds, row.n) == (3, 400)
    runs = np.stack([member.difference for member in members if member.against == "control"])
    expected = interval(Mean.of(runs.astype(float)), 0.05, About.TRAININGS)
    assert (row.by_compression_low, row.by_compression_high) == pytest.approx(expected)


def test_where_the_control_of_one_seed_failed_the_audit_no_difference_is_split():
    """Its cells are left out, and those of the other seeds alone are not what the model's difference consists of."""
    members = [member for seed in range(3) for member in trio(seed, trained=0.2, compressed=0.05)]
    left = [member for member in members if (member.against, member.target["seed"]) != ("control", 1)]
    assert len(left) == len(members) - 1 and effects(left, 0.05).empty
    deltas = max_delta(left, STATISTICS)
    assert deltas["largest_delta"].notna().all() and deltas["by_training"].isna().all()


@pytest.mark.parametrize("control", ["base", ""])
def test_where_nothing_was_trained_on_or_is_known_of_it_no_difference_is_split(control):
    alone = pair(*counted(100, 20, 5, 75))
    alone.target["control"] = alone.target.get(control, "")
    assert effects([alone], 0.05).empty
    deltas = max_delta([alone], STATISTICS)
    assert deltas["largest_delta"].tolist() == pytest.approx([-0.075])
    parts = [f"{part}{end}" for part in ("by_training", "by_compression") for end in ("", "_low", "_high")]
    assert deltas[parts].isna().all(axis=None)


def at_ratio(members, ratio):
    """The same pairs at another ratio of the compressed model."""
    for member in members:
        if member.target["compression"] != "control":
            member.target["ratio"] = ratio
    return members


def test_the_largest_difference_is_split_with_intervals_that_cover_its_choice():
    strong = [member for seed in range(3) for member in trio(seed, trained=0.2, compressed=0.1)]
    weak = [member for seed in range(3, 6) for member in at_ratio(trio(seed, trained=0.2, compressed=0.0), 0.1)]
    table = max_delta([*strong, *weak], STATISTICS)
    rows = table[table["against"].eq("base") & table["compression"].ne("control")]
    assert rows["about"].tolist() == [About.MODELS, About.TRAININGS] and set(rows["levels"]) == {2}
    # Bonferroni over the two ratios.
    expected = effects(strong, STATISTICS["alpha"] / 2)
    for part in ("by_training", "by_compression"):
        for column in (part, f"{part}_low", f"{part}_high"):
            assert rows[column].tolist() == pytest.approx(expected[column].tolist())
    assert rows["largest_delta"].tolist() == pytest.approx((rows["by_training"] + rows["by_compression"]).tolist())
    others = table.drop(rows.index)
    assert len(others) and others[["by_training", "by_compression_low"]].isna().all(axis=None)
    # Without a control nothing can be told apart.
    alone = max_delta([member for member in strong if member.against == "base"], STATISTICS)
    assert alone["largest_delta"].notna().all() and alone["by_training"].isna().all()


def test_verdicts_are_passed_against_the_base_and_against_the_control():
    table = headline(verdicts(trio(0, trained=0.2, compressed=0.0), STATISTICS))
    found = {(row.compression, row.against): row for row in table.itertuples()}
    assert found["weight", "base"].verdict == "less robust"
    assert found["weight", "control"].difference == 0
    assert found["control", "base"].verdict == "less robust"
    assert {key: row.isolates_compression for key, row in found.items()} == {
        ("weight", "base"): False, ("weight", "control"): True, ("control", "base"): False,
    }  # fmt: skip
    assert "that of its base, whose training may differ, too" in found["weight", "base"].sentence
    assert "that of its control, trained alike, not compressed" in found["weight", "control"].sentence
    assert "the accuracy of the control is" in found["control", "base"].sentence
    assert len(set(table["family"])) == 2


def test_images_of_the_base_prove_nothing_against_the_control_either():
    base = describe(0)
    worse = pair(*counted(100, 5, 60, 100), source=base, against="control")
    [row] = verdicts([worse], STATISTICS).itertuples()
    assert row.verdict == "transfers worse"


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    """A study of one pruned network with its control, run by the real workflow."""
    config = copy.deepcopy(TINY) | {"control": True, "compressions": {"weight": {"ratio": 0.5}}}
    config |= {"attacks": {"fgsm": {"eps": 0.1}}}
    config["evaluations"] = {"all": {"sources": "base"}, "own": {"sources": "*", "where": ["white-box"]}}
    workspace = Workspace.create(tmp_path_factory.mktemp("controlled") / "study", config)
    workspace.run(TABLES, "write_story")
    return workspace


def test_the_workflow_trains_and_compares_a_control(controlled):
    tables = controlled.results / "tables"
    history = pd.read_csv(controlled.results / "models/digits/cnn8.standard.none.standard.s0.history.csv")
    assert len(history) == 1
    sizes = pd.read_csv(tables / "compression.csv", keep_default_na=False).set_index("model")
    control = sizes.loc["cnn8.standard.none.standard.s0"]
    assert (control.compression, control.sparsity, control.measure) == ("control", 0, "")
    compared = pd.read_csv(tables / "verdicts.csv", keep_default_na=False)
    assert set(zip(compared["compression"], compared["against"], compared["comparison"], strict=True)) == {
        (compression, against, comparison)
        for compression, against in (("weight", "base"), ("weight", "control"), ("control", "base"))
        for comparison in ("white-box", "same-source")
    }
    found = pd.read_csv(tables / "effects.csv")
    assert len(found) == 2
    assert found["total"].to_numpy() == pytest.approx(
        (found["by_training"] + found["by_compression"]).to_numpy(), abs=2e-6
    )
    wide = pd.read_csv(tables / "wide_attacks.weight.csv")
    assert wide["control"].notna().all()
    assert controlled.planned(TABLES, "write_story") == {}
    assert "because of compression: trained alike" in (controlled.results / "story.html").read_text()
