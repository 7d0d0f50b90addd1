"""Tools whose reader has gone, as behind `| head -1`, end without a word."""

import ast
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from readers import while_read

TOOLS = [
    path
    for path in sorted((ROOT / "workflow_scripts/tools").glob("*.py"))
    if "__main__" in path.read_text() and re.search(r"\bprint\w*\(", path.read_text())
]
# Prints, and ends as a tool may.
TOOL = """
import sys
sys.path[:0] = [{tools!r}]
from readers import while_read
with while_read({status}):
    print("a line" * {length})
    {end}
"""


def unread(code, *arguments):
    """(exit status, what is said) of Python code whose standard output nobody reads."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, *code, *arguments]
    # What is printed is written where a buffer is full, and at the end.
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, cwd=ROOT, env=buffered, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("length", "status", "end", "ended"),
    [
        (1, "0", "", (0, "")),
        (1, "", "", (141, "")),
        (1, "0", "sys.exit(0)", (0, "")),
        (1, "0", "sys.exit('no study')", (1, "no study\n")),
        # What is longer than a buffer ends the tool where it prints.
        (100_000, "0", "sys.exit('no study')", (0, "")),
        (100_000, "", "", (141, "")),
    ],
)
def test_nothing_is_said_where_nobody_reads(length, status, end, ended):
    tools = str(ROOT / "workflow_scripts/tools")
    assert unread(["-c", TOOL.format(tools=tools, status=status, end=end, length=length)]) == ended


def test_a_plan_that_nobody_reads_ends_well():
    assert unread(["workflow_scripts/tools/show_plan.py", "config.yaml"]) == (0, "")


def test_without_a_standard_output_a_tool_ends_as_it_does(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with while_read():
        pass


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.name)
def test_every_tool_that_prints_is_one_of_them(path):
    tree = ast.parse(path.read_text())
    starts = [node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
    assert all("with while_read(" in ast.unparse(node) for node in starts)
