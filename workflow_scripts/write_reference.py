"""Writes the config reference into the README, between its markers, from the schemas: `write_reference.py`."""

import sys
from pathlib import Path

from squeezeproof.study.schema import load_schema

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- config reference: begin (written by `make reference`) -->", "<!-- config reference: end -->"


def reference():
    """The whole config reference as Markdown."""
    study = load_schema("study")
    parts = ["### Top level\n", _text(study["description"]), _table(study)]
    for name in ("variants", "evaluations", "published", "compute"):
        schema = study["properties"][name]
        schema = schema.get("items") or schema.get("additionalProperties") or schema
        parts += [f"### `{name}`\n", _table(schema if isinstance(schema, dict) else study["properties"][name])]
    for name in ("dataset", "architecture", "training", "compression", "attack"):
        schema = load_schema(name)
        parts += [f"### {schema['title']}\n", _text(schema["description"])]
        if "kinds" not in schema:
            parts.append(_table(schema))
            continue
        for kind, kind_schema in schema["kinds"].items():
            parts += [
                f"**`{schema['x-discriminator']}: {kind}`** {_text(kind_schema['description'])}",
                _table(kind_schema),
            ]
    return "\n".join(parts)


def splice(text):
    """The README with the reference between its markers."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _text(description):
    return " ".join(description.split()) + "\n"


def _table(schema):
    lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key, entry in schema["properties"].items():
        required = key in schema.get("required", ())
        default = "required" if required else _code(entry["default"]) if "default" in entry else ""
        lines.append(f"| `{key}` | {_values(entry)} | {default} | {_text(entry.get('description', '')).strip()} |")
    return "\n".join(lines) + "\n"


def _values(entry):
    if "x-entries" in entry:
        return f"names to {entry['x-entries']} entries"
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    kind = entry.get("type", "")
    if kind == "array":
        return f"list of {_values(entry['items'])}"
    if kind == "object":
        return "mapping"
    kinds = kind if isinstance(kind, list) else [kind]
    low = entry.get("exclusiveMinimum", entry.get("minimum"))
    high = entry.get("exclusiveMaximum", entry.get("maximum"))
    interval = ""
    if low is not None or high is not None:
        opened = "(" if low is None or "exclusiveMinimum" in entry else "["
        closed = ")" if high is None or "exclusiveMaximum" in entry else "]"
        interval = f" in {opened}{'-∞' if low is None else low}, {'∞' if high is None else high}{closed}"
    return " or ".join(kinds) + interval


def _code(value):
    if value is None:
        return "null"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    updated = splice(README.read_text())
    if "--check" in sys.argv:
        sys.exit(updated != README.read_text() and "README.md: the config reference is stale; run `make reference`")
    README.write_text(updated)
