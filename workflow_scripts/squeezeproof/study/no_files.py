"""What lies where a job writes a file and is none: a folder, or a link that leads nowhere; standard library only.

Snakemake takes a folder for the file, and says of such a link that another process deleted it.
"""

import os
import stat
from pathlib import PurePath
from typing import TYPE_CHECKING

from squeezeproof.study.outputs import jobs

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# Problems that one message lists.
LISTED = 20


def no_files(study: "Study") -> list[str]:
    """A problem for each folder and each file of the study's jobs in whose place something else lies."""
    paths = {path: None for job in jobs(study) for path in (*job.outputs, job.log, job.benchmark)}
    folders = {str(folder): None for path in paths for folder in reversed(PurePath(path).parents)}
    found = [f"{folder}: {told}" for folder in folders if (told := _of_folder(folder))]
    found = found or [f"{path}: {told}" for path in paths if (told := _problem(path))]
    return [*found[:LISTED], *([f"... and {len(found) - LISTED} more"] if found[LISTED:] else [])]


def _of_folder(path: str) -> str:
    """What is wrong with a place; empty where it holds a folder, or nothing."""
    if os.path.isdir(path) or not os.path.lexists(path):
        return ""
    return _nowhere(path) if not os.path.exists(path) else "is a file, and a folder belongs there; move it away"


def _nowhere(path: str) -> str:
    return f"is a link to {os.readlink(path)}, which is not there; bring that back, or remove the link and run again"


def _problem(path: str) -> str:
    """What is wrong with a place; empty where it holds a file, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return _nowhere(path) if os.path.islink(path) else ""
    if stat.S_ISREG(mode):
        return ""
    what = "a folder" if stat.S_ISDIR(mode) else "no file"
    return f"is {what}, and a file belongs there; move it away and run again"
