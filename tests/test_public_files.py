"""What a stranger looks for first says the same everywhere."""

import tomllib

import yaml
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_licence_and_version_are_those_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    licence = (ROOT / "LICENSE").read_text()
    assert licence.startswith(f"{PROJECT['license']} License\n")
    assert citation["license"] == PROJECT["license"]
    assert citation["version"] == PROJECT["version"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert citation["authors"][0]["name"] in licence


def test_the_changelog_has_the_version_or_says_that_it_is_to_come():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{PROJECT['version']}]" in text or f"Version {PROJECT['version']} will be the first release" in text


def test_the_tests_run_on_every_push():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    # YAML reads the key `on` as true.
    assert {"push", "pull_request"} <= set(workflow[True])
    assert {"make test", "make test-cloud"} <= {step.get("run") for step in workflow["jobs"]["test"]["steps"]}
