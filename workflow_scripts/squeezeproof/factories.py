"""Which functions may be called to build a network; a config or a checkpoint names one, and may be a stranger's.

A factory is code that runs with the rights of whoever starts the workflow. Those in modules under the working directory
are the user's own; packages installed elsewhere are called where the study says so (`allow_factories`), and Python's
own modules never. Standard library only, and nothing is imported to decide.
"""

import sys
from collections.abc import Collection, Iterable, Iterator
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
    return (
        f"there is no module {module} under the working directory ({root}); put {module.replace('.', '/')}.py there, "
        f"or write allow_factories: [{package}] to call an installed package"
    )


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
    inside = place.is_relative_to(Path(root or Path.cwd()).resolve())
    # A virtual environment may lie in the working directory.
    return None if inside and not place.is_relative_to(Path(sys.prefix).resolve()) else str(place)


def module_files(module: str, root: Path) -> Iterator[Path]:
    """The files that importing a dotted module under `root` runs: its packages' __init__ and itself."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        *packages, name = parts[:depth]
        for candidate in (root.joinpath(*packages, name, "__init__.py"), root.joinpath(*packages, f"{name}.py")):
            if candidate.is_file():
                yield candidate
