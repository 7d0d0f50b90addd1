"""What a run needs of the shell and the folders that it is started in, checked before anything runs."""

import locale
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from squeezeproof.errors import InputError

# Folders in which Snakemake notes what every run does, a dry one too.
KEPT = ("locks", "incomplete", "metadata", "log", "scripts")
# Folders of the working directory that a study writes into.
WRITTEN = ("results", "data", "data/prepared")
LIBRARY = Path(__file__).resolve().parents[2]


def check_surroundings(
    workflow: str | Path,
    encoding: str | None = None,
    folder: str | Path | None = None,
    searched: Iterable[str] | None = None,
    warnings: Iterable[str] | None = None,
) -> None:
    """Raise InputError with every problem at once.

    Args:
        workflow: the folder of the rules.
        encoding: in which Python reads and writes text here; that of the locale by default.
        folder: the working directory; the current one by default.
        searched: where Python looks for modules before jobs look beside their scripts; `sys.path` by default.
        warnings: what Python is told to do with them, `sys.warnoptions` by default.
    """
    encoding, problems = encoding or locale.getpreferredencoding(False), []
    if encoding.lower().replace("-", "").replace("_", "") != "utf8":
        problems.append(
            f"the locale: text is written as {encoding} here, and tables would differ between machines; run "
            "`export PYTHONUTF8=1` first"
        )
    if any(map(_makes_errors, sys.warnoptions if warnings is None else warnings)):
        problems.append(
            "PYTHONWARNINGS: makes errors of warnings, which libraries give that jobs need; run "
            "`unset PYTHONWARNINGS` first"
        )
    for path in dict.fromkeys(map(str, (workflow, folder or Path.cwd()))):
        if "{" in path or "}" in path:
            problems.append(f"the folder {path}: Snakemake takes braces in it for a wildcard; rename it")
    for place in dict.fromkeys(map(Path, sys.path if searched is None else searched)):
        if (place / "squeezeproof" / "__init__.py").is_file() and place.resolve() != LIBRARY:
            problems.append(
                f"{place}: holds another squeezeproof, whose code jobs would run in the place of this one's; take that "
                "folder out of PYTHONPATH, or uninstall it"
            )
    for place in (Path(folder or Path.cwd()) / name for name in WRITTEN):
        if os.path.lexists(place) and not place.is_dir():
            what = "a link to what is not there" if place.is_symlink() else "a file"
            problems.append(f"{place}: is {what}, where a study writes a folder; move it, or make it one")
    kept = Path(folder or Path.cwd()) / ".snakemake"
    problems += not_writable([kept, *(kept / name for name in KEPT)])
    if problems:
        raise InputError("Nothing was run:\n" + "\n".join(f"  - {problem}" for problem in problems))


def not_writable(folders: Iterable[str | Path]) -> list[str]:
    """A problem for each folder, or for the nearest one above it that exists, in which this user may make no files.

    One folder stands for all below it.
    """
    found = {}
    each = ((folder, *folder.absolute().parents) for folder in map(Path, folders))
    for place in sorted({next(place for place in above if place.exists()) for above in each}):
        if not found.keys().isdisjoint(place.parents):
            continue
        if os.statvfs(place).f_flag & os.ST_RDONLY:
            found[place] = f"the folder {place}: lies on a read-only file system; mount it so that it can be written to"
        elif not os.access(place, os.W_OK | os.X_OK):
            found[place] = (
                f"the folder {place}: belongs to {owner_of(place)}, and you may write no files there; ask for the "
                "right to, or run in a copy that is yours"
            )
    return list(found.values())


def owner_of(place: Path) -> str:
    """The name of the user whom a file or folder belongs to."""
    try:
        return place.owner()
    except (KeyError, OSError):
        return "somebody else"


def _makes_errors(option: str) -> bool:
    """Whether an option of PYTHONWARNINGS has the action `error`, of which Python takes any beginning."""
    action = option.partition(":")[0].strip()
    return bool(action) and "error".startswith(action)
