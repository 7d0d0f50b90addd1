"""The commit of the workflow that made a result. Jobs write it into their logs, and no other file depends on it."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# By which the jobs of a run learn what its first one found out.
VARIABLE = "SQUEEZEPROOF_COMMIT"
TOLD = re.compile(r"^\S+ commit: (.+)$", re.M)
NOT_RECORDED = "not recorded"


def commit(root: str | Path = ROOT) -> str:
    """The commit of a folder, and whether files differ from it."""
    try:
        name = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "not in a git repository"
    return name + (", with uncommitted changes" if changed else "")


def _git(root: str | Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@cache
def tell_jobs() -> None:
    """Let every job that this process starts from now on tell the commit of now; one of a cluster, too, where the
    scheduler hands on the environment of whoever submits it, as Slurm does.
    """
    os.environ[VARIABLE] = commit()


def own() -> str:
    """That of this job: what the process that started it told, or what is found where nobody did."""
    return os.environ.get(VARIABLE) or commit()


def recorded(logs: Iterable[str | Path]) -> Counter[str]:
    """Commit -> number of the jobs whose logs tell it."""
    found: Counter[str] = Counter()
    for path in map(Path, logs):
        told = TOLD.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
        found[told[1] if told else NOT_RECORDED] += 1
    return found
