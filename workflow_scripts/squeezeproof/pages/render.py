"""Templates of pages; whatever is put into them is escaped, unless the template calls it safe."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: Path, **values: Any) -> str:
    """The text of a template, the path of an HTML file, with values in its places.

    Raises jinja2.UndefinedError where a place has no value.
    """
    template = Path(template)
    environment = Environment(
        loader=FileSystemLoader(template.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.globals["zip"] = zip  # ty: ignore[invalid-assignment]
    return environment.get_template(template.name).render(values)
