"""Checks a study config against the closed schemas in schemas/ and fills in their defaults.

The schemas are JSON Schema (draft 2020-12) with six additions: `x-entries: attack` says that a mapping holds
named entries described in attack.yaml, `x-stage: attack` that a value is one of them without a name, and
`x-kind: adversary` that it is null or a kind of adversary.yaml with its settings; `x-discriminator` names the key that
picks an entry's kind, which may be left out where the entry's own name is a kind; `x-form` says in words what a
`pattern` accepts; a list may be written as one value.
"""

import difflib
import math
import re
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from squeezeproof.study.errors import ConfigError

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
ENTRY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
NUMBER = re.compile(r"\s*([0-9.eE+-]+)\s*(?:/\s*([0-9.eE+-]+)\s*)?")
LISTED = 8
# No study comes near these.
MAX_VALUES, MAX_DEPTH, MAX_TEXT, SHOWN = 50_000, 30, 10_000, 300


class Number(float):
    """A float that remembers how the config wrote it, so that 8/255 can name a file."""

    def __new__(cls, value, text):
        number = super().__new__(cls, value)
        number.text = text
        return number


@cache
def load_schema(name):
    """The schema file schemas/{name}.yaml as a dictionary."""
    return yaml.load((SCHEMAS / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)


def check_config(config):
    """Return `config` with numbers parsed and defaults filled in; raise ConfigError with every violation."""
    _check_size(config)
    problems = []
    checked = _check_object(config, load_schema("study"), "", problems)
    if problems:
        raise ConfigError(problems)
    return checked


def _check_size(config):
    """Refuse what no study is; aliases of aliases can stand for more values than memory holds."""
    pending, count = [(config, "", 0)], 0
    while pending:
        value, path, depth = pending.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise ConfigError(
                [f"{path or 'config'}: more than {MAX_VALUES:,} values, or nested more than {MAX_DEPTH} deep"]
            )
        listed = enumerate(value) if isinstance(value, list | tuple) else ()
        for key, item in value.items() if isinstance(value, dict) else listed:
            if isinstance(key, str) and len(key) > MAX_TEXT:
                raise ConfigError([f"{path}: a key of {len(key):,} characters; keys have at most {MAX_TEXT:,}"])
            pending.append((item, _join(path, key)[:SHOWN], depth + 1))
        if isinstance(value, str | bytes) and len(value) > MAX_TEXT:
            raise ConfigError([f"{path}: a text of {len(value):,} characters; texts have at most {MAX_TEXT:,}"])
        if isinstance(value, int) and value.bit_length() > MAX_TEXT:
            raise ConfigError([f"{path}: a number of more than 3,000 digits"])


def suggest(name, allowed):
    """`, did you mean ...?` for the nearest of the allowed names, or what is allowed."""
    allowed = [str(item) for item in allowed]
    nearest = difflib.get_close_matches(str(name), allowed, n=1)
    if nearest:
        return f", did you mean {nearest[0]}?"
    shown = [*allowed[:LISTED], *(["..."] if len(allowed) > LISTED else [])]
    return f"; allowed: {', '.join(shown)}" if shown else ""


def _check_object(value, schema, path, problems):
    if not isinstance(value, dict):
        problems.append(f"{path or 'config'}: {value!r} is not a mapping of keys to values")
        return {}
    properties = schema["properties"]
    # A null removes a key, which lets an overlay config drop what its base declares.
    value = {key: item for key, item in value.items() if item is not None or _accepts_null(properties.get(key))}
    for key in value:
        if key not in properties:
            problems.append(f"{_join(path, key)}: unknown{suggest(key, properties)}")
    for key in schema.get("required", ()):
        if key not in value:
            hint = properties[key].get("description", "").split("; ")[0].rstrip(".")
            problems.append(f"{_join(path, key)}: missing ({hint})")
    checked = {}
    for key, subschema in properties.items():
        if key in value:
            checked[key] = _check_value(value[key], subschema, _join(path, key), problems)
        elif "default" in subschema:
            checked[key] = _check_value(subschema["default"], subschema, _join(path, key), problems)
    return checked


def _check_value(value, schema, path, problems):
    if "x-entries" in schema:
        return _check_entries(value, schema, path, problems)
    if "x-stage" in schema:
        return _check_stage(value, load_schema(schema["x-stage"]), path, problems)
    if "x-kind" in schema:
        return None if value is None else _check_nested(value, load_schema(schema["x-kind"]), path, problems)
    if schema.get("type") == "object" and "properties" in schema:
        return _check_object(value, schema, path, problems)
    if schema.get("type") == "object" and "properties" in schema.get("additionalProperties", ()):
        entries = _named_entries(value, schema, path, problems)
        return {
            name: _check_object(entry, schema["additionalProperties"], _join(path, name), problems)
            for name, entry in entries.items()
        }
    if schema.get("type") == "array":
        return _check_list(value, schema, path, problems)
    value = _parse_number(value, schema)
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(f"{path}: {value} is not a finite number")
    else:
        problems.extend(_violations(value, schema, path))
    whole = "integer" in _types(schema) and isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


def _check_list(value, schema, path, problems):
    scalar = not isinstance(value, list)
    items = [value] if scalar else value
    paths = [path if scalar else f"{path}[{index}]" for index in range(len(items))]
    checked = [_check_value(item, schema["items"], at, problems) for item, at in zip(items, paths, strict=True)]
    shape = {key: schema[key] for key in ("minItems", "maxItems", "uniqueItems") if key in schema}
    problems.extend(_violations(checked, shape, path))
    return checked


def _check_entries(value, schema, path, problems):
    entry_schema = load_schema(schema["x-entries"])
    entries = _named_entries(value, schema, path, problems)
    checked = {}
    for name, entry in entries.items():
        at = _join(path, name)
        if not isinstance(entry, dict):
            problems.append(f"{at}: {entry!r} is not a mapping of keys to values")
            continue
        if "kinds" in entry_schema:
            checked[name] = _check_kind(name, entry, entry_schema, at, problems)
        else:
            checked[name] = _check_object(entry, entry_schema, at, problems)
    return checked


def _check_kind(name, entry, schema, path, problems):
    key = schema["x-discriminator"]
    named = entry.get(key) is not None
    kind = entry[key] if named else name
    if not isinstance(kind, str) or kind not in schema["kinds"]:
        where = f"{path}.{key}: {kind!r} is unknown" if named else f"{path}: unknown"
        hint = "" if named else f" (an entry of another name needs {key}:)"
        problems.append(where + suggest(kind, schema["kinds"]) + hint)
        return {}
    chosen = schema["kinds"][kind]
    properties = {key: {"type": "string"}, **chosen["properties"]}
    return _check_object({**entry, key: kind}, {**chosen, "properties": properties}, path, problems)


def _check_stage(value, schema, path, problems):
    """One stage of a suite: a kind's name, or an entry of a kind without the settings that the suite has for all."""
    kinds = {name: kind for name, kind in schema["kinds"].items() if not kind.get("x-no-stage")}
    for name, kind in kinds.items():
        own = {key: entry for key, entry in kind["properties"].items() if key not in schema["x-shared-by-stages"]}
        kinds[name] = {**kind, "properties": own, "required": [key for key in kind.get("required", ()) if key in own]}
    return _check_nested(value, {**schema, "kinds": kinds}, path, problems)


def _check_nested(value, schema, path, problems):
    """An entry without a name of its own: a kind's name, or a mapping that says its kind."""
    key = schema["x-discriminator"]
    entry = {key: value} if isinstance(value, str) else value
    if not isinstance(entry, dict):
        problems.append(f"{path}: {value!r} is neither a name nor a mapping of keys to values")
        return {}
    if entry.get(key) is None:
        problems.append(f"{path}.{key}: missing{suggest('', schema['kinds'])}")
        return {}
    return _check_kind("", entry, schema, path, problems)


def _named_entries(value, schema, path, problems):
    if not isinstance(value, dict):
        problems.append(f"{path}: {value!r} is not a mapping of names to settings")
        return {}
    entries = {str(name): entry for name, entry in value.items() if entry is not None}
    if len(entries) < schema.get("minProperties", 0):
        problems.append(f"{path}: empty, name at least one")
    for name in list(entries):
        if not ENTRY_NAME.fullmatch(name):
            problems.append(
                f"{path}.{name}: a name is a letter followed by at most 40 letters, digits, underscores and hyphens"
            )
            del entries[name]
    return entries


def _parse_number(value, schema):
    match = NUMBER.fullmatch(str(value)) if "number" in _types(schema) else None
    if not match:
        return value
    try:
        numerator, denominator = float(match[1]), float(match[2] or 1)
        quotient = numerator / denominator
    except (ValueError, ZeroDivisionError):
        return value
    return Number(quotient, f"{numerator:.12g}/{denominator:.12g}" if match[2] else f"{quotient:.12g}")


def _violations(value, schema, path):
    # A value of the wrong type is not one of the allowed ones either; one message per place says enough.
    errors = {tuple(error.absolute_path): error for error in Draft202012Validator(schema).iter_errors(value)}
    for place, error in errors.items():
        yield f"{'.'.join([path, *map(str, place)])}: {_explain(error)}"


def _explain(error):
    value, schema = error.instance, error.schema
    shown = f"{value:.12g}" if isinstance(value, Number) else repr(value)
    match error.validator:
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return f"{shown} is not in {_interval(schema)}"
        case "enum":
            return f"{shown} is unknown{suggest(value, schema['enum'])}"
        case "type":
            return f"{shown} is not of type {' or '.join(_types(schema))}"
        case "pattern":
            return f"{shown} is not {schema['x-form']}"
        case "uniqueItems":
            return f"{[str(getattr(item, 'text', item)) for item in value]} holds the same value twice"
        case "minItems":
            return "is empty, give at least one"
        case "maxItems":
            return f"holds {len(value)} values, give at most {schema['maxItems']}"
    return error.message


def _interval(schema):
    low, high = "(-inf", "inf)"
    if "minimum" in schema:
        low = f"[{schema['minimum']:g}"
    if "exclusiveMinimum" in schema:
        low = f"({schema['exclusiveMinimum']:g}"
    if "maximum" in schema:
        high = f"{schema['maximum']:g}]"
    if "exclusiveMaximum" in schema:
        high = f"{schema['exclusiveMaximum']:g})"
    return f"{low}, {high}"


def _types(schema):
    types = schema.get("type", [])
    return types if isinstance(types, list) else [types]


def _accepts_null(schema):
    return schema is not None and "null" in _types(schema)


def _join(path, key):
    return f"{path}.{key}" if path else str(key)
