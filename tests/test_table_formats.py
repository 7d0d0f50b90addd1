"""Tables for readers: what the numbers of a CSV become, and that no character of a name breaks a format."""

import re
import shutil
import subprocess

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_examples import compression_table, over_seeds, robust_accuracy, stages_table

from squeezeproof.analysis import wide
from squeezeproof.analysis.names import attack_display, attack_displays, model_in_words
from squeezeproof.tables.files import read_texts, write_table
from squeezeproof.tables.formats import (
    LONG,
    Readable,
    latex_escaped,
    readable,
    to_latex,
    to_markdown,
)


def text_table(**columns):
    return pd.DataFrame(columns, dtype=str)


def column(table, title):
    return [row[table.columns.index(title)] for row in table.rows]


ROBUST = text_table(
    source=["a", "b"],
    accuracy=["0.631", "0.5"],
    low=["0.600645", "0.4"],
    high=["0.660353", "0.6"],
    n=["1000", "1000"],
    warnings=["", "10 14"],
)


def test_shares_are_per_cent_and_bounds_intervals():
    table = readable("robust_accuracy", ROBUST)
    assert table.columns == ["source", "accuracy (%)", "interval (%)"]
    assert column(table, "interval (%)") == ["[60.1, 66.0]", "[40.0, 60.0]"]
    assert column(table, "accuracy (%)") == ["63.1", "50.0 †10,14"]


def test_what_all_rows_share_and_what_marks_mean_is_noted():
    notes = readable("robust_accuracy", ROBUST).notes
    assert "In all rows: images 1000." in notes
    assert "10: noise, FGSM, PGD, suite in this order; 14: white-box at least as strong as transfer" in notes[-1]


def test_a_table_without_warnings_has_no_legend():
    assert not any("†" in note for note in readable("robust_accuracy", ROBUST.assign(warnings="")).notes)


def test_differences_are_signed_and_never_minus_zero():
    table = readable("verdicts", text_table(compression=["a", "b", "c"], difference=["0.0123", "-0.2", "-0.0001"]))
    assert column(table, "difference (%)") == ["+1.2", "−20.0", "+0.0"]


def test_what_is_in_per_cent_already_stays():
    table = readable("wide_attacks.filter", text_table(attack=["a", "b"], base=["12.345", "9"], warned=["base", ""]))
    assert column(table, "base") == ["12.3 †", "9.0"]
    table = readable(
        "published", text_table(compression=["a", "b"], mean=["95.04", "1"], low=["94", "0"], high=["96", "2"])
    )
    assert column(table, "interval") == ["[94.0, 96.0]", "[0.0, 2.0]"]


def test_other_numbers_are_not_taken_for_shares():
    table = readable("latency", text_table(model=["a", "b"], mean_ms=["1.23456", "2"], machine_python=["3.11", "3.10"]))
    assert table.columns == ["model", "mean ms", "machine python"]
    assert table.rows == [["a", "1.235", "3.11"], ["b", "2", "3.10"]]


def test_ratios_p_values_and_counts():
    table = readable(
        "verdicts", text_table(ratio=["0.3", "0.875"], p_difference_holm=["1e-7", "0.04"], n=["1000", "9"])
    )
    assert table.rows == [["30 %", "< 0.001", "1000"], ["87.5 %", "0.040", "9"]]
    table = readable("compression", text_table(parameters=["178986", "9"]))
    assert table.rows == [["178,986"], ["9"]]


def test_an_empty_table_has_every_format(tmp_path):
    write_table(tmp_path / "flips.csv", [])
    table = readable("flips", read_texts(tmp_path / "flips.csv"))
    assert table.rows == []
    assert all(form(table) for form in (to_latex, to_markdown))


# The formats

NASTY = r"a_b & 50 % of #1 {x} ~ ^ \cmd $y$ [2] <i>|*`"


def test_latex_escapes_every_special_character():
    escaped = latex_escaped(NASTY)
    bare = re.sub(r"\\text[a-z]+\{\}|\\[&%#_{}$]|\{\[\}|\{\]\}", "", escaped)
    assert not set(bare) & set(r"\{}$&#%_^~[]<>"), bare


@settings(max_examples=100)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_latex_rows_keep_their_columns(text):
    table = to_latex(Readable("t", "t", ["a", "b"], [[text, "1"]], [False, True]))
    row = table.splitlines()[table.splitlines().index(r"\midrule") + 1]
    assert row.endswith(r" & 1 \\")
    assert len(re.findall(r"(?<!\\)&", row)) == 1


def test_long_tables_break_over_pages():
    rows = [["x", "1"]] * (LONG + 1)
    text = to_latex(Readable("long", "long", ["a", "b"], rows, [False, True]))
    assert text.count(r"\begin{longtable}{lr}") == text.count(r"\end{longtable}") == 1
    assert r"\endfirsthead" in text and r"\endhead" in text and r"\begin{table}" not in text
    assert r"\begin{tabular}{lr}" in to_latex(Readable("short", "short", ["a", "b"], rows[:LONG], [False, True]))


def test_markdown_cells_hold_what_would_break_them():
    lines = to_markdown(Readable("t", "t", ["a", "b"], [[NASTY, "1\n2"]], [False, True])).splitlines()
    assert lines[3] == "| --- | ---: |"
    assert len(re.findall(r"(?<!\\)\|", lines[4])) == 3
    assert "<" not in lines[4] and r"\*" in lines[4]


def test_the_head_of_a_table_says_what_is_missing():
    table = Readable("t", "t", ["a"], [["1"], ["2"], ["3"]], [True]).head(2)
    assert table.rows == [["1"], ["2"]]
    assert table.notes == ["The first 2 of 3 rows; tables/t.csv has all."]


# Names


@pytest.mark.parametrize(
    ("entry", "method", "eps", "display"),
    [
        ("pgd", "pgd", 8 / 255, "PGD, eps 8/255"),
        ("pgd", "pgd", 0.0313725, "PGD, eps 8/255"),
        ("pgd", "pgd", 0.2, "PGD, eps 0.2"),
        ("pgd", "pgd", 0.1255, "PGD, eps 0.1255"),
        ("cw", "cw", None, "C&W"),
        ("fab-eps", "fab", None, "FAB-eps"),
        ("fab-eps", "fab", float("nan"), "FAB-eps"),
        ("fab-eps0.1", "fab", None, "FAB-eps0.1"),
        ("clean", "clean", 0.0, "clean images"),
        ("pgd-restarts", "pgd", 0.02, "PGD-restarts, eps 0.02"),
        ("mine", "fgsm", 0.1, "mine, eps 0.1"),
    ],
)
def test_attacks_have_a_display_name(entry, method, eps, display):
    assert attack_display(entry, method, eps) == display


def test_attacks_of_one_display_name_keep_their_own():
    rows = [("pgd-eps0.2", "pgd", 0.2), ("pgd-eps51of255", "pgd", 0.2), ("fgsm-eps0.2", "fgsm", 0.2)]
    table = pd.DataFrame([{"attack": a, "entry": e, "method": e, "eps": eps} for a, e, eps in rows])
    assert list(attack_displays(table).values()) == ["pgd-eps0.2", "pgd-eps51of255", "FGSM, eps 0.2"]


def test_models_in_words():
    assert model_in_words("cnn8", "standard", "none", 0.0, 32, "none") == "CNN-8, standard training, base"
    assert model_in_words("cnn8", "pgd", "ptq", 0.75, 8, "none").endswith("ptq 8-bit, not fine-tuned")


# The layout of the papers


@pytest.fixture
def cells():
    return wide.read_cells(over_seeds(), robust_accuracy(), compression_table())


def test_attacks_by_level_hold_the_means_and_the_signed_delta(cells):
    table = wide.attacks_by_level(cells, "filter", {})
    assert list(table.columns[7:]) == ["base", "control", "25 %", "50 %", "max delta", "warned", "not supported"]
    assert table["control"].isna().all()
    assert table["attack"].iloc[0] == "clean images"
    white_box = table[(table["crafted on"] == "itself") & (table["attack"] == "FGSM, eps 0.1")].iloc[0]
    assert [white_box[name] for name in ("base", "25 %", "50 %")] == pytest.approx([40, 35, 30])
    assert white_box["max delta"] == pytest.approx(-5)
    transfer = table[(table["crafted on"] == "its base") & (table["attack"] == "FGSM, eps 0.1")].iloc[0]
    # The base on its own images is where the curve of images crafted on it begins.
    assert [transfer[name] for name in ("base", "25 %", "50 %")] == pytest.approx([40, 55, 50])


def test_the_control_stands_beside_the_papers_numbers(cells):
    trained = cells[cells["target_compression"].eq("none")].assign(
        target_compression="control", target_finetuning="standard", mean=0.2
    )
    described = {"dataset": "digits", "architecture": "cnn8", "training": "standard"}
    models = [
        {**described, "name": "f", "compression": "filter", "finetuning": "standard", "base": "b", "control": "c"},
        {**described, "name": "c", "compression": "control", "finetuning": "standard", "base": "b", "control": ""},
        {**described, "name": "q", "compression": "int", "finetuning": "none", "base": "b", "control": "b"},
    ]
    controls = wide.controls_of(models)
    assert controls == {("digits", "cnn8", "standard", "filter", "standard"): "standard"}
    table = wide.attacks_by_level(pd.concat([cells, trained]), "filter", controls)
    row = table[(table["crafted on"] == "itself") & (table["attack"] == "FGSM, eps 0.1")].iloc[0]
    # The definition of max delta is the poster's.
    assert [row[name] for name in ("base", "control", "max delta")] == pytest.approx([40, 20, -5])


@pytest.mark.parametrize(("ratio", "said"), [(0.25, "25 %; max delta"), (0.5, "50 %"), (0.0, "base; max delta")])
def test_a_delta_that_the_audit_warns_of_is_marked_in_the_wide_table(cells, ratio, said):
    of_model = cells["target_ratio"].eq(ratio) & cells["crafted_on"].eq("itself")
    table = wide.attacks_by_level(cells.assign(warned=of_model), "filter", {})
    assert table.loc[table["crafted on"].eq("itself"), "warned"].item() == said


def test_warned_cells_are_marked_in_the_wide_tables(cells):
    by_level = wide.attacks_by_level(cells, "filter", {})
    row = (by_level["crafted on"] == "itself") & (by_level["attack"] == "FGSM, eps 0.1")
    assert list(by_level.loc[row, "warned"]) == ["50 %"]
    assert (by_level.loc[~row, "warned"] == "").all()
    by_model = wide.models_by_attack(cells)
    row = (by_model["crafted on"] == "itself") & (by_model["ratio"] == 0.5)
    assert list(by_model.loc[row, "warned"]) == ["FGSM, eps 0.1"]
    formatted = readable("wide_models", by_model.astype(str))
    assert any("bits 32," in note for note in formatted.notes)
    assert [cell for cell in column(formatted, "FGSM, eps 0.1") if "†" in cell] == ["30.0 †"]


def test_models_by_attack_have_a_row_per_model_and_source(cells):
    table = wide.models_by_attack(cells)
    assert table["ratio"].tolist() == [0, 0.25, 0.25, 0.5, 0.5]
    assert set(table["crafted on"]) == {"itself", "its base"}
    assert table["clean images"].iloc[0] == pytest.approx(90)


def test_stages_become_columns_in_their_order():
    clean = compression_table().assign(accuracy=0.9, n=10)
    table = wide.stages_by_model(stages_table(), clean)
    assert list(table.columns[-4:]) == ["images", "clean images", "1. APGD-CE", "2. Square"]
    assert table["kept"].tolist() == ["100 %", "50 %"]
    assert table[["1. APGD-CE", "2. Square"]].to_numpy().tolist() == [[50, 40], [30, 20]]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
@pytest.mark.parametrize("rows", [2, LONG + 1])
def test_latex_compiles(tmp_path, rows):
    hostile = r"\input{x} 5% of_a #1 & $b ~^ {c} \ <i> \u00e9"
    table = readable(
        "robust_accuracy", text_table(source=[f"{hostile} {row}" for row in range(rows)], accuracy=["0.5"] * rows)
    )
    page = [
        r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}",
        to_latex(table),
        r"\end{document}",
    ]
    (tmp_path / "page.tex").write_text("\n".join(page))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
