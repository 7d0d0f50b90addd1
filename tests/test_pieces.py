"""A study that is planned in pieces."""

import re

from conftest import Workspace


def jobs_of(workspace, *arguments):
    """(rule, first output) of every job that a dry run shows; messages hide the files of jobs, so they go."""
    for path in workspace.path.glob("rules/*.smk"):
        path.write_text(re.sub(r"^ +message:\n(?: +f?\".*\n)+", "", path.read_text(), flags=re.M))
    output = workspace.run("-n", "write_audit", *arguments)
    return set(re.findall(r"^(?:local)?rule (\w+):\n(?:    input: .*\n)?    output: ([^,\n]+)", output, re.M))


def test_pieces_are_parts_of_the_plan_and_the_last_waits_for_the_others(fresh: Workspace):
    whole = jobs_of(fresh)
    first, second = (jobs_of(fresh, "--batch", f"write_audit={piece}/3") for piece in (1, 2))
    assert len(whole) > 10 and max(len(first), len(second)) < len(whole)
    assert first != second and first | second < whole
    assert "write_audit" in {rule for rule, _ in whole - first - second}
    refused = fresh.run("-n", "write_audit", "--batch", "write_audit=3/3", ok=False)
    assert "not all previous batches have been completed" in refused
