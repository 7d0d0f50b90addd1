"""The code that a job really runs: what its script imports, and the modules behind the settings that it is given."""

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from squeezeproof.entries import registry
from squeezeproof.study.code import code_digest

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study


def used_code(
    study: "Study", script: str, *, models: Iterable[tuple[str, str]] = (), **entries: list[dict[str, Any]]
) -> str:
    """Digest of a script and of the attacks, compressions, networks and the like that one of its jobs uses.

    Args:
        models: (data set, model name) of the models that the job builds.
        entries: section of the config -> settings of every entry that the job runs.
    """
    entries["architectures"] = [settings for key in models for settings in study.architectures_of(*key)]
    used = [
        found
        for section, several in entries.items()
        for settings in several
        for found in registry.used(section, settings)
    ]
    modules = {module for entry, _ in used for module in entry.modules()}
    # Sets: what is used twice is no other code.
    meanings = {json.dumps(entry.meaning(settings), sort_keys=True) for entry, settings in used}
    declared = "\n".join(sorted(meanings))
    return code_digest(script, *sorted(modules)) + hashlib.sha256(declared.encode()).hexdigest()[:8]
