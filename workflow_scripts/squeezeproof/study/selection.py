"""Names of a study that shell patterns select."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from squeezeproof.entries.settings import suggest
from squeezeproof.study.entities import Model


def select(
    patterns: Iterable[str], names: Sequence[str], path: str, problems: list[str], literal: Sequence[str] = ()
) -> list[str]:
    """The names that match one of the patterns, in plan order; a pattern without a match is a problem."""
    chosen = []
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        matches += [name for name in literal if name == pattern and name not in matches]
        if not matches:
            problems.append(f"{path}: {pattern!r} matches none{suggest(pattern, [*names, *literal])}")
        chosen += [name for name in matches if name not in chosen]
    return chosen


def select_models(patterns: Iterable[str], models: Iterable[Model], path: str, problems: list[str]) -> set[str]:
    """The set of names of the Models that match a pattern or are meant by `base` or `compressed`.

    Ensembles are neither; a pattern without a match is a problem.
    """
    names = list(dict.fromkeys(model.name for model in models))
    aliases = {"base": [], "compressed": []}
    for model in models:
        if not model.is_ensemble:
            aliases["base" if model.is_base else "compressed"].append(model.name)
    chosen = set()
    for pattern in patterns:
        matches = aliases.get(pattern) or [name for name in names if fnmatchcase(name, pattern)]
        if not matches:
            problems.append(f"{path}: {pattern!r} matches no model that the study builds{suggest(pattern, names)}")
        chosen.update(matches)
    return chosen
