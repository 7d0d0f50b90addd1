"""The pages under docs/ say what the tables beside them say."""

import shutil

import pytest
import write_docs
import yaml
from conftest import ROOT

PAGES = yaml.safe_load((ROOT / "docs/pages.yaml").read_text())
WRITTEN = [study for study, page in PAGES.items() if "page" in page and (ROOT / "docs" / study).is_dir()]


@pytest.mark.parametrize("study", WRITTEN)
def test_a_page_is_what_its_tables_make_it(study, tmp_path, monkeypatch):
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    folder = tmp_path / "docs" / study
    shutil.copytree(ROOT / "docs" / study, folder)
    (folder / "README.md").unlink()
    monkeypatch.setattr(write_docs, "ROOT", tmp_path)
    write_docs.write_page(study, PAGES[study])
    assert (folder / "README.md").read_text() == (ROOT / "docs" / study / "README.md").read_text()


@pytest.mark.parametrize("study", WRITTEN)
def test_a_page_is_linked_in_the_readme(study):
    assert f"(docs/{study}/README.md)" in (ROOT / "README.md").read_text()
