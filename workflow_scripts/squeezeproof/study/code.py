"""A digest of the code a script runs, so that editing a library module reruns exactly the jobs that import it.

Snakemake sees a rule's script and params, not the modules its script imports. A rule that carries
`params: code=code_digest(script)` reruns when the text of the script or of a module in its import closure
changes, and not when a file is merely touched. Standard library only.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

from squeezeproof.factories import module_files

LIBRARY = Path(__file__).resolve().parents[1]


def code_digest(script, *modules, root=LIBRARY.parent):
    """Digest of a script, of extra dotted modules, and of every module under `root` they import, directly or not.

    Imports inside functions count; a module that is not found under `root` (the standard library, torch) does not.
    """
    return _digest([root / script, *(path for module in modules for path in module_files(module, root))], root)


def module_digest(module, root):
    """Digest of one importable module under `root` and its imports there; of nothing if it is installed elsewhere."""
    return _digest(module_files(module, Path(root)), Path(root))


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
            pending.extend(_imported(path, root))
    return seen


@cache
def _imported(path, root):
    """The files that a module file imports; cached, for nearly every rule asks for nearly every module."""
    return tuple({file: None for module in _imports(path, root) for file in module_files(module, root)})


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
