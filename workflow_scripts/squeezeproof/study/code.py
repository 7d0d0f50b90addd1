"""A digest of the code a script runs, so that editing a library module reruns exactly the jobs that use it.

Snakemake sees a rule's script and params, not the modules its script imports. A rule that carries
`params: code=code_digest(script)` reruns when the syntax tree of the script or of a module in its import closure
changes. Comments, docstrings, the layout of the text and the annotations of functions and variables are no part of it,
nor is an import that annotations alone need. Annotations in the body of a class are: dataclasses and pydantic read
them. Standard library only.
"""

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from squeezeproof.factories import module_files

LIBRARY = Path(__file__).resolve().parents[1]
# They declare what there is; what of it a job uses is given by name.
DECLARATIONS = Path("squeezeproof/entries")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def code_digest(script: str, *modules: str, root: Path = LIBRARY.parent) -> str:
    """Digest of a script, of extra dotted modules, and of every module under `root` they import, directly or not.

    Imports inside functions count; a module that is not found under `root` (the standard library, torch) does not.
    Files are read once in a process.
    """
    return _digest([root / script, *(path for module in modules for path in module_files(module, root))], root)


@cache
def module_digest(module: str, root: str | Path) -> str:
    """Digest of one importable module under `root` and its imports there; of nothing if it is installed elsewhere."""
    return _digest(module_files(module, Path(root)), Path(root))


def _digest(paths: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(closure(paths, root)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + _read(path, root)[0])
    return digest.hexdigest()[:16]


def closure(paths: Iterable[Path], root: Path) -> set[Path]:
    """The given files and every module file under `root` that they import, transitively.

    What all entries share of their declarations is passed over.
    """
    seen, pending = set(), list(paths)
    while pending:
        path = pending.pop()
        if path not in seen and path.relative_to(root).parent != DECLARATIONS:
            seen.add(path)
            pending.extend(_read(path, root)[1])
    return seen


@cache
def _read(path: Path, root: Path) -> tuple[bytes, tuple[Path, ...]]:
    """(digest of the syntax tree, files that it imports) of a module file; nearly every rule asks for nearly each."""
    tree, parts, modules = _without_annotations(ast.parse(path.read_bytes(), str(path))), [], {}
    _walk(tree, parts, modules, path.relative_to(root).parent.parts)
    files = {file: None for module in modules for file in module_files(module, root)}
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).digest(), tuple(files)


def _without_annotations(tree: ast.Module) -> ast.AST:
    """The tree of a module without what only type checkers read."""
    bare = _Bare()
    tree = bare.visit(tree)
    unused = bare.annotating - {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return _Imports(unused).visit(tree) if unused else tree


class _Bare(ast.NodeTransformer):
    """Drops annotations; keeps the names that stood in them."""

    def __init__(self) -> None:
        self.annotating = set()

    def _drop(self, annotation: ast.expr | None) -> None:
        for node in ast.walk(annotation) if annotation is not None else ():
            if isinstance(node, ast.Name):
                self.annotating.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.annotating.update(re.findall(r"\w+", node.value))

    def visit_arg(self, node: ast.arg) -> ast.arg:
        self._drop(node.annotation)
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._drop(node.returns)
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        self._drop(node.annotation)
        self.generic_visit(node)
        return None if node.value is None else ast.Assign(targets=[node.target], value=node.value)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        body = [line if isinstance(line, ast.AnnAssign) else self.visit(line) for line in node.body]
        node.body = [line for line in body if line is not None]
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            return self.generic_visit(node)
        self.annotating.add("TYPE_CHECKING")
        return None


class _Imports(ast.NodeTransformer):
    """Drops imports of the given names."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST | None:
        node.names = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) not in self.names]
        return node if node.names else None

    visit_ImportFrom = visit_Import


def _walk(node: ast.AST, parts: list[str], modules: dict[str, None], package: tuple[str, ...]) -> None:
    """Append what a node of the tree is to `parts`, and to `modules` what it imports into a module of `package`.

    Empty fields are left out: other versions of Python have other ones.
    """
    parts.append(type(node).__name__)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        modules.update(dict.fromkeys(_imports(node, package)))
    for name in node._fields:
        value: Any = getattr(node, name, None)
        if name == "body" and isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        if value is None or value == []:
            continue
        parts.append(name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                _walk(item, parts, modules, package)
            else:
                parts.append(repr(item))
    parts.append(")")


def _imports(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    """Dotted names of the modules that an import statement in a module of `package` may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    parents = package[: len(package) + 1 - node.level] if node.level else ()
    base = [*parents, *filter(None, [node.module])]
    return [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
