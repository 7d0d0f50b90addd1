"""The JSON schema of a study as people write it, from which editors complete and explain (yaml-language-server)."""

from typing import Any

from squeezeproof.entries import registry
from squeezeproof.entries.settings import NUMBER
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.json_schema import renamed

# Keys whose values are no schemas, and those that stand beside the alternatives of a value, not in them.
VALUES = ("default", "enum", "const", "required")
ABOUT = ("description", "default")


def editor_schema(*, overlay: bool = False) -> dict[str, Any]:
    """The JSON schema of a study as a person writes it.

    A fraction is a number, a list may be one value, null removes a key, and an entry whose name is a kind need not say
    so. An `overlay` lies over another file and may leave everything out.
    """
    whole = renamed(StudyConfig.model_json_schema(by_alias=True))
    writer = _Writer(whole["$defs"], overlay)
    made = writer.written(whole)
    made["$defs"] |= writer.unions
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A SqueezeProof study", **made}


class _Writer:
    """Turns the schema of checked settings into one of what may be written; `kinds` are its definitions."""

    def __init__(self, kinds: dict[str, Any], overlay: bool) -> None:
        self.kinds, self.overlay = kinds, overlay
        self.unions: dict[str, dict[str, Any]] = {}

    def written(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self.written(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        found = {key: value if key in VALUES else self.written(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" in schema:
            needed = [] if self.overlay else found.pop("required", [])
            found.pop("required", None)
            properties = {
                key: value if key in needed else _or_null(value) for key, value in found["properties"].items()
            }
            return {**found, "properties": properties, **({"required": needed} if needed else {})}
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            named = self._named(values) if "oneOf" in values else {}
            return {**found, "additionalProperties": _or_null(found["additionalProperties"]), **named}
        if "oneOf" in schema:
            key, names = self._names(schema["oneOf"])
            entry = self._entry(key, names, _of_libraries(schema))
            return {**_about(schema), "anyOf": [{"enum": [*names, *_of_libraries(schema)]}, entry]}
        return _as_one_value(found)

    def _named(self, values: dict[str, Any]) -> dict[str, Any]:
        """The schemas of named entries, which are of the kind that their name is where they say no other."""
        key, names = self._names(values["oneOf"])
        said = self._entry(key, names, _of_libraries(values))
        own = {name: {"if": {"required": [key]}, "then": said, "else": kind} for name, kind in names.items()}
        return {
            "properties": {name: _or_null(schema) for name, schema in own.items()},
            "additionalProperties": _or_null(said),
        }

    def _entry(self, key: str, names: dict[str, dict[str, Any]], others: list[str]) -> dict[str, Any]:
        """A reference to the schema of an entry that says its kind; that of the others has any keys."""
        cases = [
            {"if": {"required": [key], "properties": {key: {"const": name}}}, "then": kind}
            for name, kind in names.items()
        ]
        needed = {} if self.overlay else {"required": [key]}
        schema = {"type": "object", "properties": {key: {"enum": [*names, *others]}}, **needed, "allOf": cases}
        title = next((title for title, known in self.unions.items() if known == schema), f"Union{len(self.unions)}")
        self.unions[title] = schema
        return {"$ref": f"#/$defs/{title}"}

    def _names(self, cases: list[dict[str, Any]]) -> tuple[str, dict[str, dict[str, Any]]]:
        """(the key that names an entry, name -> reference to its schema) of the entries of a union."""
        names, key = {}, ""
        for case in cases:
            fields = self.kinds[case["$ref"].rpartition("/")[2]]["properties"]
            key = next(name for name, value in fields.items() if "const" in value)
            names[fields[key]["const"]] = case
        return key, names


def _of_libraries(schema: dict[str, Any]) -> list[str]:
    """The names of attacks of libraries that a value may have beside those of the schema."""
    return [method for name in schema.get("x-libraries", ()) for method in registry.libraries()[name].methods()]


def _as_one_value(schema: dict[str, Any]) -> dict[str, Any]:
    """A number may be a fraction, and a list its only value."""
    about, rest = _about(schema), {key: value for key, value in schema.items() if key not in ABOUT}
    if schema.get("type") == "number":
        return {**about, "anyOf": [rest, {"type": "string", "pattern": f"^{NUMBER.pattern}$"}]}
    if schema.get("type") == "array":
        return {**about, "anyOf": [rest, schema["items"]]}
    return schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in schema.items() if key not in ABOUT}
    return {**_about(schema), "anyOf": [*(rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]), {"type": "null"}]}


def _about(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: schema[key] for key in ABOUT if key in schema}
