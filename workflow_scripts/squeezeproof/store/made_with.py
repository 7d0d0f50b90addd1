"""The versions of what computes, in the metadata of models and of sets; no torch unless a job has it.

What a file says of its making is no reason to make it again. So the digest of code (study/code.py) passes over this
module where writers import names out of it; readers import the module itself, and it counts. The workflow's commit is
in logs alone (commits.py): equal code makes equal files, whatever its commit is.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

# The key of the metadata, and the column of tables; absent, or empty, in what earlier versions of this program wrote.
MADE_WITH = "made_with"
NOT_RECORDED = "versions not recorded"
PACKAGES = ("numpy", "torch")


def made_with() -> str:
    """The versions of this process, such as `numpy 2.1.0, torch 2.6.0`."""
    return ", ".join(f"{name} {import_module(name).__version__}" for name in PACKAGES)


def recorded(metadata: Mapping[str, Any]) -> str:
    """What a file's metadata say of it; empty where they say nothing."""
    return metadata.get(MADE_WITH, "")


def of_all(parts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What is said of a file by the metadata of its parts; nothing where none of them says anything."""
    said = {recorded(part) for part in parts}
    return {MADE_WITH: "; ".join(sorted(text or NOT_RECORDED for text in said))} if any(said) else {}
