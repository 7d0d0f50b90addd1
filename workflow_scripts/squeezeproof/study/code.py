"""A digest of the code a script runs, so that editing a library module reruns exactly the jobs that use it.

Snakemake sees a rule's script and params, not the modules its script imports. A rule that carries
`params: code=code_digest(script)` reruns when the syntax tree of the script or of a module in its import closure
changes. Comments, docstrings, the layout of the text and the annotations of functions and variables are no part of it,
nor is an import that annotations alone need. Annotations in the body of a class are: dataclasses and pydantic read
them. What files record of their making is none either: the elements of sets and mappings that are written by names of
`RECORDS`. Standard library only.
"""

import ast
import gc
import hashlib
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from squeezeproof.factories import module_files
from squeezeproof.study.remembered import Remembered

LIBRARY = Path(__file__).resolve().parents[1]
REMEMBERED = Remembered(Path(__file__))
# They declare what there is; what of it a job uses is given by name.
DECLARATIONS = Path("squeezeproof/entries")
# What it makes is read by pages alone.
RECORDS = "squeezeproof.store.made_with"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTIONS)
IMPORTS = (ast.Import, ast.ImportFrom)
# Functions that import what their first argument names.
IMPORTERS = ("import_module", "__import__")
# Field -> the nodes whose annotation it is.
ANNOTATIONS = {"annotation": (ast.arg,), "returns": FUNCTIONS}


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
    package = path.relative_to(root).parent.parts
    digest, modules = REMEMBERED.get(path.read_bytes(), package, lambda content: _read_tree(content, package, path))
    # Looked up anew: a module that the text names may have come or gone.
    files = {file: None for module in modules for file in _files(module, root)}
    return bytes.fromhex(digest), tuple(files)


def _read_tree(content: bytes, package: tuple[str, ...], path: Path) -> tuple[str, list[str]]:
    """(digest of the syntax tree, dotted names that it may import) of the content of a module."""
    reader = _Reader(package)
    with _without_garbage_collection():
        text = reader.read(ast.parse(content, str(path)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), list(reader.modules)


@contextmanager
def _without_garbage_collection() -> Generator[None]:
    """A syntax tree is so many objects at once that the collector would go through all of Snakemake's several times."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def _files(module: str, root: Path) -> tuple[Path, ...]:
    return tuple(module_files(module, root))


class _Reader:
    """Reads the syntax tree of one module in one go, and passes over what only type checkers and people read.

    Attributes:
        modules: dotted names of what the module may import, after `read`.
    """

    def __init__(self, package: tuple[str, ...]) -> None:
        self.package = package
        self.modules: dict[str, None] = {}
        # Names that stand in annotations, and elsewhere.
        self._annotating: set[str] = set()
        self._used: set[str] = set()
        # Names out of RECORDS.
        self._recording: set[str] = set()
        # (place among the parts, name of the field or "", imports): said at the end, when it is known what uses them.
        self._open: list[tuple[int, str, list[ast.stmt]]] = []

    def read(self, tree: ast.Module) -> str:
        """The tree in words, a line each. Empty fields are left out: other versions of Python have other ones."""
        parts: list[str] = []
        imports = [line for line in tree.body if isinstance(line, ast.ImportFrom) and line.module == RECORDS]
        self._recording = {alias.asname or alias.name for line in imports for alias in line.names}
        self._node(tree, parts)
        unused = self._annotating - self._used
        for place, name, nodes in self._open:
            said: list[str] = []
            for node in nodes:
                self._import(node, unused, said)
            parts[place] = "\n".join([name, *said] if name and said else said)
        return "\n".join(filter(None, parts)) if self._open else "\n".join(parts)

    def _node(self, node: ast.AST, parts: list[str]) -> None:
        if self._recording and isinstance(node, ast.Dict | ast.Set):
            node = self._without_records(node)
        parts.append(type(node).__name__)
        if isinstance(node, ast.Name):
            self._used.add(node.id)
        if isinstance(node, ast.Call):
            self.modules.update(dict.fromkeys(_imported_by_name(node, self.package)))
        for name in node._fields:
            value: Any = getattr(node, name, None)
            if value is None or value == []:
                continue
            if name in ANNOTATIONS and isinstance(node, ANNOTATIONS[name]):
                self._annotation(value)
            elif isinstance(value, ast.AST):
                parts.append(name)
                self._node(value, parts)
            elif isinstance(value, list):
                self._list(node, name, value, parts)
            else:
                parts += (name, repr(value))
        parts.append(")")

    def _without_records(self, node: ast.Dict | ast.Set) -> ast.Dict | ast.Set:
        if isinstance(node, ast.Set):
            return ast.Set([value for value in node.elts if not self._records(value)])
        pairs = zip(node.keys, node.values, strict=True)
        kept = [(key, value) for key, value in pairs if not (self._records(key) or self._records(value))]
        return ast.Dict([key for key, _ in kept], [value for _, value in kept])

    def _records(self, value: ast.expr | None) -> bool:
        return value is not None and any(
            isinstance(node, ast.Name) and node.id in self._recording for node in ast.walk(value)
        )

    def _list(self, node: ast.AST, name: str, values: list[Any], parts: list[str]) -> None:
        """Say a field that is a list; for what became empty, nothing."""
        if isinstance(values[0], ast.stmt):
            values = self._statements(values, isinstance(node, ast.ClassDef))
            if isinstance(node, DOCUMENTED) and values and _is_text(values[0]):
                values = values[1:]
            if all(isinstance(value, IMPORTS) for value in values):
                self._open.append((len(parts), name, values))
                parts.append("")
                return
        parts.append(name)
        for value in values:
            if isinstance(value, IMPORTS):
                self._open.append((len(parts), "", [value]))
                parts.append("")
            elif isinstance(value, ast.AST):
                self._node(value, parts)
            else:
                parts.append(repr(value))

    def _statements(self, statements: list[ast.stmt], of_class: bool) -> list[ast.stmt]:
        """A block without what only type checkers read; in the body of a class, annotations are read by others too."""
        kept: list[ast.stmt] = []
        for line in statements:
            if isinstance(line, ast.If) and isinstance(line.test, ast.Name) and line.test.id == "TYPE_CHECKING":
                self._annotating.add("TYPE_CHECKING")
            elif isinstance(line, ast.AnnAssign) and not of_class:
                self._annotation(line.annotation)
                if line.value is not None:
                    kept.append(ast.Assign(targets=[line.target], value=line.value))
            else:
                kept.append(line)
        return kept

    def _annotation(self, annotation: ast.expr) -> None:
        for node in ast.walk(annotation):
            if isinstance(node, ast.Name):
                self._annotating.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._annotating.update(re.findall(r"\w+", node.value))

    def _import(self, node: ast.stmt, unused: set[str], parts: list[str]) -> None:
        """Say an import without the names that annotations alone need."""
        assert isinstance(node, IMPORTS)
        unused = self._recording if isinstance(node, ast.ImportFrom) and node.module == RECORDS else unused
        node.names = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) not in unused]
        if node.names:
            self.modules.update(dict.fromkeys(_imports(node, self.package)))
            self._node(node, parts)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string, as docstrings are."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _imports(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    """Dotted names of the modules that an import statement in a module of `package` may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    parents = package[: len(package) + 1 - node.level] if node.level else ()
    base = [*parents, *filter(None, [node.module])]
    return [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]


def _imported_by_name(call: ast.Call, package: tuple[str, ...]) -> list[str]:
    """What a call of `importlib.import_module` or `__import__` in a module of `package` loads, where it is written."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if called not in IMPORTERS or not call.args:
        return []
    name = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
    if not isinstance(name, str):
        return []
    dots = len(name) - len(name.lstrip("."))
    return [".".join([*(package[: len(package) + 1 - dots] if dots else ()), name.lstrip(".")])]
