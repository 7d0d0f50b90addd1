"""What lies where a job writes a file and is none: a folder, or a link that leads nowhere; standard library only.

Snakemake takes a folder for the file, and says of such a link that another process deleted it.
"""

import os
import stat
from typing import TYPE_CHECKING

from squeezeproof.study.outputs import jobs

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# Problems that one message lists.
LISTED = 20


def no_files(study: "Study") -> list[str]:
    """A problem for each file of the study's jobs in whose place something else lies."""
    paths = {path: None for job in jobs(study) for path in (*job.outputs, job.log, job.benchmark)}
    found = [f"{path}: {told}" for path in paths if (told := _problem(path))]
    return [*found[:LISTED], *([f"... and {len(found) - LISTED} more"] if found[LISTED:] else [])]


def _problem(path: str) -> str:
    """What is wrong with a place; empty where it holds a file, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        if not os.path.islink(path):
            return ""
        return (
            f"is a link to {os.readlink(path)}, which is not there; bring that back, or remove the link and run again"
        )
    if stat.S_ISREG(mode):
        return ""
    what = "a folder" if stat.S_ISDIR(mode) else "no file"
    return f"is {what}, and a file belongs there; move it away and run again"
