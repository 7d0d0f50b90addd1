"""The graph of rules in Snakemake's report: every rule once, and only the links that tell something."""

import json
from types import SimpleNamespace

import pytest
from snakemake.report import html_reporter
from snakemake.report import rulegraph_spec as original
from snakemake.report.html_reporter import data

from squeezeproof.study import rule_graph


class Dag:
    """Jobs of rules that need others: {job: [jobs]}, where a job is named `rule` or `rule.number`."""

    def __init__(self, needs):
        self.jobs = {name: Job(name) for name in needs}
        self.dependencies = {
            self.jobs[name]: {self.jobs[other]: set() for other in found} for name, found in needs.items()
        }

    def toposorted(self):
        done = []
        while len(done) < len(self.jobs):
            level = [job for job in self.jobs.values() if job not in done and set(self.dependencies[job]) <= set(done)]
            done += level
            yield level


class Job:
    def __init__(self, name):
        rule = name.partition(".")[0]
        self.rule = SimpleNamespace(name=rule, snakefile=FILES[rule])


FILES = {
    "prepare": "rules/data.smk", "train": "rules/train.smk", "compress": "rules/compress.smk",
    "craft": "rules/attack.smk", "predict": "rules/evaluate.smk", "costs": "rules/tables.smk", "all": "Snakefile",
}  # fmt: skip
NEEDS = {
    "prepare": [], "train": ["prepare"], "compress": ["prepare", "train"], "craft.0": ["prepare", "train"],
    "craft.1": ["prepare", "compress"], "predict": ["prepare", "compress", "craft.1", "craft.0"], "costs": ["craft.0"],
    "all": ["prepare", "train", "compress", "craft.0", "craft.1", "predict", "costs"],
}  # fmt: skip


def test_snakemake_still_has_the_function_that_is_replaced():
    source = html_reporter.__loader__.get_source(html_reporter.__name__)
    assert source.count("from snakemake.report.rulegraph_spec import rulegraph_spec") == 1
    assert source.count("rulegraph_spec(self.dag)") == source.count("data.render_rulegraph(") == 1


@pytest.fixture
def graph(monkeypatch):
    monkeypatch.setattr(original, "rulegraph_spec", original.rulegraph_spec)
    monkeypatch.setattr(html_reporter, "rulegraph_spec", html_reporter.rulegraph_spec)
    monkeypatch.setattr(data, "render_rulegraph", data.render_rulegraph)
    rule_graph.one_node_a_rule()
    assert html_reporter.rulegraph_spec is original.rulegraph_spec
    found, _, height = html_reporter.rulegraph_spec(Dag(NEEDS))
    assert height == max(node["fy"] for node in found["nodes"])
    return found


def test_every_rule_has_one_node_below_all_that_it_needs(graph):
    names = [node["rule"] for node in graph["nodes"]]
    assert names == ["prepare", "train", "compress", "craft", "costs", "predict", "all"]
    for link in graph["links"] + graph["links_direct"]:
        assert link["source"] < link["target"]
        assert (names[link["source"]], names[link["target"]]) == (link["sourcerule"], link["targetrule"])


def test_every_rule_has_the_colour_of_its_stage_which_a_legend_names(graph):
    stages = {node["rule"]: node["stage"] for node in graph["nodes"]}
    assert stages["train"] == stages["compress"] == "models" and stages["prepare"] == "data"
    spec = json.loads(html_reporter.data.render_rulegraph(graph["nodes"], graph["links"], graph["links_direct"]))
    [nodes] = [mark for mark in spec["marks"] if mark.get("name") == rule_graph.NODES]
    assert nodes["encode"]["enter"]["fill"] == {"scale": "stage", "field": "stage"}
    [scale] = [scale for scale in spec["scales"] if scale["name"] == "stage"]
    assert scale["domain"] == ["data", "models", "attacks", "tables", "evaluate", "all"]
    assert [legend["fill"] for legend in spec["legends"]] == ["stage"]


def test_rules_of_a_stage_stand_together_where_their_needs_allow():
    needs = {"prepare": set(), "train": {"prepare"}, "audit": {"prepare"}, "compress": {"train"}, "sets": {"compress"}}
    stages = {"prepare": "data", "train": "models", "compress": "models", "audit": "audit", "sets": "audit"}
    assert rule_graph._ordered(list(needs), needs, stages) == ["prepare", "train", "compress", "sets", "audit"]


def test_no_link_is_left_that_a_longer_way_makes(graph):
    links = {(link["sourcerule"], link["targetrule"]) for link in graph["links"] + graph["links_direct"]}
    assert links == {
        ("prepare", "train"), ("train", "compress"), ("compress", "craft"), ("craft", "predict"), ("craft", "costs"),
        ("predict", "all"), ("costs", "all"),
    }  # fmt: skip
    assert all(link["target"] - link["source"] == 1 for link in graph["links_direct"])
