"""The page of findings beside tables that are known."""

import pytest
from table_examples import over_seeds, whole

from squeezeproof.pages.findings_page import findings_page
from squeezeproof.pages.sections import PageTables, condensed, write_audit_in_short
from squeezeproof.statistics.crossed import About
from squeezeproof.tables.files import write_table

VARIANT = {"training": "standard", "compression": "filter", "ratio": 0.5, "bits": 32, "seeds": 3}
ROW = VARIANT | {"comparison": "white-box", "entry": "fgsm", "method": "fgsm", "eps": 0.1}
EFFECT = {"total": -0.08, "total_low": -0.1, "total_high": -0.06}
EFFECT |= {"by_training": -0.07, "by_training_low": -0.09, "by_training_high": -0.05}
EFFECT |= {"by_compression": -0.01, "by_compression_low": -0.02, "by_compression_high": -0.0}


CLEAN = {"difference": 0.012, "low": 0.005, "high": 0.019, "about": About.TRAININGS, "n": 2000}


def page(folder, effects, clean=(), audit=(), sweeps=(), speedups=()):
    selected = {"dataset": "digits", "compression": "filter", "selected": "not evaluated", "attack": "clean"}
    tables = {
        "over_seeds": over_seeds(),
        "selected": whole("selected", [{**selected, "tolerance": 0.01}]),
        "effects": whole("effects", effects),
    }
    if clean:
        tables["clean_differences"] = whole("clean_differences", clean)
    if sweeps:
        tables["sweep_differences"] = whole("sweep_differences", sweeps)
    if speedups:
        tables["speedups"] = whole("speedups", speedups)
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    write_audit_in_short(folder, whole("audit", audit))
    findings_page(folder, "t", "i", [])
    return (folder / "README.md").read_text()


def test_the_parts_of_a_difference_stand_beside_it(tmp_path):
    transfer = ROW | EFFECT | {"comparison": "transfer", "about": About.TRAININGS}
    small = {"by_training": 0.001, "by_compression": -0.02}
    of_trainings = ROW | EFFECT | {"about": About.TRAININGS}
    said = page(tmp_path, [of_trainings, of_trainings | small, transfer])
    cells = "−8.0 (−10.0 to −6.0) | −7.0 (−9.0 to −5.0) | −1.0 (−2.0 to +0.0)"
    assert f"| standard | filter 50 % | FGSM, eps 0.1 | {cells} |" in said
    assert "intervals on trainings" in said and "larger one in 1 of 2 comparisons" in said


def test_where_no_model_trained_longer_nothing_is_said_of_training(tmp_path):
    assert "extra training" not in page(tmp_path, []) and "extra training" in page(tmp_path, [ROW | EFFECT])


@pytest.mark.parametrize(("seeds", "about"), [(1, About.MODELS), (2, About.TRAININGS)])
def test_one_seed_speaks_of_its_models_alone(tmp_path, seeds, about):
    effects = [ROW | EFFECT | {"seeds": seeds, "about": kind} for kind in {about, About.MODELS}]
    said = page(tmp_path, effects)
    assert f"intervals on {about}" in said and "larger one in 1 of 1 comparisons" in said


def test_losses_at_rising_eps_are_marked_where_they_are_shown_to_grow(tmp_path):
    row = VARIANT | {"sweep": "rising", "against": "base", "seeds": 1, "n": 100, "about": About.MODELS}
    bounds = {"low": -0.1, "high": -0.02}
    grown = {"beyond_clean_low": -0.05, "beyond_clean_high": -0.01}
    said = page(
        tmp_path, [], sweeps=[
            row | bounds | {"eps": 0.0, "difference": -0.06, "beyond_clean_low": 0.0, "beyond_clean_high": 0.0},
            row | bounds | grown | {"eps": 0.1, "difference": -0.09},
            row | bounds | {"eps": 0.2, "difference": -0.05, "beyond_clean_low": -0.05, "beyond_clean_high": 0.01},
            row | bounds | grown | {"eps": 0.2, "difference": -0.5, "against": "control"},
        ],
    )  # fmt: skip
    assert "| training | compression | clean images | eps 0.1 | eps 0.2 |" in said
    cells = "−6.0 (−10.0 to −2.0) | −9.0 (−10.0 to −2.0) ↓ | −5.0 (−10.0 to −2.0) |"
    assert f"| standard | filter 50 % | {cells}" in said and "by itself; 100 images" in said


def test_clean_accuracy_stands_beside_base_and_control(tmp_path):
    small = {"difference": 0.006, "low": -0.005, "high": 0.017}
    rows = [VARIANT | CLEAN | {"against": "base"}, VARIANT | CLEAN | small | {"against": "control"}]
    rows += [VARIANT | CLEAN | {"against": "base", "compression": "control", "ratio": 0.0}]
    said = page(tmp_path, [ROW | EFFECT | {"about": About.TRAININGS}], rows)
    assert "| standard | filter 50 % | +1.2 (+0.5 to +1.9) | +0.6 (−0.5 to +1.7) |" in said
    assert said.count("| +1.2") == 1 and "; 2000 images." in said


def test_models_that_differ_in_their_fine_tuning_alone_have_rows_of_their_own(tmp_path):
    tuned, untuned = ({**VARIANT, **CLEAN, "against": "base", "finetuning": name} for name in ("adversarial", "none"))
    control = tuned | {"against": "control", "difference": 0.006}
    rows = [tuned, control, untuned | {"difference": -0.1}, untuned | {"ratio": 0.9, "difference": -0.2}]
    effects = [ROW | EFFECT | {"about": About.TRAININGS, "finetuning": name} for name in ("adversarial", "none")]
    said = page(tmp_path, effects, rows)
    assert "| standard | filter 50 %, adversarial fine-tuning | +1.2 (+0.5 to +1.9) | +0.6 (+0.5 to +1.9) |" in said
    assert "| standard | filter 50 %, not fine-tuned | −10.0 (+0.5 to +1.9) |  |" in said
    assert "| standard | filter 90 % | −20.0" in said
    assert "| standard | filter 50 %, adversarial fine-tuning | FGSM" in said


def test_what_the_audit_raised_stays_and_what_passed_is_counted(tmp_path):
    quiet = {"check": 1, "name": "in the ball", "verdict": "pass"}
    loud = {"check": 2, "name": "moved", "verdict": "warning", "source": "m", "message": "few moved"}
    rows = [quiet, loud, quiet, quiet | {"verdict": "not applicable"}, loud | {"source": "n"}]
    short = condensed(whole("audit", rows))
    told = [tuple(row) for row in short[["check", "verdict", "source", "cells"]].fillna("").to_numpy()]
    assert told == [(1, "pass", "", 2), (1, "not applicable", "", 1), (2, "warning", "m", 1), (2, "warning", "n", 1)]
    said = page(tmp_path, [], audit=rows)
    assert "- 2 checks pass, 2 warn, 0 fail; 1 do not apply.\n- Check 2 (moved), 2 times, such as: few moved.\n" in said


@pytest.mark.parametrize(
    ("source", "seed", "said"),
    [
        ("standard", "same", "images made for the base"),
        ("standard", "other", "images made for a base of another seed"),
        ("robust", "same", "images made for the robust base"),
        ("robust", "other", "images made for the robust base of another seed"),
    ],
)
def test_a_difference_says_whose_images_it_is_on(source, seed, said, tmp_path):
    row = ROW | {"comparison": "transfer", "source_training": source, "seed_relation": seed, "verdict": "less robust"}
    row |= {"about": About.MODELS, "against": "base", "n": 500, "difference": -0.1, "low": -0.15, "high": -0.05}
    write_table(tmp_path / "verdicts.csv", whole("verdicts", [row]))
    assert f"| standard | filter 50 % | FGSM, eps 0.1 | {said} | less robust |" in page(tmp_path, [])


@pytest.mark.parametrize(("names", "said"), [(("a", "ensemble"), "standard"), (("a", "b"), "a, standard")])
def test_architectures_are_named_where_there_are_several(names, said, tmp_path):
    trainings = ["ensemble" if name == "ensemble" else "standard" for name in names]
    sizes = [{"architecture": name, "training": training} for name, training in zip(names, trainings, strict=True)]
    write_table(tmp_path / "compression.csv", whole("compression", sizes))
    assert PageTables(tmp_path)["compression"]["training"].iloc[0] == said


def test_speed_stands_beside_the_base_by_back_end_on_the_fewest_threads(tmp_path):
    row = {key: VARIANT[key] for key in VARIANT if key != "seeds"}
    row |= {"against": "base", "threads": 1, "algorithm": "in memory", "rounds": 5}
    fast = {"speedup": 1.5, "low": 1.4, "high": 1.6, "backend": "onnxruntime"}
    slow = {"speedup": 0.98, "low": 0.9, "high": 1.07, "backend": "eager"}
    others = [row | fast | {"threads": 2}, row | fast | {"against": "control"}, row | fast | {"compression": "control"}]
    said = page(tmp_path, [], speedups=[row | fast, row | slow, *others])
    assert "| training | compression | eager, in memory | onnxruntime, in memory |" in said
    assert "| standard | filter 50 % | 0.98 (0.90 to 1.07) | 1.50 (1.40 to 1.60) |" in said
    assert "1 thread, 5 rounds" in said and "control" not in said.partition("## Is it faster?")[2]
