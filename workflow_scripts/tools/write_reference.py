"""Writes what docs/, schemas/ and the report say of settings, attacks and tables: `write_reference.py`.

docs/config.md, schemas/ and the table of attacks in docs/choose_an_attack.md are made from the settings and entries of
the library and, for the speed of the attacks, from docs/benchmarks/attacks.csv; the table of what jobs cost besides
their work in docs/run_on_a_cluster.md from docs/benchmarks/overhead.csv; docs/tables.md and the captions in
report/tables/ from the tables' catalog.
"""

import csv
import json
import re
import sys
from pathlib import Path
from typing import get_args

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import references

from squeezeproof.entries import registry
from squeezeproof.entries.adversary import Adversary
from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.attack import Attack
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.compression import Compression
from squeezeproof.entries.dataset import Dataset
from squeezeproof.entries.library import Library, LibraryAttack
from squeezeproof.entries.settings import Settings
from squeezeproof.study.config import StudyConfig
from squeezeproof.study.editor_schema import editor_schema
from squeezeproof.study.json_schema import options, properties
from squeezeproof.study.trainings import Training
from squeezeproof.tables import describe
from squeezeproof.tables.catalog.whole import TABLES

ROOT = Path(__file__).resolve().parents[2]
ATTACKS, CONFIG = ROOT / "docs" / "choose_an_attack.md", ROOT / "docs" / "config.md"
SCHEMA, OVERLAY = ROOT / "schemas" / "study.schema.json", ROOT / "schemas" / "overlay.schema.json"
TABLES_PAGE, CAPTIONS = ROOT / "docs" / "tables.md", ROOT / "report" / "tables"
SPEED = ROOT / "docs" / "benchmarks" / "attacks.csv"
CLUSTER, OVERHEAD = ROOT / "docs" / "run_on_a_cluster.md", ROOT / "docs" / "benchmarks" / "overhead.csv"
OWN = ("SqueezeProof", "bare passes")


def reference():
    """docs/config.md."""
    parts = ["# Every key of a study\n", "Written by `make reference` from the settings that the library declares.\n"]
    parts += ["## Top level\n", _text(StudyConfig.__doc__), _table(StudyConfig)]
    for name, field in StudyConfig.model_fields.items():
        if (section := _inner(field.annotation)) and section is not Training:
            parts += [f"## `{name}`\n", _table(section)]
    parts += _section(Dataset, registry.datasets()) + _section(Architecture, registry.architectures())
    parts += ["## Trainings and fine-tunings\n", _text(Training.__doc__), _table(Training)]
    parts += _section(Adversary, registry.adversaries()) + _section(Compression, registry.compressions())
    parts += _section(Attack, {name: with_budget(attack) for name, attack in registry.attacks().items()})
    return "\n".join([*parts, *_libraries()])


def _libraries():
    parts = [f"## {Library.title}\n", _text(Library.about)]
    for name, library in registry.libraries().items():
        rows = library.table()["attacks"].items()
        parts += [
            f"**`{name}`** {_text(library.__doc__)}",
            "| method | norms | takes `targeted` | own parameters |",
            "| --- | --- | --- | --- |",
        ]
        parts += [
            f"| `{name}.{attack}` | {', '.join(row['norms'])} | {_target(row)} | {_own(row)} |" for attack, row in rows
        ]
        parts += [f"\nNot offered: {_left_out(library.table()['left_out'])}.\n"]
    return [*parts, "The settings that all of them have beside these:\n", _table(LibraryAttack)]


def _target(row):
    return "required" if row.get("targeted_alone") else "yes" if row["targeted"] else "no"


def _own(row):
    given = [f"`{key}` {_code(value)}" for key, value in row["parameters"].items()]
    return ", ".join([*(f"`{key}` required" for key in row["required"]), *given])


def _left_out(reasons):
    return "; ".join(f"`{name}`, for {reason}" for name, reason in reasons.items())


def _section(base, entries):
    parts = [f"## {base.title}\n", _text(base.about)]
    for name, entry in entries.items():
        parts += [f"**`{base.key}: {name}`** {_text(entry.__doc__)}", _table(entry)]
    return parts


def _inner(annotation):
    """The Settings that a top-level section is, or that its entries are; None of other values and of entries."""
    found = [
        part for part in (annotation, *_parts(annotation)) if isinstance(part, type) and issubclass(part, Settings)
    ]
    return found[0] if len(found) == 1 else None


def _parts(annotation):
    for part in get_args(annotation):
        yield from (part, *_parts(part))


def attacks():
    """The table of attacks as Markdown: what each does, needs and cites, and how fast it is."""
    models, speed = _speeds()
    lines = [f"| attack | norms | finds | needs | speed-up: {' / '.join(models)} |", "| --- | --- | --- | --- | --- |"]
    for name, attack in registry.attacks().items():
        finds = "the nearest point" if attack.minimum_norm else "a point of the ball"
        faster = " / ".join(speed.get((name, model), "-") for model in models) if (name, models[0]) in speed else ""
        norms, short = ", ".join(attack.norms), _short(attack.__doc__)
        lines.append(f"| `{name}` {short} | {norms} | {finds} | {attack.needs} | {faster} |")
    return "\n".join([*lines, "", *measured()]) + "\n"


def measured():
    """When and how the speed-ups were measured, line by line."""
    rows = list(csv.DictReader(SPEED.open()))
    runs, older = {}, {}
    for row in rows:
        at = (row["commit"], row["rounds"]) if row.get("commit") else None
        (older if at is None else runs.setdefault(at, {}))[row["model"]] = True
    for (commit, rounds), models in runs.items():
        yield f"Speed-ups on {', '.join(models)}: medians of {rounds} rounds at commit {commit}."
    if older:
        yield f"Speed-ups on {', '.join(older)} are older: all contestants shared one process."


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


def overhead():
    """What became of the seconds of a study whose jobs started by themselves, and of one whose jobs were forked."""
    rows = list(csv.DictReader(OVERHEAD.open()))
    modes = {row["mode"]: row for row in rows}
    cells = {(row["part"], row["mode"]): f"{row['cpu_seconds']} ({float(row['share']):.0%})" for row in rows}
    lines = [f"| {next(iter(modes.values()))['jobs']} jobs | {' | '.join(modes)} |", "| --- |" + " --- |" * len(modes)]
    lines += [f"| wall seconds | {' | '.join(row['wall_seconds'] for row in modes.values())} |"]
    for part in dict.fromkeys(row["part"] for row in rows):
        lines.append(f"| CPU seconds: {part} | {' | '.join(cells[part, mode] for mode in modes)} |")
    return "\n".join(lines) + "\n"


def splice(text, name, part):
    """A page with what was written between the markers of that name."""
    begin, end = f"<!-- {name}: begin (written by `make reference`) -->", f"<!-- {name}: end -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{part}\n{end}{after}"


def _text(description):
    return " ".join(description.split()) + "\n"


def _table(settings):
    lines, defaults = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"], settings.defaults()
    for key, field in properties(settings).items():
        if key != getattr(settings, "key", None):
            default = _code(defaults[key]) if key in defaults else "required"
            lines.append(f"| `{key}` | {_values(key, field)} | {default} | {_text(field['description']).strip()} |")
    return "\n".join(lines) + "\n"


def _values(key, field):
    parts = options(field)
    if listed := [value for part in parts for value in part.get("enum", ())]:
        mapping = " or a mapping" * any("$ref" in part for part in parts)
        return ", ".join(f"`{value}`" for value in listed) + mapping
    if "oneOf" in field or any("oneOf" in part for part in parts):
        nullable = "null, a method" if {"type": "null"} in parts else "a method"
        return f"{nullable} or a mapping with `method`"
    kinds = [part.get("type", "object") for part in parts]
    if kinds[0] == "array":
        return f"list of {_values(key, field['items'])}"
    if kinds[0] == "object":
        named = isinstance(field.get("additionalProperties"), dict) and field["additionalProperties"] != {
            "type": "string"
        }
        return "names to settings" if named else "mapping"
    return " or ".join(kinds) + _interval(parts)


def _interval(parts):
    bounds = {key: value for part in parts for key, value in part.items()}
    low, high = (bounds.get(f"exclusive{name}", bounds.get(name.lower())) for name in ("Minimum", "Maximum"))
    if low is None and high is None:
        return ""
    opened = "(" if low is None or "exclusiveMinimum" in bounds else "["
    closed = ")" if high is None or "exclusiveMaximum" in bounds else "]"
    return f" in {opened}{'-∞' if low is None else low}, {'∞' if high is None else high}{closed}"


def _code(value):
    if value is None:
        return "null"
    # What a mapping holds by default stands in the table of its own.
    value = [{} if isinstance(item, dict) else item for item in value] if isinstance(value, list) else value
    value = {} if isinstance(value, dict) else value
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sources = references.read()
    pages = {
        ATTACKS: splice(ATTACKS.read_text(), "attacks", attacks()),
        CLUSTER: splice(CLUSTER.read_text(), "overhead", overhead()),
        CONFIG: reference(),
        TABLES_PAGE: describe.reference(),
    }
    pages = {path: references.linked(text, sources) for path, text in pages.items()}
    for path, overlay in ((SCHEMA, False), (OVERLAY, True)):
        pages[path] = json.dumps(editor_schema(overlay=overlay), indent=1, ensure_ascii=False) + "\n"
    pages |= {CAPTIONS / f"{name}.rst": describe.caption(table) for name, table in TABLES.items()}
    if "--check" in sys.argv:
        stale = [path.name for path, text in pages.items() if not path.is_file() or text != path.read_text()]
        sys.exit(f"{', '.join(stale)}: written parts are stale; run `make reference`" if stale else 0)
    for path, text in pages.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
