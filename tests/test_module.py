"""The workflow as a module of somebody else's Snakefile, which lies elsewhere."""

import copy
import re

import forked_snakemake
import pandas as pd
import pytest
import yaml
from conftest import ROOT, TINY

SNAKEFILE = """
configfile: "study.yaml"

module squeezeproof:
    snakefile: "{root}/Snakefile"
    config: config

use rule * from squeezeproof as sp_*

rule best:
    default_target: True
    input: "results/tiny/tables/clean_accuracy.csv"
    output: "best.txt"
    shell: "sort -t, -k4 {{input}} | tail -n 1 > {{output}}"
"""


@pytest.fixture
def elsewhere(tmp_path):
    """A project with a Snakefile and a study of its own, and a function that runs Snakemake there."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(root=ROOT))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(copy.deepcopy(TINY), sort_keys=False))

    def run(*arguments):
        status, output = forked_snakemake.run(["--cores", "2", *arguments], tmp_path)
        assert status == 0, output[-4000:]
        return output

    return tmp_path, run


def test_its_rules_are_planned_under_a_prefix_beside_the_users_own(elsewhere):
    _, run = elsewhere
    planned = dict(re.findall(r"^(\w+) +(\d+)$", run("-n", "--quiet", "rules"), re.M))
    expected = {"best": "1", "sp_prepare": "1", "sp_train": "1", "sp_compress": "3", "sp_craft": "2", "sp_predict": "4"}
    assert expected.items() <= planned.items()


def test_a_study_of_the_users_is_what_counts(elsewhere):
    folder, run = elsewhere
    study = copy.deepcopy(TINY) | {"seeds": [0, 1]}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    assert re.search(r"^sp_train +2$", run("-n", "--quiet", "rules"), re.M)


@pytest.mark.slow
def test_it_runs_there_and_leaves_nothing_here(elsewhere, finished):
    folder, run = elsewhere
    before = set(ROOT.glob("results/*"))
    run("best", "sp_all")
    ours = {
        path.name: path.read_bytes() for path in folder.glob("results/tiny/tables/*.csv") if path.stem != "crafting"
    }
    assert ours == finished.tables()
    assert len(pd.read_csv(folder / "results/tiny/tables/clean_accuracy.csv")) == 4
    assert (folder / "best.txt").read_text().count(",") > 3
    assert set(ROOT.glob("results/*")) == before


TWO = """
configfile: "study.yaml"

module one:
    snakefile: "{root}/Snakefile"
    config: config["one"]

use rule * from one as one_*

module other:
    snakefile: "{root}/Snakefile"
    config: config["other"]

use rule * from other as other_*

rule both:
    default_target: True
    input: "results/tiny/tables/clean_accuracy.csv", "results/other/tables/clean_accuracy.csv"
"""


def test_two_studies_of_one_workflow_share_their_data(elsewhere):
    folder, run = elsewhere
    (folder / "Snakefile").write_text(TWO.format(root=ROOT))
    other = copy.deepcopy(TINY) | {"study": "other", "compressions": {"weight": {"ratio": 0.9}}}
    (folder / "study.yaml").write_text(yaml.safe_dump({"one": copy.deepcopy(TINY), "other": other}, sort_keys=False))
    planned = dict(re.findall(r"^(\w+) +(\d+)$", run("-n", "--quiet", "rules"), re.M))
    assert planned["one_prepare"] == "1" and "other_prepare" not in planned
    assert (planned["one_train"], planned["other_train"], planned["other_compress"]) == ("1", "1", "1")
