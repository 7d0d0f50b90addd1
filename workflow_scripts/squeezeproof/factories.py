"""Which functions may be called to build a network; a config or a checkpoint names one, and may be a stranger's.

A factory is code that runs with the rights of whoever starts the workflow. Those in modules under the working directory
are the user's own; packages installed elsewhere are called where the study says so (`allow_factories`), and Python's
own modules never. Standard library only, and nothing is imported to decide.
"""

import sys
from collections.abc import Collection, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

# Top-level packages outside the working directory whose factories this process may call.
_allowed = set()


def allow(names: str | Iterable[str]) -> None:
    """Let factories of these installed packages, one name or a list of them, be called by this process."""
    _allowed.update([names] if isinstance(names, str) else names)


def refusal(factory: str, allowed: Collection[str] = (), root: str | Path | None = None) -> str | None:
    """Why the factory `package.module:function` may not be called, or None.

    Args:
        allowed: names of packages beside those of `allow`.
        root: the working directory (default: the current one).
    """
    root, module = Path(root or Path.cwd()), factory.partition(":")[0]
    package = module.partition(".")[0]
    if package in sys.stdlib_module_names:
        return f"{package} is part of Python itself and makes no networks; name a function of your own"
    if package in _allowed or package in allowed or any(module_files(module, root)):
        return None
    if _is_installed(package, root):
        return (
            f"{module} is of an installed package and does not lie under the working directory ({root}); name a "
            f"function of your own there that calls it, or write allow_factories: [{package}] into the study"
        )
    return (
        f"there is no module {module} under the working directory ({root}); put {module.replace('.', '/')}.py there, "
        f"or name it as it lies there: {_example(module, root)}"
    )


def _is_installed(package: str, root: Path) -> bool:
    """Whether Python would find a package outside of the working directory; nothing is imported."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return False
    return found is not None and found.origin is not None and not _is_own(Path(found.origin).resolve(), root)


def _is_own(place: Path, root: Path) -> bool:
    """Whether a file lies in the working directory; a virtual environment in it is no part of it."""
    return place.is_relative_to(root.resolve()) and not place.is_relative_to(Path(sys.prefix).resolve())


def _example(module: str, root: Path) -> str:
    """A dotted name of a file of the module's last name below the working directory, or of one that might be there."""
    name = module.rpartition(".")[2]
    found = sorted(path for path in root.glob(f"*/{name}.py") if path.parent.name.isidentifier())
    return f"{found[0].parent.name}.{name}:function" if found else f"folder.{name}:function for folder/{name}.py"


def find_own_modules() -> None:
    """Let this process import the modules of the working directory, from where Snakemake and its jobs need not do so.

    They come last: no module of theirs hides one of Python's.
    """
    if (place := str(Path.cwd())) not in sys.path:
        sys.path.append(place)


def stray(module: ModuleType, allowed: Collection[str] = (), root: str | Path | None = None) -> str | None:
    """Where an imported module lies, if that is neither the working directory nor an allowed package's, else None."""
    package = module.__name__.partition(".")[0]
    if package in _allowed or package in allowed:
        return None
    file = getattr(module, "__file__", None)
    if not file:
        return "a module without a file"
    place = Path(file).resolve()
    return None if _is_own(place, Path(root or Path.cwd())) else str(place)


def module_files(module: str, root: Path) -> Iterator[Path]:
    """The files that importing a dotted module under `root` runs: its packages' __init__ and itself."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        *packages, name = parts[:depth]
        for candidate in (root.joinpath(*packages, name, "__init__.py"), root.joinpath(*packages, f"{name}.py")):
            if candidate.is_file():
                yield candidate
