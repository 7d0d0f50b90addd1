"""What `--config` says on the command line: it lies over the default study, and jobs are told it as it is checked."""

import json

import pytest

SHOWN = """
include: "Snakefile"


rule show:
    output:
        "shown.json",
    script:
        "show.py"
"""
SHOW = "import json\njson.dump(snakemake.config, open(snakemake.output[0], 'w'))\n"


def test_jobs_are_told_the_config_as_it_is_checked(fresh):
    """Snakemake leaves the numbers and truths of a mapping texts, and "false" is true to Python."""
    (fresh.path / "shown.smk").write_text(SHOWN)
    (fresh.path / "show.py").write_text(SHOW)
    given = ["compute={workers: false, jobs_per_gpu: 2.0}", "allow_factories=timm", "seeds=[0,1]"]
    fresh.run("--snakefile", "shown.smk", "shown.json", "--config", *given)
    told = json.loads((fresh.path / "shown.json").read_text())
    assert told["compute"]["workers"] is False and told["compute"]["jobs_per_gpu"] == 2
    assert told["allow_factories"] == ["timm"] and told["seeds"] == [0, 1]


def test_what_the_command_line_leaves_out_has_its_default_in_jobs(fresh):
    del fresh.config["compute"]
    (fresh.path / "shown.smk").write_text(SHOWN)
    (fresh.path / "show.py").write_text(SHOW)
    fresh.run("--snakefile", "shown.smk", "shown.json")
    told = json.loads((fresh.path / "shown.json").read_text())
    assert told["compute"]["workers"] is True and told["compute"]["jobs_per_gpu"] == 1
    assert told["allow_factories"] == []


def test_a_name_on_the_command_line_is_that_of_the_default_study(fresh):
    assert "results/other/" in fresh.run("-n", "-p", "--config", "study=other", "seeds=[0,1]", "question=Why?")
    assert fresh.planned("--config", "study=other", "seeds=[0,1]")["train"] == 2


def test_a_study_given_by_a_file_stands_alone_whatever_the_command_line_says(fresh):
    (fresh.path / "own.yaml").write_text(json.dumps(fresh.config | {"attacks": {"fgsm": {"eps": 0.1}}}))
    assert fresh.planned("--configfile", "own.yaml", "--config", "study=other")["craft"] == 1


NETWORK = """
from torch import nn


def net(in_channels, num_classes, image_size):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, num_classes))
"""


@pytest.mark.slow
def test_a_job_that_makes_the_plan_again_reads_numbers_of_the_command_line(fresh):
    """A network of the user's is tried before it is trained; the text "0" would be no seed."""
    (fresh.path / "mine.py").write_text(NETWORK)
    fresh.config["architectures"] = {"own": {"kind": "custom", "factory": "mine:net"}}
    fresh.run("results/tiny/support/digits/own.json", "--config", "seeds=[0,1]")
    assert (fresh.results / "support/digits/own.json").exists()
