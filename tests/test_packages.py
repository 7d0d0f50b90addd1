"""The layers of the library: which package may import from which, as docs/architecture.md has them."""

import ast
import re
from graphlib import TopologicalSorter
from itertools import takewhile

from conftest import ROOT

from squeezeproof.study.code import LIBRARY, _Reader

MODULES = {
    ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts): path
    for path in LIBRARY.rglob("*.py")
    if path.name != "__init__.py"
}


def layers():
    """The packages from the lowest to the highest; the table's last row has several, of which none is lower."""
    text = (ROOT / "docs/architecture.md").read_text().partition("## Layers")[2]
    rows = takewhile(lambda line: line.startswith("|"), text[text.index("| package") :].splitlines()[2:])
    return [re.findall(r"`(\w+)`", row.split("|")[1]) for row in rows]


def imported(path):
    """The modules of the library that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & MODULES.keys()


def imported_by_code(path):
    """Those of them that not only annotations need."""
    reader = _Reader(())
    reader.read(ast.parse(path.read_text()))
    return reader.modules.keys() & MODULES.keys()


IMPORTS = {module: imported(path) for module, path in MODULES.items()}
PACKAGES = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}


def package(module):
    """The package of a module; None for those that lie beside the packages."""
    name = module.split(".")[1]
    return name if name in PACKAGES else None


def test_every_package_is_in_one_layer():
    named = [name for layer in layers() for name in layer]
    assert sorted(named) == sorted(PACKAGES)


def test_no_import_goes_up():
    level = {name: index for index, layer in enumerate(layers(), start=1) for name in layer} | {None: 0}
    up = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if level[package(other)] > level[package(module)]
    ]
    assert up == []


def test_no_import_goes_round():
    running = {module: imported_by_code(path) for module, path in MODULES.items()}
    list(TopologicalSorter(running).static_order())
    graph = {}
    for module, others in IMPORTS.items():
        if (own := package(module)) is not None:
            graph.setdefault(own, set()).update({package(other) for other in others} - {own, None})
    list(TopologicalSorter(graph).static_order())


def test_imports_are_found():
    assert {"squeezeproof.store.tensors", "squeezeproof.errors"} <= IMPORTS["squeezeproof.store.datasets"]
