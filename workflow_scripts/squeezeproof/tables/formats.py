"""A table for readers, as LaTeX and Markdown: shares in per cent, bounds as intervals, warnings as marks.

What print leaves out is in the CSV file, as are all digits.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from squeezeproof.audit.findings import NAMES
from squeezeproof.tables.columns import WARNED
from squeezeproof.tables.files import table_of
from squeezeproof.tables.table import NAMED_BY_STUDY, Column, Table, as_number

MARK = "†"
LONG = 45


@dataclass
class Readable:
    """A table of text: `rows` under `columns`, which are right-aligned where `numeric`; `notes` explain marks."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    notes: list[str] = field(default_factory=list)

    def head(self, count: int) -> "Readable":
        """Its first rows, with a note where there are more."""
        if len(self.rows) <= count:
            return self
        note = f"The first {count} of {len(self.rows)} rows; tables/{self.name}.csv has all."
        return Readable(self.name, self.title, self.columns, self.rows[:count], self.numeric, [note, *self.notes])


def readable(name: str, texts: pd.DataFrame) -> Readable:
    """The Readable of a table of texts (`tables.files.read_texts`); `name` is that of its file, without the ending.

    A column with one value in all of several rows becomes a note, unless its values are results.
    """
    table, part = table_of(f"{name}.csv")
    printed = {column: table[column] for column in texts if table[column].printed and any(texts[column])}
    same = [column for column, spec in printed.items() if _folded(spec, texts[column])]
    # A table of one column would say nothing of its rows.
    same = same if len(same) < len(printed) else []
    said = ", ".join(
        f"{_heading(column, printed[column])} {_cells(printed[column], texts, column)[0]}" for column in same
    )
    shown = [column for column in printed if column not in same]
    cells = {column: _cells(printed[column], texts, column) for column in shown}
    marks = _marks(table, texts)
    for row, marked in enumerate(marks):
        for column in set(marked) & set(shown):
            cells[column][row] += f" {marked[column]}"
    notes = [*filter(None, [table.note, f"In all rows: {said}." if said else ""]), *_legend(marks)]
    columns = [_heading(column, printed[column]) for column in shown]
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    return Readable(
        name, table.titled(part), columns, rows, [_numeric(printed[column], texts[column]) for column in shown], notes
    )


def _heading(name: str, column: Column) -> str:
    return name if column.name == NAMED_BY_STUDY else column.heading


def _folded(column: Column, values: pd.Series) -> bool:
    return len(values) > 1 and not column.kind.measured and values.nunique() == 1


def _numeric(column: Column, values: Iterable[str]) -> bool:
    """Whether all of a column's values are numbers, or bounds of them."""
    return column.kind.show is not None and all(as_number(text) is not None for text in values if text)


def _cells(column: Column, texts: pd.DataFrame, name: str) -> list[str]:
    """A column's values as print shows them."""
    values = [column.kind.shown(text) for text in texts[name]]
    if not column.upper:
        return values
    bounds = zip(values, map(column.kind.shown, texts[column.upper]), strict=True)
    return [f"[{low}, {high}]".replace("-", "−") if low and high else "" for low, high in bounds]


def _marks(table: Table, texts: pd.DataFrame) -> list[dict[str, str]]:
    """For every row the columns to mark and their marks."""
    for column in (table[name] for name in texts):
        if column.marks:
            return [{column.marks: f"{MARK}{','.join(text.split())}"} if text else {} for text in texts[column.name]]
        if column is WARNED:
            return [dict.fromkeys(filter(None, text.split("; ")), MARK) for text in texts[column.name]]
    return []


def _legend(marks: list[dict[str, str]]) -> list[str]:
    used = {mark for row in marks for mark in row.values()}
    numbers = {int(number) for mark in used for number in mark.removeprefix(MARK).split(",") if number}
    return [legend(numbers)] * any(used)


def legend(checks: Iterable[int]) -> str:
    """What a mark says of a cell, by the numbers of the checks that warn."""
    named = "; ".join(f"{number}: {NAMES[number]}" for number in sorted(checks))
    return (
        f"{MARK} the audit warns of this cell{f' (what may not hold: check {named})' if named else ''}; see audit.csv."
    )


# The formats

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "[": "{[}", "]": "{]}", "−": "$-$", "†": r"\textdagger{}", "±": r"$\pm$", "×": r"$\times$",
}  # fmt: skip


def latex_escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def to_latex(table: Readable) -> str:
    """A booktabs table to be included, or a longtable above LONG rows; needs the packages booktabs and longtable."""
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    header = " & ".join(map(latex_escaped, table.columns)) + r" \\"
    body = [" & ".join(map(latex_escaped, row)) + r" \\" for row in table.rows]
    caption = rf"\caption{{{latex_escaped(' '.join([f'{table.title}.', *table.notes]))}}}"
    label = rf"\label{{tab:{table.name}}}"
    if len(table.rows) > LONG:
        top = [rf"\begin{{longtable}}{{{columns}}}", rf"{caption} {label} \\", r"\toprule", header, r"\midrule"]
        top += [r"\endfirsthead", r"\toprule", header, r"\midrule", r"\endhead", r"\bottomrule", r"\endlastfoot"]
        lines = [*top, *body, r"\end{longtable}"]
    else:
        top = [r"\begin{table}", r"\centering", caption, label, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header]
        lines = [*top, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(["% Needs \\usepackage{booktabs,longtable}.", *lines]) + "\n"


def markdown_escaped(text: str) -> str:
    return re.sub(r"([\\|*_`~#])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def to_markdown(table: Readable) -> str:
    """A table as GitHub renders it, under its title."""
    rules = [" ---: " if numeric else " --- " for numeric in table.numeric]
    lines = [f"**{markdown_escaped(table.title)}**", "", _markdown_row(table.columns), f"|{'|'.join(rules)}|"]
    lines += map(_markdown_row, table.rows)
    return "\n".join([*lines, *(f"\n{markdown_escaped(note)}" for note in table.notes)]) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(markdown_escaped, cells))} |"
