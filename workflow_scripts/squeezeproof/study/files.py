"""Config files as they are written: a key that stands twice in a mapping is an error, not silently the second."""

import os
from pathlib import Path
from typing import Any

import yaml

from squeezeproof.study.errors import ConfigError

# The one in C is ten times as fast, and not in every build of PyYAML.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises ConfigError where it cannot be read as one, and with every key that a mapping of it holds twice.
    """
    try:
        if problems := repeated_keys(path):
            raise ConfigError(problems)
        return yaml.load(_text(path), Loader=LOADER)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8; save it as UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        hint = "; indent by spaces, not by tabs" if "cannot start any token" in str(error.problem) else ""
        raise ConfigError([f"{path}{place}: is not YAML: {error.problem}{hint}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: is not YAML: {error}"]) from None


def _text(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")


def repeated_keys(path: str | Path) -> list[str]:
    """A problem for every key that a mapping of a YAML file holds twice, with both lines."""
    problems: list[str] = []
    root = yaml.compose(_text(path), Loader=LOADER)
    pending, seen = [(root, "")], set()
    while pending:
        node, place = pending.pop()
        # An alias is the node that it stands for.
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += [(item, f"{place}[{index}]") for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                at = f"{place}.{name}" if place else name
                if name in lines:
                    problems.append(
                        f"{at}: stands twice in {path}, in lines {lines[name]} and {line}, and the second alone would "
                        f"count; make them one, or give one another name"
                    )
                lines.setdefault(name, line)
                pending.append((value, at))
    return problems


def with_numbers(config: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The config with lists and mappings of `--config key=[0,1]` read as YAML; Snakemake leaves their numbers texts.

    Args:
        config: the whole config.
        given: what the command line says of it.
    """
    nested = {key: value for key, value in given.items() if isinstance(value, dict | list)}
    return {**config, **{key: _read(value) for key, value in nested.items() if config.get(key) == value}}


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item) for item in value]
    return yaml.safe_load(value) if isinstance(value, str) and value.strip() else value


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
