"""The pages under docs/ say what the tables beside them say."""

import copy
import re
import shutil

import pytest
import write_docs
import yaml
from conftest import ROOT
from show_plan import configured

from squeezeproof.errors import InputError
from squeezeproof.pages.reproductions_page import reproductions_page
from squeezeproof.study.outputs import jobs
from squeezeproof.study.plan import Study

PAGES = yaml.safe_load((ROOT / "docs/pages.yaml").read_text())
PARTS = yaml.safe_load((ROOT / "studies/published/parts.yaml").read_text())
CLAIMS = yaml.safe_load((ROOT / "studies/published/claims.yaml").read_text())
WRITTEN = [study for study, page in PAGES.items() if "page" in page and (ROOT / "docs" / study).is_dir()]


@pytest.mark.parametrize("study", WRITTEN)
def test_a_page_is_what_its_tables_make_it(study, tmp_path, monkeypatch):
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    folder = tmp_path / "docs" / study
    # A page of readings takes from another how much seeds differ.
    for name in filter(None, (study, PAGES[study].get("seeds"))):
        shutil.copytree(ROOT / "docs" / name, tmp_path / "docs" / name)
    (folder / "README.md").unlink()
    monkeypatch.setattr(write_docs, "ROOT", tmp_path)
    write_docs.write_page(study, PAGES[study])
    assert contents(folder) == contents(ROOT / "docs" / study)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_shown_of_a_study_is_its_files_and_the_hours_of_its_jobs(tmp_path, monkeypatch):
    results = tmp_path / "results/tiny"
    files = {
        "tables/a.csv": "x\n1\n",
        # A machine that had other work to do took four times as long.
        "benchmarks/train/a.tsv": "s\tmax_rss\n7200\t1\n",
        "logs/train/a.log": "CPU: 1.0 s to start, 1799.0 s of work\n",
    }
    for name, text in files.items():
        (results / name).parent.mkdir(parents=True)
        (results / name).write_text(text)
    monkeypatch.setattr(write_docs, "ROOT", tmp_path)
    write_docs.copy("tiny", ["tables/a.csv"])
    write_docs.write_hours("tiny")
    # No digests beside them: what is in the repository is its own witness.
    assert contents(tmp_path / "docs/tiny") == {"a.csv": b"x\n1\n", "hours.csv": b"rule,core_hours\ntrain,0.5\n"}


@pytest.mark.parametrize("study", WRITTEN)
def test_a_page_is_linked_where_the_studies_are_told(study):
    assert f"({study}/README.md)" in (ROOT / "docs/reproduce_a_paper.md").read_text()


def test_the_page_above_the_papers_is_what_their_pages_make_it():
    text = reproductions_page(ROOT / "docs", ROOT / "studies/published", PARTS, CLAIMS)
    assert text == (ROOT / "docs/reproductions.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pages": None}, "say under not_run why not"),
        ({"pages": ["nowhere"]}, "docs/nowhere does not exist"),
        ({"numbers": ["2"]}, "differ in 1"),
        ({"reason": "none"}, "unknown keys reason"),
    ],
)
def test_a_part_of_a_paper_is_run_or_says_why_not(change, message):
    parts = copy.deepcopy(PARTS)
    changed = parts["wang2018"][0] | change
    parts["wang2018"][0] = {key: value for key, value in changed.items() if value is not None}
    with pytest.raises(InputError, match=message):
        reproductions_page(ROOT / "docs", ROOT / "studies/published", parts, CLAIMS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expects": "better"}, "expects: better is unknown"),
        ({"reason": "none"}, "unknown keys reason"),
        ({"where": {"training": ["nobody"]}}, "where.training: no row has one of nobody"),
        ({"where": {"colour": ["red"]}}, "where.colour: no row"),
    ],
)
def test_a_claim_that_nothing_bears_on_is_no_claim(change, message):
    claims = copy.deepcopy(CLAIMS)
    claims["wang2018"][0] |= change
    with pytest.raises(InputError, match=message):
        reproductions_page(ROOT / "docs", ROOT / "studies/published", PARTS, claims)


def test_the_jobs_of_the_papers_studies_are_those_of_their_plans():
    text = (ROOT / "docs/reproduce_a_paper.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \|.*?\| ([\d,]+) \|", text, re.M))
    assert len(told) == 6
    for study, count in told.items():
        assert f"{len(jobs(Study(configured(ROOT / f'studies/{study}.yaml')))):,}" == count, study


# What people read

PAGES_OF_PEOPLE = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LIBRARY = ROOT / "workflow_scripts/squeezeproof"


def plain(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def anchor(heading):
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def test_the_readme_is_short_and_begins_with_the_question_the_commands_and_a_picture():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 200
    screen = "\n".join(lines[:25])
    assert "?**" in screen and "$ make demo" in screen and "$ make test" in screen and "![" in screen


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_is_linked_in_the_readme(page):
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", sorted(PAGES_OF_PEOPLE), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", plain(page)):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if heading:
            assert heading in map(anchor, re.findall(r"^#+ (.*)", plain(target), re.M)), link


@pytest.mark.parametrize("page", sorted(PAGES_OF_PEOPLE), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_code_that_a_page_names_exist(page):
    for name in re.findall(r"`([\w./*-]+(?:\.py|\.smk|/))`", plain(page)):
        if name.split("/")[0] not in ("my", "my_networks.py", "results", "data"):
            assert any(any(folder.glob(name)) for folder in (ROOT, LIBRARY, LIBRARY.parent)), name
