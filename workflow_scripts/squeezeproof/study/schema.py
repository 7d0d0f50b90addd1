"""Checks a study config against `study.config` and says in words what is wrong with it, every problem at once."""

import types
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from squeezeproof.entries.settings import Settings, as_dict, read_number, suggest
from squeezeproof.entries.unions import OfLibraries, Stage, stage_type
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.json_schema import choices, interval, properties, types_of
from squeezeproof.untrusted import oversized


def check_config(config: Any) -> dict[str, Any]:
    """`config` with numbers parsed and defaults filled in; raises ConfigError with every violation."""
    if problem := oversized(config):
        raise ConfigError([problem])
    try:
        return as_dict(StudyConfig.model_validate(config))
    except ValidationError as error:
        raise ConfigError(in_words(error, config)) from None


def in_words(error: ValidationError, config: Any, settings: type[Settings] = StudyConfig) -> list[str]:
    """A problem for every error of the validation of a config, or of other settings: unknown keys of its own first."""
    found = error.errors(include_url=False)
    found.sort(key=lambda item: not (len(item["loc"]) == 1 and item["type"] in UNKNOWN))
    # Settings alone come from Python or from a command.
    yaml = settings is StudyConfig
    placed = [(item, *_place(item["loc"], config, settings)) for item in found]
    # A value that may be of several types has an error for each of them, all at one place.
    tried = Counter(path for item, path, *_ in placed if item["type"] not in UNKNOWN)
    problems = [
        _of_no_type(item, path, field, yaml)
        if tried[path] > 1 and _is_choice(field)
        else _in_words(item, path, owner, field, yaml)
        for item, path, owner, field in placed
    ]
    return list(dict.fromkeys(problems))


def _is_choice(field: dict[str, Any]) -> bool:
    return len([kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"]) > 1


def _of_no_type(item: ErrorDetails, path: str, field: dict[str, Any], yaml: bool) -> str:
    kinds = " or ".join(
        kind.get("type", "value") + (f" in {interval(kind)}" if "minimum" in kind or "exclusiveMinimum" in kind else "")
        for kind in field["anyOf"]
    )
    return f"{path}: {item['input']!r} is no {kinds}{_meant(item['input'], kinds, yaml)}"


# Of a number that no float holds, in a message.
LONGEST = 20
UNKNOWN = ("extra_forbidden", "invalid_key")


def _in_words(item: ErrorDetails, path: str, owner: type[Settings], field: dict[str, Any], yaml: bool) -> str:
    """One problem; `owner` are the Settings that the place belongs to, `field` the schema of the value there, `yaml`
    whether the value was written in YAML.
    """
    value, context = item["input"], item.get("ctx", {})
    shown = repr(value)
    match item["type"]:
        case "problem":
            place = f"{path}{context['at']}".removeprefix(".")
            return f"{place}: {context['text']}" if place else context["text"]
        case "missing":
            hint = field["description"].split("; ")[0].rstrip(".")
            return f"{path}: missing ({hint})"
        case "extra_forbidden" | "invalid_key":
            return f"{path}: unknown{suggest(item['loc'][-1], owner.names())}"
        case "model_type" | "model_attributes_type":
            return f"{path or 'config'}: {shown} is not a mapping of keys to values"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            number, allowed = _number(value), interval(field)
            if number is None:
                return f"{path}: {shown[:LONGEST]}... is not in {allowed}"
            return f"{path}: {number:.12g} is not in {allowed}{meant_share(number, allowed)}"
        case "literal_error":
            return f"{path}: {shown} is unknown{suggest(value, choices(field))}"
        case "string_pattern_mismatch":
            return f"{path}: {shown} is not {field['x-form']}"
        case "too_short" if isinstance(value, dict):
            return f"{path}: empty, name at least one"
        case "too_short":
            return f"{path}: is empty, give at least one"
        case "too_long":
            return f"{path}: holds {len(value)} values, give at most {field['maxItems']}"
        case kind if kind.endswith("_type"):
            kinds = " or ".join(types_of(field))
            return f"{path}: {shown} is not of type {kinds}{_meant(value, kinds, yaml)}"
    return f"{path}: {item['msg']}"


def meant_share(number: float, allowed: str) -> str:
    """What to write, after a semicolon, for a number beyond an interval of shares, such as `(0, 0.5]`, that is one of
    its shares in per cent.
    """
    low, high = map(float, allowed[1:-1].split(", "))
    share = number / 100
    # 1 may mean the whole, where that is the end.
    percent = high <= 1 and share >= (0.02 if high == 1 else 0.01)
    within = low < share < high or (share == high and allowed[-1] == "]")
    return f"; did you mean {share:.12g}?" if percent and within else ""


def _number(value: Any) -> Any:
    """What read_number makes of a value, None where that is more than a float holds."""
    try:
        return read_number(value)
    except PydanticCustomError:
        return None


def _meant(value: Any, kinds: str, yaml: bool) -> str:
    """What to write where a value of another type than `kinds` can only mean one thing."""
    if isinstance(value, bool) and "string" in kinds:
        return "; put quotes around a text: YAML reads yes, no, on and off as true and false" if yaml else ""
    if not isinstance(value, str) or not ("number" in kinds or "integer" in kinds):
        return ""
    plain = value.strip().replace("_", "")
    if "," in plain:
        return "; write several values as [0, 1], decimals with a point, and nothing between thousands"
    number = _number(plain.removesuffix("%"))
    if not isinstance(number, float) or ("number" not in kinds and not number.is_integer()):
        return ""
    if plain.endswith("%"):
        return f"; write {number / 100:.12g}" if "number" in kinds else ""
    return f"; write {number:.12g}"


def _place(
    loc: Sequence[int | str], config: Any, settings: type[Settings]
) -> tuple[str, type[Settings], dict[str, Any]]:
    """(the path of an error as a person writes it, the Settings it is in, the schema of the field it is at)."""
    path, value, annotation, owner, name, items = "", config, settings, settings, None, 0
    for part in loc:
        annotation, tags = _of_library(annotation, value) or _unwrapped(annotation)
        if isinstance(part, str) and part in tags:
            annotation = tags[part]
            continue
        if isinstance(part, int) and get_origin(annotation) is list:
            if isinstance(value, list):
                path, value = f"{path}[{part}]", value[part]
            annotation, items = get_args(annotation)[0], items + 1
            continue
        if not (get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, Settings))):
            # The name of one of the types that a plain value may have.
            continue
        path = _join(path, part)
        if get_origin(annotation) is dict:
            annotation, items = get_args(annotation)[1], items + 1
        elif isinstance(annotation, type) and issubclass(annotation, Settings):
            owner, name, items = annotation, part, 0
            annotation = next((f.annotation for n, f in owner.model_fields.items() if (f.alias or n) == part), None)
        value = _value_at(value, part)
    field = properties(owner).get(name, {}) if name else {}
    for _ in range(items):
        field = field.get("items") or field.get("additionalProperties") or field
    return path, owner, field


def _value_at(value: Any, part: Any) -> Any:
    if isinstance(value, dict):
        # Names that YAML reads as numbers are texts by then.
        return value.get(part, next((item for key, item in value.items() if str(key) == part), None))
    return None


def _of_library(annotation: Any, value: Any) -> tuple[Any, dict[str, Any]] | None:
    """(the class that checks a value, no tags) where the value is an attack of a library, else None."""
    if annotation is Stage:
        annotation = stage_type()
    while get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
        mark = next((mark for mark in marks if isinstance(mark, OfLibraries)), None)
        if mark is not None and (entry := _known(mark, value)):
            return entry, {}
    return None


def _known(mark: OfLibraries, value: Any) -> Any:
    try:
        return mark.entry(value)
    except PydanticCustomError:
        return None


def _unwrapped(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """(a type without its validators and its None, tag -> class where it is one of several entries)."""
    if annotation is Stage:
        annotation = stage_type()
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        tags = {
            mark.tag: get_args(option)[0]
            for option in options
            if get_origin(option) is Annotated
            for mark in get_args(option)[1:]
            if isinstance(mark, Tag)
        }
        if tags:
            return annotation, tags
        return _unwrapped(options[0]) if len(options) == 1 else (annotation, {})
    return annotation, {}


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
