"""The valid parts of a config, so that their contradictions are told beside what is wrong with the others."""

from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, get_origin

from pydantic import BeforeValidator, ValidationError, create_model

from squeezeproof.study.config import StudyConfig
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.schema import in_words
from squeezeproof.untrusted import oversized

# The sections that say which models there are, but for ensembles.
MODELS = ("seeds", "datasets", "architectures", "trainings", "finetunings", "compressions", "variants")


class Problems(list[str]):
    """What is wrong with a config.

    Attributes:
        unknown: sections of which something is not valid, and left out of what is looked at.
    """

    def __init__(self, problems: Iterable[str] = (), unknown: Iterable[str] = ()) -> None:
        super().__init__(problems)
        self.unknown = frozenset(unknown)

    def of(self, *sections: str) -> list[str]:
        """Where to add a problem that there would not be with other entries of these sections.

        It is dropped where some of them are unknown.
        """
        return [] if self.unknown.intersection(sections) else self


def valid_parts(config: Any) -> tuple[StudyConfig, Problems]:
    """(the valid parts of a config as typed settings, what is wrong with the others).

    What is left out is the entry of a section, such as an attack, or a section that has no entries; the default stands
    for it then. Raises ConfigError where nothing can be read.
    """
    if problem := oversized(config):
        raise ConfigError([problem])
    try:
        return StudyConfig.model_validate(config), Problems()
    except ValidationError as error:
        told, places = in_words(error, config), [item["loc"] for item in error.errors(include_url=False)]
    if not isinstance(config, dict):
        raise ConfigError(told)
    left = {_part(place) for place in places}
    typed = _parts_alone().model_validate(_without(config, left))
    fields = StudyConfig.model_fields
    # A key that no section has may be meant for any.
    unknown = {key for key, *_ in left} if all(key in fields for key, *_ in left) else set(fields)
    typed._left_out = frozenset(unknown)
    return typed, Problems(told, unknown)


def _part(place: tuple[int | str, ...]) -> tuple[str, ...]:
    """(section,) or (section, entry) that the place of a violation is in."""
    section = str(place[0])
    field = StudyConfig.model_fields.get(section)
    named = field is not None and get_origin(field.annotation) is dict
    return tuple(map(str, place[: 2 if named else 1]))


def _without(config: dict[Any, Any], parts: set[tuple[str, ...]]) -> dict[Any, Any]:
    """A config without some sections and entries; names that YAML reads as numbers are texts among `parts`."""
    kept = {key: section for key, section in config.items() if (str(key),) not in parts}
    entries = {key for key, *names in parts if names}
    return {
        key: {name: entry for name, entry in section.items() if (key, str(name)) not in parts}
        if key in entries
        else section
        for key, section in kept.items()
    }


@cache
def _parts_alone() -> type[StudyConfig]:
    """A StudyConfig of which no section must be there or hold anything."""
    fields: dict[str, Any] = {}
    for name, field in StudyConfig.model_fields.items():
        if field.is_required():
            kind: Any = field.annotation
            # Without the bounds.
            for mark in (mark for mark in field.metadata if isinstance(mark, BeforeValidator)):
                kind = Annotated[kind, mark]
            fields[name] = kind, {} if get_origin(field.annotation) is dict else ""
    return create_model("PartsAlone", __base__=StudyConfig, **fields)
