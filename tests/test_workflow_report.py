"""The real workflow's tables for print, story and report."""

import re
import zipfile

import pandas as pd


def test_every_table_is_there_for_print(finished):
    tables = {path.stem for path in finished.results.glob("tables/*.csv")}
    assert {"wide_models", "wide_attacks.filter", "wide_attacks.weight", "clean_differences"} <= tables
    for ending in ("tex", "md"):
        assert {path.stem for path in finished.results.glob(f"tables/*.{ending}")} == tables


def test_wide_table_agrees_with_the_means_and_with_max_delta(finished):
    wide = pd.read_csv(finished.results / "tables/wide_attacks.filter.csv", keep_default_na=False)
    deltas = pd.read_csv(finished.results / "tables/max_delta.csv", keep_default_na=False)
    deltas = deltas[deltas["compression"] == "filter"].set_index("attack")
    rows = wide[wide["crafted on"] == "its base"].set_index("attack")
    for attack, words in (("fgsm-eps0.1", "FGSM, eps 0.1"), ("pgd-eps0.1", "PGD, eps 0.1")):
        assert abs(rows.loc[words, "max delta"] - 100 * deltas.loc[attack, "max_delta"]) < 1e-3
        assert abs(rows.loc[words, "base"] - 100 * deltas.loc[attack, "base_accuracy"]) < 1e-3


def test_the_story_shows_the_clean_accuracies(finished):
    page = (finished.results / "story.html").read_text()
    for accuracy in pd.read_csv(finished.results / "tables/clean_accuracy.csv")["accuracy"]:
        assert f'class="number">{100 * accuracy:.1f}</td>' in page
    assert "torch 2." in page


def test_the_report_opens_with_the_story(study):
    for name in ("report.html", "report.zip"):
        study.run("--report", name)
    front = (study.path / "report.html").read_text()
    answers = pd.read_csv(study.results / "tables/answers.csv")
    assert f"{len(answers)} compressed models: " in front and "data:image/svg+xml;base64," in front
    with zipfile.ZipFile(study.path / "report.zip") as archive:
        assert any(re.search(r"story\.html$", entry) for entry in archive.namelist())
