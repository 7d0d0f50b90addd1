"""What lies in a study's folders and is no longer named by a plan; standard library only."""

import errno
import os
import stat
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from squeezeproof.errors import InputError
from squeezeproof.seen_files import seen_path
from squeezeproof.study.outputs import named_paths, prepared_paths
from squeezeproof.study.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squeezeproof.study.plan import Study

PREPARED, RESULTS = "data/prepared", "results"
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
    """[(path, bytes)] of the files under data/prepared of data sets that none of the studies has.

    What `unclear_data` lists is none of them.
    """
    kept, unclear = _named(studies)
    return _stale(PREPARED, lambda path: path in kept or _dataset(path) in unclear, remove)


def unclear_data(studies: "Iterable[Study]") -> tuple[list[tuple[str, int]], list[str]]:
    """([(path, bytes)] of what the results of another study may have been made from, the folders of these results).

    Such a study, as those of `make check`, lies anywhere. Its results tell the names of its data sets; which of the
    prepared ones of such a name it has, its file alone would.
    """
    kept, unclear = _named(studies)
    found = _stale(PREPARED, lambda path: path in kept or _dataset(path) not in unclear, remove=False)
    names = {_dataset(path) for path, _ in found}
    return found, sorted({folder for name in names for folder in unclear[name]})


def _named(studies: "Iterable[Study]") -> tuple[set[str], dict[str, list[str]]]:
    """(the files under data/prepared that the studies name, name of a data set -> folders of results of other studies
    that have one of that name).
    """
    studies = list(studies)
    known = {study.name for study in studies}
    unclear = defaultdict(list)
    for folder in sorted(Path(RESULTS).glob("*")):
        if folder.name not in known:
            # results/{study}/{what}/{data set}/...
            for name in {place.name for what in _folders(folder) for place in _folders(what)}:
                unclear[name].append(str(folder))
    named = {path for study in studies for path in prepared_paths(study)}
    return named | {str(seen_path(path)) for path in named}, dict(unclear)


def _folders(place: Path) -> list[Path]:
    """The folders in a place, none where it is a file; InputError where it cannot be looked into."""
    try:
        return [each for each in place.iterdir() if each.is_dir() or each.is_symlink()]
    except NotADirectoryError:
        return []
    except OSError as error:
        raise InputError(
            f"{place}: what it needs of {PREPARED} is not known ({error.strerror}), so nothing of that is removed; "
            f"make it readable or remove it"
        ) from None


def _dataset(path: str) -> str:
    """The name of the data set of a file under data/prepared, whose folder is that name, a dot and a digest."""
    return Path(path).relative_to(PREPARED).parts[0].rpartition(".")[0]


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
