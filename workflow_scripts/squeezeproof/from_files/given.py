"""What a person gives of two networks by the options of the command, checked."""

from typing import Any

from pydantic import ValidationError

from squeezeproof.entries import registry
from squeezeproof.entries.architectures.custom import named_as_file
from squeezeproof.entries.settings import Settings, as_dict, suggest
from squeezeproof.errors import InputError
from squeezeproof.study.factory_files import factory_problems
from squeezeproof.study.schema import in_words


def checked_architecture(settings: dict[str, Any]) -> dict[str, Any]:
    """An entry of `architectures` that a person gives; InputError with what is wrong with it."""
    kinds, kind = registry.architectures(), str(settings.get("kind"))
    if kind not in kinds:
        raise InputError(f"ARCHITECTURE=: kind: {kind!r} is unknown{suggest(kind, list(kinds))}")
    checked = as_dict(_valid(kinds[kind], settings, "ARCHITECTURE"))
    if factory := checked.get("factory"):
        told = named_as_file(factory)
        if problems := [f"FACTORY={told}"] if told else factory_problems("FACTORY", factory, checked["arguments"]):
            raise InputError(problems[0])
    return settings


def checked_external(settings: dict[str, Any]) -> Any:
    """All settings of an `external` compression; InputError with what is wrong with those that a person gives."""
    return as_dict(_valid(registry.compressions()["external"], settings, "OPTIONS"))


def _valid(entry: type[Settings], settings: dict[str, Any], option: str) -> Settings:
    """What a person gives by an option of the command, typed; InputError with what is wrong with it."""
    try:
        return entry.model_validate(settings)
    except ValidationError as error:
        raise InputError(f"{option}=: {'; '.join(in_words(error, settings, entry))}") from None
