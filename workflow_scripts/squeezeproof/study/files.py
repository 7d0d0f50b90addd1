"""Config files as they are written: a key that stands twice in a mapping is an error, not silently the second."""

from pathlib import Path
from typing import Any

import yaml

from squeezeproof.study.errors import ConfigError


def read_file(path: str | Path) -> Any:
    """The content of a YAML file; raises ConfigError with every key that a mapping of it holds twice."""
    if problems := repeated_keys(path):
        raise ConfigError(problems)
    return yaml.load(Path(path).read_text(), Loader=yaml.CSafeLoader)


def repeated_keys(path: str | Path) -> list[str]:
    """A problem for every key that a mapping of a YAML file holds twice, with both lines."""
    problems: list[str] = []
    root = yaml.compose(Path(path).read_text(), Loader=yaml.CSafeLoader)
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
