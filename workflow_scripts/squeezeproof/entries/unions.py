"""Values that are one of several entries, told apart by the key that names the entry."""

import re
from collections.abc import Callable, Mapping
from functools import cache, partial, reduce
from operator import or_
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, WrapValidator
from pydantic_core import core_schema

from squeezeproof.entries import registry
from squeezeproof.entries.attack import Attack
from squeezeproof.entries.entry import Entry
from squeezeproof.entries.settings import problem, suggest

ENTRY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
NAME_FORM = "a letter followed by at most 40 letters, digits, underscores and hyphens"
# Marks the place of an entry in a union; no key of a config has a space in it.
TAG = "{}: {}"


class _Implied(str):
    """A kind that an entry does not name: its own name."""


class _Unnameable:
    """In the place of an entry whose name no path can carry."""


def one_of(entries: Mapping[str, type[Entry]], *, by_name: bool = False) -> Any:
    """The type of a value that is one of the entries; with `by_name` the name alone stands for its defaults."""
    key = next(iter(entries.values())).key
    tagged = tuple(Annotated[entry, Tag(TAG.format(key, name))] for name, entry in entries.items())
    union = Annotated[reduce(or_, tagged), Discriminator(lambda value: TAG.format(key, _kind(key, value)))]
    return Annotated[union, BeforeValidator(partial(_check_kind, key, list(entries), by_name))]


class OfLibraries:
    """Marks a type that may be an attack of a library too, of which there are too many for a union.

    `made` turns the attack in its own settings into the class that is checked.
    """

    def __init__(self, made: Callable[[type[Attack]], type[Entry]]) -> None:
        self.made = made

    def entry(self, value: Any) -> type[Entry] | None:
        """The class that checks a value; None where it is no attack of a library."""
        method = value.get("method") if isinstance(value, dict) else value
        if not isinstance(method, str) or "." not in method:
            return None
        name, _, attack = method.partition(".")
        if name not in registry.libraries():
            raise problem(f"{method!r} is unknown{suggest(name, registry.libraries())}", ".method")
        library = registry.libraries()[name]
        table = library.table()
        if attack in table["left_out"]:
            raise problem(f"{method!r} is not offered: {table['left_out'][attack]}", ".method")
        if attack not in table["attacks"]:
            raise problem(f"{method!r} is unknown{suggest(method, library.methods())}", ".method")
        return self.made(registry.attacks()[method])

    def check(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        """The value as the settings of what it names."""
        entry = self.entry(value)
        if entry is None:
            return handler(value)
        return entry.model_validate(value if isinstance(value, dict) else {"method": value})


def one_of_attacks(made: Callable[[type[Attack]], type[Entry]], *, by_name: bool = False) -> Any:
    """The type of an attack: `one_of` those of this project that `made` makes a class of, or one of a library."""
    attacks = {
        name: made(attack) for name, attack in registry.attacks().items() if not by_name or attack.may_be_stage()
    }
    mark = OfLibraries(made)
    libraries = Field(json_schema_extra={"x-libraries": list(registry.libraries())})
    return Annotated[one_of(attacks, by_name=by_name), mark, WrapValidator(mark.check), libraries]


def named(kind: Any, key: str | None = None) -> Any:
    """The type of a mapping of names to values; an entry that lacks `key` is of the kind that its name says."""
    entry = Annotated[kind, BeforeValidator(_check_name)]
    return Annotated[dict[str, entry], BeforeValidator(partial(_named, key))]


def _kind(key: str, value: Any) -> Any:
    return value[key] if isinstance(value, dict) else getattr(value, key)


def _check_kind(key: str, known: list[str], by_name: bool, value: Any) -> Any:
    if by_name and isinstance(value, str):
        value = {key: value}
    if not isinstance(value, dict):
        what = "neither a name nor" if by_name else "not"
        raise problem(f"{value!r} is {what} a mapping of keys to values")
    kind = value.get(key)
    if kind is None:
        raise problem(f"missing{suggest('', known)}", f".{key}")
    if isinstance(kind, str) and kind in known:
        return value
    if isinstance(kind, _Implied):
        raise problem(f"unknown{suggest(kind, known)} (an entry of another name needs {key}:)")
    raise problem(f"{kind!r} is unknown{suggest(kind, known)}", f".{key}")


def _named(key: str | None, value: Any) -> Any:
    if not isinstance(value, dict):
        raise problem(f"{value!r} is not a mapping of names to settings")
    entries = {str(name): entry for name, entry in value.items() if entry is not None}
    for name, entry in entries.items():
        if not ENTRY_NAME.fullmatch(name):
            entries[name] = _Unnameable()
        elif key is not None and isinstance(entry, dict) and entry.get(key) is None:
            entries[name] = {**entry, key: _Implied(name)}
    return entries


def _check_name(value: Any) -> Any:
    if isinstance(value, _Unnameable):
        raise problem(f"a name is {NAME_FORM}")
    return value


class Stage:
    """The type of a stage of a suite; which attacks there are is asked when one is checked, for a suite is one."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[..., Any]) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(lambda value: _stages().validate_python(value))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Callable[..., Any]) -> Any:
        return handler(_stages().core_schema)


@cache
def stage_type() -> Any:
    """The type of one of the attacks that may be a stage."""
    return one_of_attacks(lambda attack: attack, by_name=True)


@cache
def _stages() -> TypeAdapter[Any]:
    return TypeAdapter(stage_type())
