"""Hack: methods of Snakemake are replaced, so that content decides what runs again, whatever the profile says.

By default Snakemake compares inputs above 1 MB by their times, and a script by its time with what it made. A touch, a
copy of a folder or a clone beside results would then run a whole study again. Of rules that carry the digest of their
code (study/code.py) the times of large files and of scripts mean nothing; other rules stay as they are.

Snakemake also compares no file that is older than what was made of it. `mv`, `cp -p`, `rsync -a` and `tar` put a file
in the place of another with a time from before: the file system notes when, and that time counts here, too.
"""

import hashlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from snakemake.io import _IOFile
from snakemake.jobs import Job
from snakemake.logging import logger
from snakemake.persistence import PersistenceBase

from squeezeproof.headers import METADATA_KEY, header_bytes

# What Snakemake reads whole, whatever is set here: digests that earlier runs recorded stay good.
SMALL = 1_000_000

_checksum_of_all = _IOFile.checksum
_is_small_enough = _IOFile.is_checksum_eligible
_older_than_script = Job.outputs_older_than_script_or_notebook
_is_newer_by_its_time = _IOFile.is_newer
_recorded = PersistenceBase.input_checksums
_has_metadata = PersistenceBase.has_metadata

# Files whose own time is older than what was made of them, and which came to their place later.
_placed_later: set[str] = set()
# The first file that no run is recorded of, once it was told.
_unrecorded: list[str] = []


def content_decides() -> None:
    """Let Snakemake compare files of rules of this workflow by content; rules of others stay as they are."""
    _IOFile.checksum = _checksum  # ty: ignore[invalid-assignment]
    _IOFile.is_checksum_eligible = _is_eligible  # ty: ignore[invalid-assignment]
    Job.outputs_older_than_script_or_notebook = _outputs_older_than_script  # ty: ignore[invalid-assignment]
    _IOFile.is_newer = _is_newer  # ty: ignore[invalid-assignment]
    PersistenceBase.input_checksums = _input_checksums  # ty: ignore[invalid-assignment]
    PersistenceBase.has_metadata = _has_metadata_or_told  # ty: ignore[invalid-assignment]


def carries_digest(rule: Any) -> bool:
    """Whether a rule of Snakemake is one of this workflow, whose params have a digest of its code."""
    return rule is not None and str(rule.script or "").endswith(".py") and "code" in rule.params.keys()  # noqa: SIM118


def header_digest(path: str | Path) -> str | None:
    """Digest of the size and of the header of a tensor file, which holds digests of all that follows; else None."""
    path = Path(path)
    if path.suffix != ".safetensors":
        return None
    header = header_bytes(path)
    # Of squeezeproof.store.tensors; a stranger's file has no digests.
    if f'"__metadata__":{{"{METADATA_KEY}":'.encode() not in header:
        return None
    return hashlib.sha256(f"{path.stat().st_size} ".encode() + header).hexdigest()


async def _checksum(
    file: Any, threshold: int | None = None, force: bool = False, algorithm: str | None = None
) -> str | None:
    large = not file.is_storage and carries_digest(file.rule) and await file.exists_local()
    if large and not force and algorithm in (None, "sha256") and await file.size() > SMALL:
        digest = header_digest(file.file)
        if digest is not None:
            return f"sha256:{digest}"
    return await _checksum_of_all(file, threshold, force, algorithm)


async def _is_eligible(file: Any, threshold: int) -> bool:
    return await _is_small_enough(file, sys.maxsize if carries_digest(file.rule) else threshold)


async def _is_newer(file: Any, time: float) -> bool:
    if await _is_newer_by_its_time(file, time):
        return True
    if file.is_ancient or file.is_storage or not carries_digest(file.rule) or not await file.exists_local():
        return False
    # Of a link the one that changed last: itself, or what it leads to.
    later = max(os.lstat(file.file).st_ctime, os.stat(file.file).st_ctime) > time
    if later:
        _placed_later.add(file.file)
    return later


def _input_checksums(persistence: Any, job: Job, file: Any) -> set[str | None]:
    recorded = _recorded(persistence, job, file)
    # Results that came without the records of their runs are judged by times alone, as Snakemake does.
    return {_digest(file.file)} if None in recorded and file.file in _placed_later else recorded


def _has_metadata_or_told(persistence: Any, job: Job) -> bool:
    """Whether the run is recorded that made a job's files; the first time that it is not, a warning."""
    found = _has_metadata(persistence, job)
    if not found and not _unrecorded and carries_digest(job.rule):
        _unrecorded.extend(str(path) for path in job.output if os.path.exists(path))
        if _unrecorded:
            logger.warning(
                f"{_unrecorded[0]}: no run is recorded that made it, as where results were moved or came without "
                f".snakemake/metadata; whether it is of these settings and this code is not known, of others neither: "
                f"snakemake --forceall makes everything again"
            )
    return found


def _digest(path: str) -> str:
    """The checksum of a file as `_checksum` gives it."""
    digest = header_digest(path) if os.path.getsize(path) > SMALL else None
    if digest is None:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"sha256:{digest}"


async def _outputs_older_than_script(job: Job) -> AsyncIterator[Any]:
    if not carries_digest(job.rule):
        async for output in _older_than_script(job):
            yield output
