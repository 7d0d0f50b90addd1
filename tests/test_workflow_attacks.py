"""The real workflow on sets of every form: suites, 8-bit images, no budget, fitted attacks, stop_on_success."""

import numpy as np
import pandas as pd
import pytest
from conftest import TABLES, TINY, Workspace
from safetensors.numpy import load_file

from squeezeproof.store.tensors import read_metadata

BASE = "cnn8.standard.none.none.s0"
PRUNED = "cnn8.standard.filter-50.none.s0"
SHOWN = (TABLES, "write_story", "results/sets/figures/digits/accuracy_against_ratio.cnn8.svg")
ATTACKS = {
    "deepfool": {},
    "uap": {"eps": 0.1, "images": 40, "passes": 1},
    "substitute": {"eps": 0.1, "seeds": 5, "rounds": 2},
    "files": {"method": "pgd", "eps": "20/255", "steps": 3, "stored": "uint8"},
    "aim": {"method": "pgd", "eps": 0.2, "steps": 5, "targeted": "least-likely"},
    "three": {"method": "apgd", "eps": 0.2, "steps": 20, "targeted": 3, "stop_on_success": True},
    "suite": {"eps": 0.05, "stop_on_success": True, "stages": ["fgsm", {"method": "apgd", "steps": 5}]},
}


@pytest.fixture(scope="module")
def finished_sets(tmp_path_factory):
    config = {**TINY, "study": "sets", "compressions": {"filter": {"ratio": 0.5}}, "attacks": ATTACKS}
    config["trainings"] = {"standard": {"epochs": 8, "batch_size": 16, "optimizer": "adam", "learning_rate": 0.01}}
    del config["finetunings"]
    config["evaluations"] = {
        "base": {"sources": "base", "where": ["white-box"]},
        "others": {
            "sources": "base",
            "targets": "compressed",
            "attacks": ["deepfool", "uap*", "substitute*", "files*", "aim*"],
        },
    }
    workspace = Workspace.create(tmp_path_factory.mktemp("sets") / "study", config)
    workspace.run(*SHOWN)
    return workspace


def test_sets_of_every_form_reach_the_tables(finished_sets):
    table = pd.read_csv(finished_sets.results / "tables/robust_accuracy.csv").set_index(["target", "attack"])
    names = ["deepfool", "uap-eps0.1", "substitute-eps0.1", "files-eps20of255"]
    assert set(table.index) == {(target, name) for target in (BASE, PRUNED) for name in names} | {
        (BASE, "suite-eps0.05")
    }
    assert table["eps"].isna().sum() == 2 and table.loc[(BASE, "deepfool"), "accuracy"] == 0
    # The attacker's seeds are not scored.
    assert table.loc[(PRUNED, "substitute-eps0.1"), "n"] == 35 and table.loc[(PRUNED, "deepfool"), "n"] == 40
    over_seeds = pd.read_csv(finished_sets.results / "tables/over_seeds.csv")
    assert len(over_seeds) == 2 + len(table)


def test_targeted_attacks_have_a_table_of_their_own(finished_sets):
    table = pd.read_csv(finished_sets.results / "tables/targeted.csv").set_index(["target", "attack"])
    assert set(table.index) == {(BASE, "aim-eps0.2"), (PRUNED, "aim-eps0.2"), (BASE, "three-eps0.2")}
    assert table.loc[(BASE, "aim-eps0.2"), "n"] == 40 and 20 < table.loc[(BASE, "three-eps0.2"), "n"] < 40
    assert table.loc[(BASE, "aim-eps0.2"), "success_rate"] > table.loc[(BASE, "aim-eps0.2"), "clean_rate"]
    assert table.loc[(PRUNED, "aim-eps0.2"), "base_rate"] == table.loc[(BASE, "aim-eps0.2"), "success_rate"]
    crafting = pd.read_csv(finished_sets.results / "tables/crafting.csv").set_index("attack")
    assert crafting.loc["aim-eps0.2", "successes"] == table.loc[(BASE, "aim-eps0.2"), "reached"]
    assert crafting.loc["three-eps0.2", "targeted"] == "3" and np.isnan(crafting.loc["deepfool", "targeted"])
    for name in ("robust_accuracy", "over_seeds", "comparisons", "verdicts"):
        text = (finished_sets.results / f"tables/{name}.csv").read_text()
        assert "aim-eps" not in text and "three-eps" not in text, name
    audit = pd.read_csv(finished_sets.results / "tables/audit.csv")
    assert not (audit[audit["attack"].isin(["aim-eps0.2", "three-eps0.2"])]["verdict"] == "failure").any()
    story = (finished_sets.results / "story.html").read_text()
    assert (
        "Targeted attacks" in story and "reach their class" in story and "aim-eps0.2 (targeted: least-likely)" in story
    )


def test_a_cumulative_suite_has_a_table_of_its_stages(finished_sets):
    stages = pd.read_csv(finished_sets.results / "tables/stages.csv")
    assert list(stages["method"]) == ["fgsm", "apgd"] and list(stages["order"]) == [1, 2]
    assert list(stages["gradient"]) == ["straight-through", "straight-through"]
    assert stages["attacked"][1] == stages["standing"][0] >= stages["standing"][1]
    table = pd.read_csv(finished_sets.results / "tables/robust_accuracy.csv").set_index("attack")
    assert table.loc["suite-eps0.05", "correct"] == stages["standing"][1]


def test_sets_keep_what_was_spent_and_found(finished_sets):
    folder = finished_sets.results / f"adversarial/digits/{BASE}"
    stored = load_file(folder / "files-eps20of255.safetensors")["adversarial"]
    (split,) = finished_sets.path.glob("data/prepared/digits.*/test.safetensors")
    moved = stored.astype(int) - load_file(split)["images"]
    assert stored.dtype == np.uint8 and np.abs(moved).max() == 20
    crafting = pd.read_csv(finished_sets.results / "tables/crafting.csv").set_index("attack")
    assert crafting.loc["substitute-eps0.1", "queries"] == 10
    assert crafting.loc["files-eps20of255", "float_successes"] > 0 and crafting["zero_gradients"].max() < 0.5
    assert read_metadata(folder / "uap-eps0.1.safetensors")["fitted_on"] == 40


def test_figures_are_drawn_for_attacks_with_and_without_a_budget(finished_sets):
    figures = {path.name for path in finished_sets.results.glob("figures/digits/*.svg")}
    assert {"heatmap.deepfool.svg", "heatmap.suite-eps0.05.svg", "accuracy_against_ratio.cnn8.svg"} <= figures


def test_a_second_run_does_nothing_and_a_new_attack_is_crafted_alone(finished_sets, tmp_path):
    workspace = finished_sets.clone(tmp_path / "study")
    assert workspace.planned(*SHOWN) == {}
    workspace.config["attacks"] = {**ATTACKS, "noise": {"eps": 0.1}}
    assert {rule: jobs for rule, jobs in workspace.planned().items() if rule in ("train", "compress", "craft")} == {
        "craft": 1
    }
