"""A hack: the graph of rules in Snakemake's report has a node per rule, in the colour of its stage, and no link that a
longer way makes too.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake.report import rulegraph_spec as original
from snakemake.report.html_reporter import data

REPORTER = "snakemake.report.html_reporter"
SPACING = 34
# Snakemake's name for the marks of rules.
NODES = "nodes"
# File of rules -> its stage, where that has several files; the others are one each.
STAGES = {"train": "models", "compress": "models", "ensemble": "models", "attack": "attacks", "sweep": "attacks",
          "efficiency": "deployment", "explorer": "pages", "report": "pages", "Snakefile": "all"}  # fmt: skip

_render = data.render_rulegraph


def one_node_a_rule() -> None:
    """Let Snakemake's report draw every rule once.

    It draws a rule again at every depth at which it has a job, and links each with all that it reads, however far: a
    hundred arcs, of which none can be followed (Snakemake 9.27).
    """
    original.rulegraph_spec = _spec  # ty: ignore[invalid-assignment]
    data.render_rulegraph = _in_stages  # ty: ignore[invalid-assignment]
    # Where the reporter was loaded before the Snakefile it has the name already.
    if REPORTER in sys.modules:
        sys.modules[REPORTER].rulegraph_spec = _spec  # ty: ignore[missing-attribute]


def _spec(dag: Any) -> tuple[dict[str, Any], int, int]:
    """(nodes and links, xmax, ymax), as Snakemake's function of that name returns them."""
    stages = {}
    jobs = [job for level in dag.toposorted() for job in sorted(level, key=lambda job: job.rule.name)]
    rules = list(dict.fromkeys(job.rule.name for job in jobs))
    needs = {rule: set() for rule in rules}
    for job in jobs:
        file = Path(str(job.rule.snakefile)).stem
        stages[job.rule.name] = STAGES.get(file, file)
        needs[job.rule.name] |= {other.rule.name for other in dag.dependencies[job]} - {job.rule.name}
    rules = _ordered(rules, needs, stages)
    place, kept = {rule: index for index, rule in enumerate(rules)}, reduced(needs)
    links: list[dict[str, Any]] = [
        {"source": place[need], "target": place[rule], "sourcerule": need, "targetrule": rule, "value": 1}
        for rule in rules
        for need in sorted(kept[rule], key=lambda name: place[name])
    ]
    near = [link["target"] - link["source"] == 1 for link in links]
    nodes = [{"rule": rule, "stage": stages[rule], "fx": 10, "fy": SPACING * index} for rule, index in place.items()]
    graph = {
        "nodes": nodes,
        "links": [link for link, direct in zip(links, near, strict=True) if not direct],
        "links_direct": [link for link, direct in zip(links, near, strict=True) if direct],
    }
    return graph, 100, SPACING * max(0, len(rules) - 1)


def _in_stages(nodes: Any, links: Any, links_direct: Any) -> str:
    """The graph as Vega reads it, with a colour for each stage, which a legend above it names."""
    spec = json.loads(_render(nodes, links, links_direct))
    [drawn] = [mark for mark in spec["marks"] if mark.get("name") == NODES]
    drawn["encode"]["enter"]["fill"] = {"scale": "stage", "field": "stage"}
    domain = list(dict.fromkeys(node["stage"] for node in nodes))
    spec["scales"].append({"name": "stage", "type": "ordinal", "domain": domain, "range": {"scheme": "tableau10"}})
    spec["legends"] = [{"fill": "stage", "orient": "top", "columns": 5, "offset": SPACING}]
    return json.dumps(spec)


def reduced(needs: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Rule -> the rules that it needs and that no other of them needs in turn.

    Args:
        needs: rule -> the rules that it reads files of; without a cycle.
    """
    behind: dict[str, set[str]] = {}

    def ancestors(rule: str) -> set[str]:
        if rule not in behind:
            behind[rule] = set(needs[rule]).union(*map(ancestors, needs[rule]))
        return behind[rule]

    return {rule: {need for need in found if not any(need in ancestors(other) for other in found)}
            for rule, found in needs.items()}  # fmt: skip


def _ordered(rules: Sequence[str], needs: Mapping[str, set[str]], stages: Mapping[str, str]) -> list[str]:
    """The rules, each below all that it needs, beside those of its stage where it can be, and near to its needs."""
    done = []
    while len(done) < len(rules):
        ready = [rule for rule in rules if rule not in done and needs[rule] <= set(done)]
        stage = stages[done[-1]] if done else None
        # Of those that may come next one of the same stage, of these the one whose last need was placed last.
        last = {rule: max(map(done.index, needs[rule]), default=-1) for rule in ready}
        done.append(max(ready, key=lambda rule: (stages[rule] == stage, last[rule])))
    return done
