"""Writes docs/config.md and the table of attacks in docs/choose_an_attack.md: `write_reference.py`.

Both are made from the schemas and, for the speed of the attacks, from docs/benchmarks/attacks.csv.
"""

import csv
import re
import sys
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import references

from squeezeproof.study.schema import load_schema

ROOT = Path(__file__).resolve().parents[2]
ATTACKS, CONFIG = ROOT / "docs" / "choose_an_attack.md", ROOT / "docs" / "config.md"
SPEED = ROOT / "docs" / "benchmarks" / "attacks.csv"
OWN = ("SqueezeProof", "bare passes")


def reference():
    """docs/config.md."""
    study = load_schema("study")
    parts = ["# Every key of a study\n", "Written by `make reference` from `schemas/`.\n"]
    parts += ["## Top level\n", _text(study["description"]), _table(study)]
    for name, section in study["properties"].items():
        if schema := _inner(section):
            parts += [f"## `{name}`\n", _table(schema)]
    for name in ("dataset", "architecture", "training", "adversary", "compression", "attack"):
        schema = load_schema(name)
        parts += [f"## {schema['title']}\n", _text(schema["description"])]
        if "kinds" not in schema:
            parts.append(_table(schema))
            continue
        for kind, kind_schema in schema["kinds"].items():
            parts += [
                f"**`{schema['x-discriminator']}: {kind}`** {_text(kind_schema['description'])}",
                _table(kind_schema),
            ]
    return "\n".join(parts)


def _inner(section):
    """The schema of the mapping that a top-level section is, or that its entries are; None of other values."""
    for schema in (section.get("items"), section.get("additionalProperties"), section):
        if isinstance(schema, dict) and "properties" in schema:
            return schema
    return None


def attacks():
    """The table of attacks as Markdown: what each does, needs and cites, and how fast it is."""
    models, speed = _speeds()
    lines = [f"| attack | norms | finds | needs | speed-up: {' / '.join(models)} |", "| --- | --- | --- | --- | --- |"]
    for name, kind in load_schema("attack")["kinds"].items():
        properties = kind["properties"]
        finds = "a point of the ball" if "eps" in kind.get("required", ()) else "the nearest point"
        faster = " / ".join(speed.get((name, model), "-") for model in models) if (name, models[0]) in speed else ""
        norms = ", ".join(properties["norm"]["enum"])
        lines.append(f"| `{name}` {_short(kind['description'])} | {norms} | {finds} | {kind['x-needs']} | {faster} |")
    return "\n".join(lines) + "\n"


def _speeds():
    """The models of the benchmark, and (method, model) -> times by which the fastest other library is slower."""
    models, fastest = [], {}
    for row in csv.DictReader(SPEED.open()):
        if row["model"] not in models:
            models.append(row["model"])
        if row["library"] not in OWN:
            # The first case of a method is its transfer mode, where it has one.
            case = fastest.setdefault((row["method"], row["model"]), (row["attack"], {}))
            if case[0] == row["attack"]:
                case[1][row["library"]] = float(row["ratio"])
    names = {key: min(ratios, key=ratios.get) for key, (_, ratios) in fastest.items()}
    return models, {key: f"{fastest[key][1][name]:.1f} ({name})" for key, name in names.items()}


def _short(description):
    """The full name and the paper of an attack."""
    sentence = re.split(r"\. ", _text(description).strip())[0].rstrip(".")
    return re.sub(r"[:;].*?(?=\[|$)", " ", sentence).strip()


def splice(text):
    """The page with the table of attacks between its markers."""
    begin, end = "<!-- attacks: begin (written by `make reference`) -->", "<!-- attacks: end -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{attacks()}\n{end}{after}"


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
    if "x-stage" in entry:
        return f"{entry['x-stage']}s"
    if "x-kind" in entry:
        return f"null or a mapping ({entry['x-kind']})"
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
    sources = references.read()
    pages = {ATTACKS: splice(ATTACKS.read_text()), CONFIG: reference()}
    pages = {path: references.linked(text, sources) for path, text in pages.items()}
    if "--check" in sys.argv:
        stale = [path.name for path, text in pages.items() if not path.is_file() or text != path.read_text()]
        sys.exit(f"{', '.join(stale)}: written parts are stale; run `make reference`" if stale else 0)
    for path, text in pages.items():
        path.write_text(text)
