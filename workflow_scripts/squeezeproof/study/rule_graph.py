"""A hack: the graph of rules in Snakemake's report has a node per rule, and no link that a longer way makes too."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from snakemake.report import rulegraph_spec as original

REPORTER = "snakemake.report.html_reporter"
SPACING = 34


def one_node_a_rule() -> None:
    """Let Snakemake's report draw every rule once.

    It draws a rule again at every depth at which it has a job, and links each with all that it reads, however far: a
    hundred arcs, of which none can be followed (Snakemake 9.27).
    """
    original.rulegraph_spec = _spec  # ty: ignore[invalid-assignment]
    # Where the reporter was loaded before the Snakefile it has the name already.
    if REPORTER in sys.modules:
        sys.modules[REPORTER].rulegraph_spec = _spec  # ty: ignore[missing-attribute]


def _spec(dag: Any) -> tuple[dict[str, Any], int, int]:
    """(nodes and links, xmax, ymax), as Snakemake's function of that name returns them."""
    jobs = [job for level in dag.toposorted() for job in sorted(level, key=lambda job: job.rule.name)]
    rules = list(dict.fromkeys(job.rule.name for job in jobs))
    needs = {rule: set() for rule in rules}
    for job in jobs:
        needs[job.rule.name] |= {other.rule.name for other in dag.dependencies[job]} - {job.rule.name}
    rules = _ordered(rules, needs)
    place, kept = {rule: index for index, rule in enumerate(rules)}, reduced(needs)
    links: list[dict[str, Any]] = [
        {"source": place[need], "target": place[rule], "sourcerule": need, "targetrule": rule, "value": 1}
        for rule in rules
        for need in sorted(kept[rule], key=lambda name: place[name])
    ]
    near = [link["target"] - link["source"] == 1 for link in links]
    nodes = [{"rule": rule, "fx": 10, "fy": SPACING * index} for rule, index in place.items()]
    graph = {
        "nodes": nodes,
        "links": [link for link, direct in zip(links, near, strict=True) if not direct],
        "links_direct": [link for link, direct in zip(links, near, strict=True) if direct],
    }
    return graph, 100, SPACING * max(0, len(rules) - 1)


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


def _ordered(rules: Sequence[str], needs: Mapping[str, set[str]]) -> list[str]:
    """The rules, each below all that it needs and as near to them as can be."""
    done = []
    while len(done) < len(rules):
        ready = [rule for rule in rules if rule not in done and needs[rule] <= set(done)]
        # Of those that may come next the one whose last need was placed last.
        done.append(max(ready, key=lambda rule: max(map(done.index, needs[rule]), default=-1)))
    return done
