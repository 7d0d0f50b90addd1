"""What a change of the config or of the code, or a lost file, makes the real workflow run again on a tiny study."""

import copy
import os

import pytest
from conftest import TABLES

from squeezeproof.study.outputs import jobs_on_request, named_paths
from squeezeproof.study.plan import Study

BASE = "cnn8.standard.none.none.s0"
TABLES_AND_FIGURES = {
    **{"write_audit": 1, "check_audit": 1, "write_unsupported": 1, "write_tables": 1, "write_verdicts": 1},
    **{"plot_heatmap": 2, "plot_accuracy_against_ratio": 1, "plot_accuracy_differences": 1, "plot_images": 1},
    **{"plot_weights": 1, "plot_training": 1, "plot_answers": 1, "select_variants": 1},
    **{"write_answers": 1, "write_cards": 1},
    **{"write_wide_tables": 1, "format_tables": 1, "write_story": 1, "write_explorer": 1},
}
ALL_OF_A_SEED = {
    **{"train": 1, "compress": 3, "craft": 2, "predict": 4, "audit_sets": 1, "probe": 1, "write_costs": 1},
    **TABLES_AND_FIGURES,
}
# What a change of the attacks reruns of them.
WITHOUT_MODELS = {
    rule: jobs for rule, jobs in TABLES_AND_FIGURES.items() if rule not in ("plot_weights", "plot_training")
}
WITHOUT_TRAINING = {
    **{"craft": 2, "predict": 4, "audit_sets": 1, "probe": 1, "write_costs": 1},
    **WITHOUT_MODELS,
}
# What a change of predictions or of findings reruns of them.
WITHOUT_SETS = {rule: jobs for rule, jobs in WITHOUT_MODELS.items() if rule != "write_unsupported"}


def test_first_run_does_every_job_once(fresh):
    assert fresh.planned() == {
        **{"prepare": 1, "prepare_test": 1, "audit_data": 1},
        **ALL_OF_A_SEED,
    }


def test_second_run_does_nothing(study):
    assert study.planned() == {}


# Reruns


def change_one_ratio(study):
    study.config["compressions"]["filter"]["ratio"] = [0.25, 0.6]
    return {"compress": 1, "predict": 1, **TABLES_AND_FIGURES}


def add_a_ratio(study):
    study.config["compressions"]["filter"]["ratio"] = [0.25, 0.5, 0.75]
    return {"compress": 1, "predict": 1, **TABLES_AND_FIGURES}


def change_the_question(study):
    study.config["question"] = "Why?"
    return {"write_cards": 1, "write_explorer": 1, "write_story": 1}


def add_an_attack(study):
    study.config["attacks"]["bim"] = {"eps": 0.1, "steps": 2}
    again = {"craft": 1, "predict": 4, "audit_sets": 1, "probe": 1, "write_costs": 1}
    return {**again, **WITHOUT_MODELS, "plot_heatmap": 3}


def change_an_attack(study):
    study.config["attacks"]["pgd"]["steps"] = 4
    return {"craft": 1, "predict": 4, "audit_sets": 1, "probe": 1, "write_costs": 1, **WITHOUT_MODELS}


def rename_an_attack(study):
    attacks = study.config["attacks"]
    attacks["mine"] = {"method": "pgd", **attacks.pop("pgd")}
    return {"craft": 1, "predict": 4, "audit_sets": 1, "probe": 1, "write_costs": 1, **WITHOUT_MODELS}


# The page and figures that show attacks and evaluations in their order, or the config itself.
SHOWN_IN_ORDER = {"plot_images": 1, "write_cards": 1, "write_story": 1}


def reorder_the_attacks(study):
    study.config["attacks"] = dict(reversed(study.config["attacks"].items()))
    return SHOWN_IN_ORDER


def rename_the_evaluation_and_split_it(study):
    study.config["evaluations"] = {name: {"sources": "base", "attacks": f"{name}*"} for name in ("pgd", "fgsm")}
    return SHOWN_IN_ORDER


def write_the_budget_as_a_fraction(study):
    study.config["attacks"]["pgd"]["eps"] = "1/10"
    return {}


def add_a_seed(study):
    study.config["seeds"] = [0, 1]
    return ALL_OF_A_SEED


def change_the_fine_tuning(study):
    study.config["finetunings"]["standard"]["epochs"] = 2
    return {"compress": 3, "predict": 3, **TABLES_AND_FIGURES}


def change_the_training(study):
    study.config["trainings"]["standard"]["epochs"] = 3
    return ALL_OF_A_SEED


def change_the_test_images(study):
    study.config["datasets"]["digits"]["test"] = 50
    return {"prepare_test": 1, "audit_data": 1, **WITHOUT_TRAINING}


def set_images_aside(study):
    study.config["datasets"]["digits"]["validation"] = 10
    return {"prepare": 1, "prepare_test": 1, "audit_data": 1, **ALL_OF_A_SEED}


def remove_a_compression(study):
    del study.config["compressions"]["weight"]
    return TABLES_AND_FIGURES


def touch_every_file_of_the_workflow(study):
    for path in study.path.glob("workflow_scripts/**/*.py"):
        os.utime(path)
    for path in study.path.glob("rules/*.smk"):
        os.utime(path)


def edit(study, name):
    path = study.path / "workflow_scripts" / name
    path.write_text(path.read_text() + "\nEDITED = True\n")


def edit_a_script(study):
    edit(study, "write_costs.py")
    shown = {"format_tables": 1, "write_story": 1, "write_cards": 1, "plot_answers": 1}
    return {"write_costs": 1, "write_answers": 1, **shown}


def edit_an_attack(study):
    edit(study, "squeezeproof/attacks/pgd.py")
    return {"craft": 1, "predict": 4, "audit_sets": 1, "probe": 1, "write_costs": 1, **WITHOUT_MODELS}


def explain_every_module(study):
    for path in study.path.glob("workflow_scripts/**/*.py"):
        path.write_text(path.read_text().replace('"""', '"""Reworded. ', 1) + "\n# A comment.\n")


def edit_the_figures(study):
    edit(study, "squeezeproof/figures/heatmap.py")
    return {"plot_heatmap": 2, "write_story": 1}


def edit_the_pruning(study):
    edit(study, "squeezeproof/compression/filters.py")
    return {"compress": 2, "predict": 2, **TABLES_AND_FIGURES}


def edit_the_network(study):
    edit(study, "squeezeproof/models/networks.py")
    return ALL_OF_A_SEED


def edit_the_data_set(study):
    edit(study, "squeezeproof/datasets/digits.py")
    return {"prepare": 1, "prepare_test": 1, "audit_data": 1, **ALL_OF_A_SEED}


def edit_what_is_not_used(study):
    for name in (
        *("attacks/deepfool", "attacks/fab", "attacks/fitted", "models/vgg", "models/vision"),
        *("compression/quantization", "compression/sparse_training", "datasets/downloads", "datasets/image_folder"),
    ):
        edit(study, f"squeezeproof/{name}.py")


def declare_an_attack(study):
    declared = study.path / "workflow_scripts/squeezeproof/entries/attacks/pgd.py"
    text = declared.read_text().replace('"pgd"', '"mine"').replace("attacks.pgd:pgd", "attacks.mine:mine")
    declared.with_name("mine.py").write_text(text)


def reword_what_entries_share(study):
    edit(study, "squeezeproof/entries/attack.py")


def change_the_threads(study):
    study.config["compute"]["threads"] = 2
    return ALL_OF_A_SEED


@pytest.mark.parametrize(
    "change",
    [
        change_one_ratio,
        add_a_ratio,
        add_an_attack,
        change_an_attack,
        rename_an_attack,
        reorder_the_attacks,
        rename_the_evaluation_and_split_it,
        write_the_budget_as_a_fraction,
        change_the_question,
        add_a_seed,
        change_the_fine_tuning,
        change_the_training,
        change_the_test_images,
        set_images_aside,
        remove_a_compression,
        edit_a_script,
        edit_an_attack,
        edit_the_figures,
        edit_the_pruning,
        edit_the_network,
        edit_the_data_set,
        change_the_threads,
    ],
)
def test_a_change_reruns_exactly_what_depends_on_it(study, change):
    assert change(study) == study.planned()


def test_what_changes_no_result_reruns_nothing(study):
    touch_every_file_of_the_workflow(study)
    explain_every_module(study)
    edit_what_is_not_used(study)
    declare_an_attack(study)
    reword_what_entries_share(study)
    study.config["compute"]["batch_size"] = 7
    assert study.planned() == {}


def test_tables_drop_the_cells_of_a_removed_entry(study):
    del study.config["compressions"]["weight"]
    study.run(TABLES)
    for name, content in study.tables().items():
        assert b"weight-50" not in content, name
    assert b"filter-50" in study.tables()["robust_accuracy.csv"]


# Losses

LEAVES = {
    "plot_accuracy_against_ratio": "figures/digits/accuracy_against_ratio.cnn8.png",
    "plot_training": "figures/digits/training.svg",
    "plot_images": f"figures/digits/images.{BASE}.png",
    "check_audit": "audit/passed.txt",
    "write_explorer": "explorer.html",
    "write_story": "summary.html",
    "write_cards": "benchmark.json",
    "format_tables": "tables/verdicts.tex",
}
# A file that others are made from, and the jobs that make it and them.
LOSSES = {
    # The story shows the matrices.
    "results/tiny/figures/digits/heatmap.pgd-eps0.1.png": {"plot_heatmap": 1, "write_story": 1},
    "data/prepared/{train}/validation.safetensors": {
        **{"prepare": 1, "prepare_test": 1, "audit_data": 1},
        **ALL_OF_A_SEED,
    },
    "data/prepared/{test}/test.safetensors": {"prepare_test": 1, "audit_data": 1, **WITHOUT_TRAINING},
    f"results/tiny/models/digits/{BASE}.history.csv": ALL_OF_A_SEED,
    "results/tiny/models/digits/cnn8.standard.weight-50.standard.s0.safetensors": {
        **{"compress": 1, "predict": 1},
        **TABLES_AND_FIGURES,
    },
    f"results/tiny/adversarial/digits/{BASE}/fgsm-eps0.1.safetensors": {
        **{"craft": 1, "predict": 4, "audit_sets": 1, "probe": 1, "write_costs": 1},
        **WITHOUT_MODELS,
    },
    f"results/tiny/predictions/digits/cnn8.standard.weight-50.standard.s0/{BASE}.safetensors": {
        "predict": 1,
        **WITHOUT_SETS,
        "plot_images": 1,
    },
    f"results/tiny/audit/digits/{BASE}.sets.csv": {"audit_sets": 1, **WITHOUT_SETS},
    "results/tiny/tables/compression.csv": {
        **{
            "write_tables": 1,
            "check_audit": 1,
            "plot_heatmap": 2,
            "plot_accuracy_against_ratio": 1,
            "select_variants": 1,
        },
        **{"write_answers": 1, "write_cards": 1, "plot_answers": 1},
        **{"write_wide_tables": 1, "format_tables": 1, "write_story": 1, "write_explorer": 1},
    },
}


def test_what_nothing_else_needs_is_made_again_by_its_rule_alone(study):
    for path in LEAVES.values():
        (study.results / path).unlink()
    assert study.planned() == dict.fromkeys(LEAVES, 1)


@pytest.mark.parametrize("lost", LOSSES)
def test_what_others_need_is_made_again_with_them(study, lost):
    digits = Study(copy.deepcopy(study.config)).datasets["digits"]
    (study.path / lost.format(train=digits.key("train"), test=digits.key("test"))).unlink()
    assert study.planned() == LOSSES[lost]


def test_the_plan_names_every_file_of_a_finished_study(finished):
    found = {path.relative_to(finished.path).as_posix() for path in finished.path.glob("results/**/*")}
    found |= {path.relative_to(finished.path).as_posix() for path in finished.path.glob("data/**/*")}
    # What was found of single sets is kept where it took a while; it is no output.
    files = {name for name in found if (finished.path / name).is_file() and not name.endswith(".kept")}
    study = Study(copy.deepcopy(finished.config))
    asked_for = {path for job in jobs_on_request(study) for path in (*job.outputs, job.log, job.benchmark)}
    assert asked_for and files == named_paths(study) - asked_for


def test_results_without_the_records_of_their_runs_are_told_once(study):
    study.config["study"] = "renamed"
    (study.path / "results/tiny").rename(study.path / "results/renamed")
    study.config["attacks"]["pgd"]["steps"] = 4
    for arguments in (["-n"], []):
        output = study.run(*arguments)
        assert output.count("no run is recorded that made it") == 1 and "--forceall makes everything again" in output
