"""What tables.catalog says of the tables, for readers: docs/tables.md, and a caption of each for Snakemake's report."""

import re

from squeezeproof.tables.catalog.whole import TABLES
from squeezeproof.tables.table import NAMED_BY_STUDY, Column, Table

HEAD = """# Every column of every table

Written by `make reference` from `workflow_scripts/squeezeproof/tables/catalog/`. The tables are in
`results/{study}/tables/`. The CSV files hold all digits. The `.tex` and `.md` files beside them show shares in per
cent, bounds as intervals, and not every column.
"""


def reference() -> str:
    """docs/tables.md."""
    return "\n".join([HEAD, *map(_section, TABLES.values())])


def caption(table: Table) -> str:
    """The caption of a table as reStructuredText: what its rows are, then its columns."""
    columns = [_rst(f"{_name(column)}\n    {column.sentence}") for column in table.columns]
    return "\n".join([_rst(table.rows), "", *columns, ""])


def _section(table: Table) -> str:
    rows = [f"| {_name(column)} | {_unit(column)} | {column.sentence} |" for column in table.columns]
    return "\n".join(
        [f"## {table.name}\n", f"{table.rows}\n", "| column | unit | what |", "| --- | --- | --- |", *rows, ""]
    )


def _unit(column: Column) -> str:
    return f"{column.kind.name}, {column.unit}" if column.unit else column.kind.name


def _name(column: Column) -> str:
    return "named by the study" if column.name == NAMED_BY_STUDY else f"`{column.name}`"


def _rst(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"``\1``", text)
