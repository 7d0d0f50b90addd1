"""What lies in a study's folders and is no longer named by a plan; standard library only."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from squeezeproof.errors import InputError
from squeezeproof.study.outputs import named_paths, prepared_paths
from squeezeproof.study.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squeezeproof.study.plan import Study

PREPARED = "data/prepared"
# What `snakemake --report` is told to write beside the pages.
REPORTS = ("report.html", "report.zip")


def stale_results(study: "Study", remove: bool = False) -> list[tuple[str, int]]:
    """[(path, bytes)] of the files under the study's results that its plan does not name.

    What belongs to a named file stays too: the state of a killed training or sweep, and what a job keeps for
    its next run. So does a Snakemake report.
    """
    results = Paths(study.name).results
    kept = {kept for path in named_paths(study) for kept in (path, f"{path}.resume", f"{path}.kept")}
    kept |= {f"{results}/{name}" for name in REPORTS}
    return _stale(results, lambda path: path in kept, remove)


def stale_data(studies: "Iterable[Study]", remove: bool = False) -> list[tuple[str, int]]:
    """[(path, bytes)] of the files under data/prepared of data sets that none of the studies has."""
    kept = {path for study in studies for path in prepared_paths(study)}
    return _stale(PREPARED, lambda path: path in kept, remove)


def _stale(folder: str, is_kept: Callable[[str], bool], remove: bool) -> list[tuple[str, int]]:
    """The files below a folder that are not kept; where `remove`, they and the folders that they leave empty go.

    A link counts as a file: what it leads to is neither read nor touched. Raises InputError where the folder itself
    is a link, and where something cannot be read or removed.
    """
    if Path(folder).is_symlink():
        raise InputError(f"{folder}: is a link; nothing is listed or removed through it")
    if not Path(folder).exists():
        return []
    found = []
    # Bottom-up, by open folders: a folder that is replaced by a link meanwhile leads nowhere else.
    for where, folders, files, place in os.fwalk(folder, topdown=False, onerror=_refuse):
        for name in sorted([*folders, *files]):
            status = os.stat(name, dir_fd=place, follow_symlinks=False)
            path = os.path.join(where, name)
            if stat.S_ISDIR(status.st_mode):
                if remove:
                    _remove(os.rmdir, name, place, path)
            elif not is_kept(path):
                if remove:
                    _remove(os.unlink, name, place, path)
                found.append((path, status.st_size))
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror}); make it readable and run again")


def _remove(remove: Callable[..., None], name: str, place: int, path: str) -> None:
    """Remove a file, or a folder that is empty."""
    try:
        remove(name, dir_fd=place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise InputError(f"{path}: cannot be removed ({error.strerror}); make it writable and run again") from None
