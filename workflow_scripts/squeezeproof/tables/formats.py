"""A table for readers, as LaTeX, Markdown and HTML: shares in per cent, bounds as intervals, warnings as marks.

One rule for every table, by the names of its columns. What is left out (`OMITTED`) is in the CSV, as are all digits.
"""

import html
import re
from dataclasses import dataclass, field

from squeezeproof.audit.findings import NAMES
from squeezeproof.tables.frames import read_csv

# Fractions of 1 in the CSV files, per cent for readers; those of SIGNED carry their sign.
SIGNED = {"difference", "max_delta", "largest_delta"}
SHARES = {
    "accuracy", "base_accuracy", "compressed_accuracy", "channels_removed", "parameters_removed", "macs_removed",
    "sparsity", "zero_gradients", "chance", "tolerance", "share_of_bytes", "onnx_agreement",
    "torch_export_agreement", "int8_agreement", "int8_accuracy", "fake_quantized_accuracy", "agreement", *SIGNED,
}  # fmt: skip
# Statistics of the accuracy in tables that have attacks.
STATISTICS = {"mean", "std", "min", "max"}
INTERVALS = {"low": ("high", "interval"), "t_low": ("t_high", "interval over seeds")}
COUNTS = {"channels", "parameters", "nonzeros", "macs", "bytes"}
# What other columns say already, or what is too long to print.
OMITTED = {
    "correct", "target_base", "family", "family_size", "sentence", "p_mcnemar", "p_difference",
    "p_equivalence", "broken_examples", "mended_examples", "stored",
}  # fmt: skip
ABOUT = {
    "wide_models": "Accuracy in %.",
    "wide_attacks": "Accuracy in %; max delta is the largest signed difference compressed − base.",
    "wide_stages": "Accuracy in %.",
}
TITLES = {
    "deployed": "int8 models on what was crafted for their fake-quantized models",
    "wide_models": "accuracy by model and attack",
    "wide_attacks": "accuracy by attack and level",
    "wide_stages": "accuracy after each attack of a sequence",
}
WARNED = "warned"
MARK = "†"
LONG = 45


@dataclass
class Readable:
    """A table of text: `rows` under `columns`, which are right-aligned where `numeric`; `notes` explain marks."""

    name: str
    columns: list
    rows: list
    numeric: list
    notes: list = field(default_factory=list)

    @property
    def title(self):
        """The table's name in words."""
        name, _, part = self.name.partition(".")
        return f"{TITLES.get(name, name.replace('_', ' '))}{f': {part}' if part else ''}"

    def head(self, count):
        """Its first rows, with a note where there are more."""
        if len(self.rows) <= count:
            return self
        note = f"The first {count} of {len(self.rows)} rows; tables/{self.name}.csv has all."
        return Readable(self.name, self.columns, self.rows[:count], self.numeric, [note, *self.notes])


def read_table(path):
    """A CSV table as text, whose empty cells stay empty."""
    return read_csv(path, dtype=str, keep_default_na=False)


def readable(name, table):
    """The Readable of a table of text (`read_table`).

    Columns with one value in all of several rows become a note; per cent is what the tables `wide_*` and `published`
    are in already.
    """
    warned, table = _warned(table)
    # Where the budget is shown the attack's name tells its method too.
    table = table.drop(columns="method") if {"method", "eps"} <= set(table) else table
    table = table.drop(columns=[column for column in table if column in OMITTED or not any(table[column])])
    percent = set() if name.startswith("wide_") or name == "published" else _shares(table)
    notes, shown = _constants(name, table, percent)
    columns, cells, numeric = [], [], []
    for column in shown:
        if column in INTERVALS:
            upper, title = INTERVALS[column]
            bounds = zip(table[column], table[upper], strict=True)
            columns.append(title + " (%)" * (column in percent))
            cells.append([_interval(name, column, pair, percent) for pair in bounds])
            numeric.append(True)
        elif column not in {upper for upper, _ in INTERVALS.values()}:
            columns.append(_header(column, percent))
            cells.append([_cell(name, column, text, percent) for text in table[column]])
            numeric.append(all(_number(text) is not None for text in table[column] if text))
    for row, marked in enumerate(warned):
        for column, mark in marked.items():
            if column in shown:
                cells[columns.index(_header(column, percent))][row] += f" {mark}"
    rows = [list(row) for row in zip(*cells, strict=True)]
    about = [text for prefix, text in ABOUT.items() if name.startswith(prefix)]
    return Readable(name, columns, rows, numeric, about + notes + _legend(warned))


def _shares(table):
    """The columns of a table that are fractions of 1."""
    found = SHARES & set(table)
    found |= STATISTICS & set(table) if "attack" in table else set()
    bounded = found & {"accuracy", "mean", *SIGNED}
    return found | ({"low", "high", "t_low", "t_high"} & set(table) if bounded else set())


def _constants(name, table, percent):
    """Notes on the columns that say the same in all of several rows, and the other columns."""
    values = percent | STATISTICS | set(INTERVALS) | {upper for upper, _ in INTERVALS.values()}
    same = [column for column in table if column not in values and len(table) > 1 and table[column].nunique() == 1]
    # A table of one column would say nothing of its rows.
    same = same if len(same) < len(table.columns) else []
    said = ", ".join(
        f"{_header(column, percent)} {_cell(name, column, table[column].iloc[0], percent)}" for column in same
    )
    return ([f"In all rows: {said}."] if said else []), [column for column in table if column not in same]


def _warned(table):
    """For every row the columns to mark and their marks; the table without the columns that say so."""
    if "warnings" in table:
        marks = [{"accuracy": f"{MARK}{','.join(text.split())}"} if text else {} for text in table["warnings"]]
        return marks, table.drop(columns="warnings")
    if WARNED in table:
        marks = [dict.fromkeys(filter(None, text.split("; ")), MARK) for text in table[WARNED]]
        return marks, table.drop(columns=WARNED)
    return [], table


def _legend(warned):
    marks = {mark for row in warned for mark in row.values()}
    numbers = sorted({int(number) for mark in marks for number in mark.removeprefix(MARK).split(",") if number})
    checks = "; ".join(f"{number}: {NAMES[number]}" for number in numbers)
    return [f"{MARK} the audit warns of this cell{f' (check {checks})' if checks else ''}; see audit.csv."] * any(marks)


def _header(column, percent):
    title = {"n": "images", "low": "interval"}.get(column, column.replace("_", " "))
    return f"{title} (%)" if column in percent else title


def _cell(name, column, text, percent):
    number = _number(text)
    if number is None:
        return text
    if column in percent:
        return _signed(100 * number) if column in SIGNED else f"{100 * number:.1f}"
    if column == "ratio" or column.endswith("_ratio"):
        return f"{100 * number:g} %"
    if column.startswith("p_"):
        return "< 0.001" if number < 0.001 else f"{number:.3f}"
    if column in COUNTS or column.endswith("_bytes"):
        return f"{number:,.0f}"
    if name == "published" or name.startswith("wide_"):
        return text if column in ("eps", "seed", "table", "bits", "runs", "images") else _wide(column, number)
    return text if number == int(number) else f"{number:.4g}"


def _wide(column, number):
    return _signed(number) if column in ("max delta", "difference") else f"{number:.1f}"


def _interval(name, column, pair, percent):
    if not all(pair):
        return ""
    scale = 100 if column in percent else 1
    one = scale == 100 or name == "published"
    low, high = (f"{scale * float(text):.1f}" if one else f"{float(text):.4g}" for text in pair)
    return f"[{low}, {high}]".replace("-", "−")


def _signed(number):
    return f"{round(number, 1) + 0.0:+.1f}".replace("-", "−")


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None


# The formats

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "[": "{[}", "]": "{]}", "−": "$-$", "†": r"\textdagger{}", "±": r"$\pm$", "×": r"$\times$",
}  # fmt: skip


def latex_escaped(text):
    return "".join(LATEX.get(character, character) for character in text)


def to_latex(table):
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


def markdown_escaped(text):
    return re.sub(r"([\\|*_`~#])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def to_markdown(table):
    """A table as GitHub renders it, under its title."""
    rules = [" ---: " if numeric else " --- " for numeric in table.numeric]
    lines = [f"**{markdown_escaped(table.title)}**", "", _markdown_row(table.columns), f"|{'|'.join(rules)}|"]
    lines += map(_markdown_row, table.rows)
    return "\n".join([*lines, *(f"\n{markdown_escaped(note)}" for note in table.notes)]) + "\n"


def _markdown_row(cells):
    return f"| {' | '.join(map(markdown_escaped, cells))} |"


def to_html(table):
    """An HTML table with its notes."""
    kinds = [' class="number"' if numeric else "" for numeric in table.numeric]
    titles = zip(table.columns, kinds, strict=True)
    head = "".join(f'<th scope="col"{kind}>{html.escape(text)}</th>' for text, kind in titles)
    body = "".join(f"<tr>{_html_row(row, kinds)}</tr>\n" for row in table.rows)
    notes = "".join(f'<p class="note">{html.escape(note)}</p>\n' for note in table.notes)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n{notes}'


def _html_row(row, kinds):
    return "".join(f"<td{kind}>{html.escape(text)}</td>" for text, kind in zip(row, kinds, strict=True))
