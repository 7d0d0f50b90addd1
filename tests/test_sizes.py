"""Files and functions stay short enough to be read in one sitting; what is longer has a reason, and grows no more."""

import ast

import pytest
from conftest import ROOT

LINES, FUNCTION_LINES = 300, 60
# File -> (its lines at most, why they stay together).
LONGER = {
    "rules/common.smk": (346, "the names that every file of rules uses"),
    "benchmarks/attacks.py": (340, "a list of cases"),
    "benchmarks/peers.py": (330, "one adapter for each library"),
}
FILES = {
    path.relative_to(ROOT).as_posix(): path
    for pattern in ("workflow_scripts/**/*.py", "rules/*.smk", "benchmarks/*.py", "Snakefile")
    for path in ROOT.glob(pattern)
}


def function_lines(path):
    """Name of each function of a file -> its lines without its docstring."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            found[node.name] = max(lines, found.get(node.name, 0))
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_short_or_has_a_reason(name):
    lines = len(FILES[name].read_text().splitlines())
    assert lines <= LONGER.get(name, (LINES, ""))[0], f"{lines} lines: split it where a reader gains, or say why not"


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".py")])
def test_a_function_is_short(name):
    long = {function: lines for function, lines in function_lines(FILES[name]).items() if lines > FUNCTION_LINES}
    assert long == {}, "split them"


def test_no_reason_outlives_what_it_is_for():
    short = [name for name in LONGER if name not in FILES or len(FILES[name].read_text().splitlines()) <= LINES]
    assert short == []
