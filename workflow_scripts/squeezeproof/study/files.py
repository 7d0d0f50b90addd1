"""Config files as they are written: a key that stands twice in a mapping is an error, not silently the second, and so
is what YAML 1.1 reads as something else than people mean.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from squeezeproof.study.errors import ConfigError

# The one in C is ten times as fast, and not in every build of PyYAML.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML 1.1 reads a text without quotes as, beside a text.
TYPES = ("bool", "float", "int", "null", "timestamp")
OCTAL = re.compile(r"[-+]?0[0-7_]+")
EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")
# What to do about what the parser found.
HINTS = {
    "cannot start any token": "; indent by spaces, not by tabs",
    "another document": "; a file holds one study, remove the --- that ends it",
}
# The values that a factory of the user's is called with.
ARGUMENTS = re.compile(r"(architectures\.[^.]+|compressions\.[^.]+\.architecture)\.arguments[.\[]")


def read_file(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises ConfigError where it cannot be read as one, with every key that a mapping of it holds twice, and with all
    that YAML 1.1 reads as something else than people mean.
    """
    try:
        if problems := repeated_keys(path) + misread(path):
            raise ConfigError(problems)
        return yaml.load(_text(path), Loader=LOADER)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8; save it as UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        hint = next((hint for words, hint in HINTS.items() if words in str(error.problem)), "")
        raise ConfigError([f"{path}{place}: is not YAML: {error.problem}{hint}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: is not YAML: {error}"]) from None


def _text(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")


def repeated_keys(path: str | Path) -> list[str]:
    """A problem for every key that a mapping of a YAML file holds twice, with both lines."""
    problems: list[str] = []
    for place, node, _ in _nodes(path):
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), _line(key)
            if name in lines:
                problems.append(
                    f"{_below(place, name)}: stands twice in {path}, in lines {lines[name]} and {line}, and the second "
                    f"alone would count; make them one, or give one another name"
                )
            lines.setdefault(name, line)
    return problems


def misread(path: str | Path) -> list[str]:
    """A problem for everything in a YAML file that YAML 1.1 reads as something else than people mean by it."""
    return [
        f"{place}: {told} ({path}, line {_line(node)})"
        for place, node, is_key in _nodes(path)
        if isinstance(node, yaml.ScalarNode) and not node.style and (told := _trap(node.value, place, is_key))
    ]


def _nodes(path: str | Path) -> Iterator[tuple[str, yaml.Node, bool]]:
    """(where it stands, the node, whether it is a key) of all that a YAML file holds, in its order."""
    root = yaml.compose(_text(path), Loader=LOADER)
    pending: list[tuple[str, Any, bool]] = [("", root, False)]
    seen = set()
    while pending:
        place, node, is_key = pending.pop()
        # An alias is the node that it stands for.
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield place, node, is_key
        if isinstance(node, yaml.SequenceNode):
            pending += [(f"{place}[{index}]", item, False) for index, item in enumerate(node.value)][::-1]
        elif isinstance(node, yaml.MappingNode):
            for key, value in reversed(node.value):
                at = _below(place, str(key.value))
                pending += [(at, value, False), (at, key, True)]


def _line(node: Any) -> int:
    return node.start_mark.line + 1


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _trap(text: str, place: str, is_key: bool = False) -> str | None:
    """What YAML 1.1 makes of a text without quotes, and what to write, where people mean something else by it."""
    quotes = "put quotes around it"
    # What cannot be seen in a name, beside a space.
    if is_key and (odd := next((letter for letter in text if not letter.isprintable()), None)):
        return f"its name holds {unicodedata.name(odd, ascii(odd))}, which looks like a space or nothing; retype it"
    try:
        read = _plain(text)
    except ValueError as error:
        return f"{text:.40} is read as a date or a number and is none ({error}); {quotes}"
    if isinstance(read, date):
        return f"{text} is read as a date; {quotes}"
    number = isinstance(read, int | float) and not isinstance(read, bool)
    if number and ":" in text:
        return f"{text} is read as {read}, to the base of 60; write the number that is meant, or {quotes}"
    if number and OCTAL.fullmatch(text):
        return f"{text} is read as {read}, an octal number; write {int(text.replace('_', ''))}, or {quotes}"
    if is_key and str(read) != text:
        return f"the name {text} is read as {read}; {quotes}, or choose another"
    # Nobody but the factory knows of what type these are.
    if ARGUMENTS.match(place):
        if isinstance(read, bool) and text.lower() not in ("true", "false"):
            return f"{text} is read as {str(read).lower()}; write that, or {quotes}"
        if isinstance(read, str) and EXPONENT.fullmatch(text):
            return f"{text} is read as a text; write {_with_point(text)}, or {quotes}"
    return None


def _plain(text: str) -> Any:
    """What a text without quotes is read as."""
    loader = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    return loader.construct_object(yaml.ScalarNode(tag, text)) if tag.rpartition(":")[2] in TYPES else text


def _with_point(text: str) -> str:
    """A number with an exponent as YAML 1.1 reads it: with a point and a sign."""
    mantissa, exponent = re.split("[eE]", text)
    sign = "" if exponent[0] in "+-" else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent}"


def with_numbers(config: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The config with lists and mappings of `--config key=[0,1]` read as YAML; Snakemake leaves their numbers texts.

    Args:
        config: the whole config.
        given: what the command line says of it.
    """
    nested = {key: value for key, value in given.items() if isinstance(value, dict | list) and key in config}
    return {**config, **{key: _as_given(config[key], value, key) for key, value in nested.items()}}


def _as_given(value: Any, given: Any, place: str) -> Any:
    """A value of the config in which what the command line gave, a mapping merged into another, is read as YAML."""
    if isinstance(value, dict) and isinstance(given, dict):
        inner = {
            key: _as_given(value[key], part, _below(place, str(key))) for key, part in given.items() if key in value
        }
        return {**value, **inner}
    return _read(value, place) if value == given else value


def _read(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return {key: _read(item, _below(place, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, str) or not value.strip():
        return value
    if told := _trap(value, place):
        raise ConfigError([f"{place}: {told}"])
    return _plain(value)


def lying_over(paths: list[Any], configs: list[Any]) -> list[str]:
    """A notice where an overlay is given alone, of what it lies over, or is meant to; `configs` are the contents."""
    if not paths or not configs:
        return []
    paths = [os.path.relpath(path) for path in paths]
    first = Path(paths[0])
    base = first.with_name(f"{first.name.partition('-')[0]}.yaml")
    meant = f"{first} is an overlay of {base}; give both: --configfile {base} {first}" if base.is_file() else ""
    if "study" not in (configs[0] or {}) and len(paths) > 1:
        return [f"{first} names no study and lies over {paths[-1]}. {meant}".strip()]
    return [meant] if len(paths) == 1 and meant and base != first else []
