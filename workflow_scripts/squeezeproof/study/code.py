"""A digest of the code a script runs, so that editing a library module reruns exactly the jobs that import it.

Snakemake sees a rule's script and params, not the modules its script imports. A rule that carries
`params: code=code_digest(script)` reruns when the text of the script or of a module in its import closure
changes, and not when a file is merely touched. Standard library only.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]


def code_digest(script, *modules, root=LIBRARY.parent):
    """Digest of a script, of extra dotted modules, and of every module under `root` they import, directly or not.

    Imports inside functions count; a module that is not found under `root` (the standard library, torch) does not.
    """
    return _digest([root / script, *(path for module in modules for path in _files(module, root))], root)


def module_digest(module, root):
    """Digest of one importable module under `root` and its imports there; of nothing if it is installed elsewhere."""
    return _digest(_files(module, Path(root)), Path(root))


def _digest(paths, root):
    digest = hashlib.sha256()
    for path in sorted(closure(paths, root)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def closure(paths, root):
    """The given files and every module file under `root` that they import, transitively."""
    seen, pending = set(), list(paths)
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            for module in _imports(path, root):
                pending.extend(_files(module, root))
    return seen


@cache
def _imports(path, root):
    package = path.relative_to(root).parent.parts
    modules = []
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else ()
            base = [*parents, *filter(None, [node.module])]
            modules += [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
    return modules


def _files(module, root):
    """The files that importing a dotted module under `root` runs: its packages' __init__ and itself."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        *packages, name = parts[:depth]
        for candidate in (root.joinpath(*packages, name, "__init__.py"), root.joinpath(*packages, f"{name}.py")):
            if candidate.is_file():
                yield candidate
