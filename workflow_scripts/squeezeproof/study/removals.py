"""Config files that lie over each other: a null removes what a file before has; one that removes nothing is told."""

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError

from squeezeproof.entries.settings import suggest
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.files import read_file
from squeezeproof.study.schema import UNKNOWN, in_words
from squeezeproof.untrusted import oversized

# Sections that hold entries of any name.
NAMED = {name for name, field in StudyConfig.model_fields.items() if get_origin(field.annotation) is dict}
Keys = tuple[str, ...]


def read_files(paths: Sequence[str | Path]) -> list[Any]:
    """The contents of config files, later ones to be merged over earlier ones.

    Raises ConfigError where one cannot be read, as `files.read_file` does, and where a null removes nothing. A first
    file that names no study is no study alone, which the check of the config tells.
    """
    contents = [read_file(path) for path in paths]
    names = [os.path.relpath(path) for path in paths]
    # What is too large is told when it is checked.
    whole = all(isinstance(content, dict) and not oversized(content) for content in contents)
    told = whole and "study" in (contents or [{}])[0]
    if problems := list(_removing_nothing(names, copy.deepcopy(contents))) if told else []:
        raise ConfigError(problems)
    return contents


def merge(base: dict[Any, Any], overlay: dict[Any, Any]) -> dict[Any, Any]:
    """`base` with an overlay merged into it key by key, as Snakemake merges several --configfile."""
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base


def _removing_nothing(paths: Sequence[str], contents: Sequence[dict[Any, Any]]) -> Iterator[str]:
    """A problem for every null that removes nothing and is no value of a setting."""
    merged: dict[Any, Any] = {}
    inner = []
    for path, content in zip(paths, contents, strict=True):
        before = copy.deepcopy(merged)
        nulls = list(_nulls(content))
        merge(merged, content)
        for keys in nulls:
            if _has(before, keys):
                continue
            if len(keys) == 1 and keys[0] not in StudyConfig.model_fields:
                yield f"{keys[0]}: unknown{suggest(keys[0], StudyConfig.names())} ({path})"
            elif len(keys) == 2 and keys[0] in NAMED:
                yield _no_entry(path, keys, before)
            elif len(keys) > 2 or keys[0] not in NAMED:
                inner.append((path, keys))
    for path, keys in inner:
        yield from (f"{text} ({path})" for text in _unknown(merged, keys))


def _no_entry(path: str, keys: Keys, before: dict[Any, Any]) -> str:
    """The problem of a null in the place of an entry that no file before has."""
    section, name = keys
    if not before:
        return (
            f"{section}.{name}: holds nothing, which removes an entry of a file before, and {path} is the first; write "
            f"{{}} where its defaults are meant, or leave it out"
        )
    there = [str(entry) for entry, value in (before.get(section) or {}).items() if value is not None]
    return (
        f"{section}.{name}: null removes an entry of the files before, and there is none of that name"
        f"{suggest(name, there)} ({path})"
    )


def _nulls(content: Any, keys: Keys = ()) -> Iterator[Keys]:
    """The places of the nulls in mappings within mappings."""
    for key, value in content.items():
        at = (*keys, str(key))
        if value is None:
            yield at
        elif isinstance(value, dict):
            yield from _nulls(value, at)


def _has(config: Any, keys: Keys) -> bool:
    """Whether a config has something at a place, if only a null."""
    for key in keys:
        named = {str(name): value for name, value in config.items()} if isinstance(config, dict) else {}
        if key not in named:
            return False
        config = named[key]
    return True


def _unknown(merged: dict[Any, Any], keys: Keys) -> list[str]:
    """What is said of a key that no setting has, if it held anything; nothing where it is known."""
    config = copy.deepcopy(merged)
    place = config
    for key in keys[:-1]:
        named = {str(name): value for name, value in place.items()} if isinstance(place, dict) else {}
        if not isinstance(place := named.get(key), dict):
            # A later file holds something else there.
            return []
    place[keys[-1]] = ""
    try:
        StudyConfig.model_validate(config)
    except ValidationError as error:
        if any(item["type"] in UNKNOWN for item in error.errors()):
            at = f"{'.'.join(keys)}: unknown"
            return [text for text in in_words(error, config) if text.startswith(at)]
    return []
