"""The study for programs and beside its models: benchmark.json, its schema, the gate, and the model cards."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml
from conftest import ROOT, TINY
from jsonschema import Draft202012Validator
from table_examples import name, whole
from test_answers import STATISTICS, finding, of_seeds, tables

from squeezeproof.analysis.answer_table import answers
from squeezeproof.audit.findings import FAILURE, MODEL_BROKEN, WARNING
from squeezeproof.errors import InputError
from squeezeproof.markers import write_marker
from squeezeproof.pages.benchmark import benchmark, gate
from squeezeproof.pages.model_card import model_card
from squeezeproof.study.paths import Paths
from squeezeproof.study.plan import Study
from squeezeproof.study.tables import compressed_models
from squeezeproof.tables.words import Verdict

SCHEMA = json.loads((ROOT / "schemas/benchmark.schema.json").read_text())
STUDY = {"name": "tiny", "question": "Does | it <b>hold</b>?", "doubts": ["half | <none>"]}


def with_answers(found, findings=()):
    return {**found, "answers": answers(found, findings, STATISTICS)}


def summary(found, findings=()):
    """The benchmark as a program reads it."""
    return json.loads(
        json.dumps(benchmark(with_answers(found, findings), findings, STUDY, STATISTICS), allow_nan=False)
    )


SOUND = summary(tables(Verdict.EQUIVALENT, -0.01, n=100_000))
LOST = summary(tables(Verdict.LESS, -0.1), [finding(WARNING)])


def test_the_summary_is_as_its_schema_says():
    Draft202012Validator.check_schema(SCHEMA)
    for found in (SOUND, LOST, summary({key: t[:0] if key in ("verdicts", "clean_differences", "effects") else t
                                        for key, t in tables().items()})):  # fmt: skip
        Draft202012Validator(SCHEMA).validate(found)
    assert LOST["models"][1]["warnings"] == ["check 14, a check"] and LOST["audit"] == {"warning": 1}


def test_every_field_is_described():
    def described(part):
        if isinstance(part, dict):
            for key, value in part.get("properties", {}).items():
                assert "description" in value or "const" in value, key
            for value in part.values():
                described(value)

    described(SCHEMA)


def test_intervals_are_those_that_the_answers_rest_on():
    [row, _] = with_answers(tables())["answers"].to_dict("records")
    model = LOST["models"][0]
    [own] = [attack for attack in model["attacks"] if attack["source"] == "itself"]
    lost = "it loses {:.1f} to {:.1f} points under PGD, eps 0.1".format(-100 * own["high"], -100 * own["low"])
    assert model["answers"]["these models"]["reasons"] == [lost.replace(".0 ", " ")]
    for kind, found in (("robust", own), ("clean", model["clean"])):
        bounds = [found.get(f"difference_{end}", found[end]) for end in ("low", "high")]
        assert bounds == pytest.approx([row[f"{kind}_difference_{end}"] for end in ("low", "high")])


def test_models_that_lost_no_more_pass():
    assert gate(SOUND, 0.02) == [] and gate(SOUND, 0.01) == []
    # Binary fractions: -0.01 of the table is not 0.01 exactly.
    assert gate(SOUND, 0.0099) != []


def test_models_that_lost_more_are_told_in_a_sentence():
    found = gate(LOST, 0.02)
    assert len(found) == 2
    assert found[0] == (
        "digits, cnn8.standard.filter-25.standard: lost 10.0 points on pgd-eps0.1 (interval 8.5 to 11.5, corrected for "
        "the number of comparisons), more than 2"
    )
    assert gate(LOST, 0.1) == []


def test_what_compression_broke_does_not_pass_however_much_may_be_lost():
    broken = finding(WARNING, check=22, message=f"{MODEL_BROKEN}predicts one class for every image; train it again")
    found = summary(tables(Verdict.EQUIVALENT, 0.0), [broken])
    assert gate(found, 1) == [
        "digits, cnn8.standard.filter-50.standard: it is broken: predicts one class for every image"
    ]


def test_what_cannot_be_told_does_not_pass():
    refused = gate(summary(tables(Verdict.EQUIVALENT, 0.0), [finding(FAILURE)]), 1)
    assert refused == ["digits, cnn8.standard.filter-50.standard: the audit refuses results: check 14, a check"]
    by_transfer = tables()
    judged, scored = by_transfer["verdicts"], by_transfer["robust_accuracy"]
    by_transfer |= {"verdicts": judged[judged["source"] != "itself"]}
    by_transfer |= {"robust_accuracy": scored[scored["source"] != scored["target"]]}
    assert ["it was not attacked itself" in problem for problem in gate(summary(by_transfer), 1)] == [True, True]


def test_where_nothing_can_be_lost_nothing_passes():
    worthless = tables(Verdict.EQUIVALENT, 0.0)
    scored = worthless["robust_accuracy"]
    worthless |= {"robust_accuracy": scored.assign(accuracy=0.0, correct=0, low=0.0, high=0.004)}
    found = summary(worthless)
    assert {model["threat"] for model in found["models"]} == {""}
    assert ["nothing can be lost" in problem for problem in gate(found, 0.02)] == [True, True]


def test_what_is_no_benchmark_is_refused():
    with pytest.raises(InputError, match="has the format None"):
        gate({}, 0.02)
    with pytest.raises(InputError, match="no compressed model"):
        gate({**SOUND, "models": []}, 0.02)


@pytest.mark.parametrize(("most", "status", "said"), [
    ("2", 1, "FAIL digits, cnn8.standard.filter-25.standard: lost 10.0 points"),
    ("10", 0, "tiny: no compressed model lost more than 10 points of accuracy"),
    ("two", 2, "MAX_DROP=two is no number of points"),
])  # fmt: skip
def test_the_gate_has_an_exit_status_and_a_sentence(tmp_path, most, status, said):
    path = tmp_path / "results/tiny/benchmark.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(LOST))
    done = _gate(tmp_path, most, "tiny")
    assert done.returncode == status and said in done.stdout + done.stderr


def test_a_study_that_was_not_run_has_another_status(tmp_path):
    (tmp_path / "mine.yaml").write_text("study: mine\n")
    done = _gate(tmp_path, "2", "mine.yaml")
    assert done.returncode == 2 and "results/mine/benchmark.json does not exist; run the study first" in done.stderr


def test_results_of_other_models_than_the_config_has_are_refused(tmp_path):
    config = {**TINY, "compressions": {"filter": {"ratio": [0.25, 0.5]}}}
    names = [key[1] for key in compressed_models(Study(config))]
    models = [{**model, "models": [name]} for model, name in zip(SOUND["models"], names, strict=True)]
    path = tmp_path / "results/tiny/benchmark.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**SOUND, "models": models}))

    def judged(ratios):
        config["compressions"]["filter"]["ratio"] = ratios
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
        return _gate(tmp_path, "2", "mine.yaml")

    assert judged([0.25, 0.5]).returncode == 0
    edited = judged([0.25, 0.75])
    assert edited.returncode == 2
    lacks, has = (f"digits/cnn8.standard.filter-{ratio}.standard.s0" for ratio in (75, 50))
    assert f"is of another config: it lacks {lacks}; the config no longer has {has}; run the study" in edited.stderr
    # A model that its network does not support has a marker in its place, and no results.
    marker = tmp_path / Paths("tiny").model("digits", lacks.partition("/")[2])
    marker.parent.mkdir(parents=True)
    write_marker(marker, {"rule": "compress"})
    path.write_text(json.dumps({**SOUND, "models": models[:1]}))
    assert judged([0.25, 0.75]).returncode == 0


def _gate(folder, *arguments):
    command = [sys.executable, str(ROOT / "workflow_scripts/tools/gate.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


# Cards


def card(found, findings=()):
    crafted = {"dataset": "digits", "attack": "pgd-eps0.1", "norm": "linf", "eps": 0.1}
    costs = {"forwards_per_example": 20, "backwards_per_example": 19}
    crafting = whole("crafting", [{**crafted, **costs, "source": name(0.5)}])
    given = {**with_answers(found, findings), "crafting": crafting}
    return model_card(given, findings, STUDY, "digits", name(0.5), {"Commit": "abc | def"})


def test_a_card_has_the_answer_the_numbers_and_where_they_come_from():
    text = card(tables(), [finding(WARNING, message="transfer breaks more")])
    assert text.startswith(f"# {name(0.5)}\n\nCNN-8, standard training, filter 50 %, standard fine-tuning, seed 0, on ")
    assert "**Do not ship** (these models, 1 seed): it loses " in text
    assert "Does \\| it &lt;b>hold&lt;/b>?" in text and "\n\nIn doubt: half \\| &lt;none>\n\n" in text
    assert "| clean images |  | 90.0 [0.0, 0.0] | 90.0 [0.0, 0.0] |" in text
    assert "| PGD, eps 0.1 | itself | 30.0 [0.0, 0.0] | 40.0 [0.0, 0.0] |" in text
    assert f"| PGD, eps 0.1 | {name(0.0)} | 90.0 [0.0, 0.0] | 40.0 [0.0, 0.0] |" in text
    assert f"| pgd-eps0.1 | {name(0.5)} | linf | 0.1 | 20 / 19 |" in text
    assert "- warning, check 14, a check: transfer breaks more\n\n0 checks on this model passed, 1 did not." in text
    assert "- Commit: abc \\| def\n- This model computed with: versions not recorded" in text


def test_the_card_of_a_seed_says_which_seeds_are_broken():
    found = of_seeds()
    said = f"{MODEL_BROKEN}predicts one class for every image; train it again"
    broken = replace(finding(WARNING, check=22, message=said), target=name(0.5, 1))
    given = with_answers(found, [broken])
    cards = [model_card(given, [broken], STUDY, "digits", name(0.5, seed), {}) for seed in range(3)]
    for seed in (0, 2):
        said = f"This model, of seed {seed}, is not broken; that of seed 1 is. The answers are of all 3 seeds"
        assert said in cards[seed]
    assert "This model, of seed 1, predicts one class for every image: it is broken. The answers are of" in cards[1]
    assert all("(these models, 3 seeds): it is broken: with seed 1, of 3, it predicts" in text for text in cards)
    assert "is broken. The answers" not in card(tables(), [replace(broken, target=name(0.5))])


def test_what_one_check_says_of_many_cells_is_one_line():
    cells = [replace(finding(WARNING, message=f"by {gap} points"), attack=f"a{gap}") for gap in (3, 4, 5)]
    same = [replace(finding(WARNING, check=22, message="near chance"), attack=f"a{number}") for number in range(9)]
    text = card(tables(), [*cells, *same])
    assert "- warning, check 14, a check, 3 times (tables/audit.csv), such as: by 3 points\n" in text
    assert "- warning, check 22, a check, 9 times (tables/audit.csv): near chance\n" in text
    assert "0 checks on this model passed, 12 did not." in text


def test_a_model_has_a_card_where_its_base_was_not_evaluated():
    found = tables()
    for key, column in (("compression", "model"), ("clean_accuracy", "model"), ("robust_accuracy", "target")):
        found[key] = found[key][found[key][column] != name(0.0)]
    text = card(found)
    assert "|  | this model |" in text and "| clean images |  | 90.0 [0.0, 0.0] |  |" in text
    failed = {**found, "clean_accuracy": found["clean_accuracy"][:0]}
    assert "| clean images |  |  |  |" in card(failed)


def test_a_model_that_nothing_is_known_of_has_a_card():
    empty = ("verdicts", "clean_differences", "effects", "robust_accuracy")
    found = {key: table[:0] if key in empty else table for key, table in tables().items()}
    assert "**Cannot tell**" in card(found)
