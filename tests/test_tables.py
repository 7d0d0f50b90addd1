"""The catalog of tables: files keep what was written, and a new column needs one line."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT
from docutils.core import publish_string
from table_examples import whole

from squeezeproof.audit.findings import Finding
from squeezeproof.errors import InputError
from squeezeproof.tables.catalog.whole import TABLES
from squeezeproof.tables.describe import caption, reference
from squeezeproof.tables.files import read_table, table_of, write_table
from squeezeproof.tables.table import NAMED_BY_STUDY

CLEAN = {"dataset": "007", "model": "null", "n": 30, "correct": 20, "accuracy": 2 / 3, "low": 0.5, "high": 0.8}


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "clean_accuracy.csv"
    write_table(path, whole("clean_accuracy", [CLEAN]))
    [row] = read_table(path).to_dict("records")
    assert (row["dataset"], row["model"], row["architecture"]) == ("007", "null", "")
    assert row["n"] == 30 and row["accuracy"] == pytest.approx(2 / 3, abs=1e-6)


def test_a_number_that_is_missing_is_none_and_an_empty_text_is_empty(tmp_path):
    path = tmp_path / "over_seeds.csv"
    write_table(path, whole("over_seeds", [{"attack": "fab-eps", "entry": "fab-eps", "eps": None, "std": None}]))
    [row] = read_table(path).itertuples()
    assert pd.isna(row.eps) and pd.isna(row.std) and row.norm == ""


def test_columns_of_the_study_stand_where_the_catalog_has_their_place(tmp_path):
    path = tmp_path / "wide_attacks.filter.csv"
    table, part = table_of(path)
    rows = whole("wide_attacks", [{"90 %": 1.0, "base": 2.0, "50 %": 3.0}])
    assert part == "filter" and table.titled(part) == "accuracy by attack and level: filter"
    assert list(rows)[-7:] == ["base", "control", "90 %", "50 %", "max delta", "warned", "not supported"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [([{"extra": 1}], "lacks the columns accuracy, "), ([{**CLEAN, "extra": 1}], "has the unknown column extra")],
)
def test_rows_of_other_columns_are_no_table(rows, told):
    frame = whole("clean_accuracy", [CLEAN]).assign(**rows[0]) if "n" in rows[0] else rows
    with pytest.raises(ValueError, match=f"table clean_accuracy {told}"):
        TABLES["clean_accuracy"].frame(frame)


def test_a_file_of_another_version_is_refused(tmp_path):
    path = tmp_path / "clean_accuracy.csv"
    path.write_text("dataset,model\nd,m\n")
    with pytest.raises(InputError, match=r"clean_accuracy.csv: lacks the columns .* remove it and run again"):
        read_table(path)


@pytest.mark.parametrize("name", TABLES)
def test_a_caption_is_restructured_text(name):
    publish_string(caption(TABLES[name]), settings_overrides={"report_level": 1, "halt_level": 1})


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_named_once_and_what_they_refer_to_is_there(name):
    names = [column.name for column in TABLES[name].columns]
    assert len(names) == len(set(names))
    for column in TABLES[name].columns:
        assert {column.upper, column.marks} - {""} <= set(names)
        assert (column.sentence.endswith(".") and column.sentence[0].isupper()) or column.sentence[0] in "`1"


def test_the_audit_writes_the_columns_of_its_table():
    assert list(Finding.__dataclass_fields__) == [column.name for column in TABLES["audit"].columns]


LINE = (
    '        Column("lost", COUNT, "Images that get a wrong label.", value=lambda rows: rows["n"] - rows["correct"]),\n'
)
USE = """
import pandas as pd
from explorer_study import ExplorerStudy
from squeezeproof.pages.explorer_data import explorer_data
from squeezeproof.tables.catalog.accuracy import ROBUST_ACCURACY
from squeezeproof.tables.describe import caption, reference
from squeezeproof.tables.files import read_table, read_texts
from squeezeproof.tables.formats import readable, to_latex, to_markdown

study = ExplorerStudy({folder!r})
path = study.paths["robust_accuracy"]
table = read_table(path)
assert (table["lost"] == table["n"] - table["correct"]).all() and str(table["lost"].dtype) == "int64"
print(to_markdown(readable("robust_accuracy", read_texts(path))).splitlines()[2])
assert " & lost & " in to_latex(readable("robust_accuracy", read_texts(path)))
assert "``lost``" in caption(ROBUST_ACCURACY) and "| `lost` | count | Images that" in reference()
assert "lost" in explorer_data(study.tables, "s", "?")["runs"]
"""


def test_a_new_column_is_one_line(tmp_path):
    """It is in the file, in print, in the captions, the documentation and the explorer."""
    library = shutil.copytree(ROOT / "workflow_scripts/squeezeproof", tmp_path / "squeezeproof")
    catalog = library / "tables/catalog/accuracy.py"
    text = catalog.read_text()
    place = "        CORRECT, accuracy(), *interval(WILSON), WARNINGS,\n"
    assert text.count(place) == 1
    catalog.write_text(text.replace(place, place.replace("CORRECT,", "CORRECT,\n" + LINE.rstrip() + "\n       ")))
    use = USE.replace("{folder!r}", f"__import__('pathlib').Path({str(tmp_path)!r})")
    paths = [str(tmp_path), str(ROOT / "tests")]
    code = f"import sys; sys.path[:0] = {paths!r}\n{use}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| lost | accuracy (%) |" in done.stdout


def test_no_table_of_the_reference_is_empty():
    assert all(f"## {name}\n" in reference() for name in TABLES)
    assert NAMED_BY_STUDY not in {line.split("|")[1].strip(" `") for line in reference().splitlines() if "|" in line}
