"""JSON schemas of settings, and what they allow, in words."""

from functools import cache
from typing import Any

from squeezeproof.entries.settings import Settings

# As pydantic writes the bounds of a number that a validator has read before.
BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


@cache
def properties(settings: type[Settings]) -> dict[str, dict[str, Any]]:
    """Key -> JSON schema of its value, the one that names an entry first."""
    found = renamed(settings.model_json_schema(by_alias=True))["properties"]
    # Pydantic leaves out a description that is also that of the class.
    said = {key: settings.model_fields[name].description for key, name in settings.names().items()}
    return {key: ({"description": text} if text else {}) | found[key] for key, text in said.items()}


def renamed(schema: Any) -> Any:
    """The same schema with the bounds under the names of JSON Schema, and without titles that repeat the keys."""
    if isinstance(schema, list):
        return [renamed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        BOUNDS.get(key, key) if not isinstance(value, dict) else key: renamed(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def interval(field: dict[str, Any]) -> str:
    """The numbers that a field's schema allows, such as `(0, 1]`."""
    low, high = "(-inf", "inf)"
    for part in options(field):
        if "minimum" in part:
            low = f"[{part['minimum']:g}"
        if "exclusiveMinimum" in part:
            low = f"({part['exclusiveMinimum']:g}"
        if "maximum" in part:
            high = f"{part['maximum']:g}]"
        if "exclusiveMaximum" in part:
            high = f"{part['exclusiveMaximum']:g})"
    return f"{low}, {high}"


def choices(field: dict[str, Any]) -> list[Any]:
    """The values that a field's schema lists."""
    return [value for part in options(field) for value in part.get("enum", [part["const"]] if "const" in part else [])]


def types_of(field: dict[str, Any]) -> list[str]:
    """The types that a field's schema allows, as JSON calls them."""
    return [part["type"] for part in options(field) if "type" in part]


def options(field: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of which one must hold."""
    return field.get("anyOf", [field])
