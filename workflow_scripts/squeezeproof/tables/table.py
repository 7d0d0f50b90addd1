"""What a table is: its columns, said once. Files, prints, captions, docs/tables.md and the explorer follow from it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.errors import InputError

# The name of the column that stands for all that a study names itself: its attacks, ratios or stages.
NAMED_BY_STUDY = "*"


@dataclass(frozen=True)
class Kind:
    """What the values of a column are.

    Attributes:
        name: for docs/tables.md.
        show: a number as print shows it, from the text of the CSV file and the number; None for text.
        heading: what print adds to the column's title.
        measured: whether the values are results, which stay in their column where all are equal.
        text: whether files are read without making anything else of the values.
    """

    name: str
    show: Callable[[str, float], str] | None = None
    heading: str = ""
    measured: bool = False
    text: bool = False

    def shown(self, text: str) -> str:
        """A value of the CSV file as print shows it."""
        number = None if self.show is None else as_number(text)
        return text if number is None or self.show is None else self.show(text, number)


def as_number(text: str) -> float | None:
    """The number that a text is, None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def _whole(text: str, number: float) -> str:
    return text


def _plain(text: str, number: float) -> str:
    return text if number == int(number) else f"{number:.4g}"


def _per_cent(text: str, number: float) -> str:
    return f"{100 * number:.1f}"


def _one_decimal(text: str, number: float) -> str:
    return f"{number:.1f}"


def signed(number: float) -> str:
    """A number with one decimal and its sign; a minus is not a hyphen."""
    return f"{round(number, 1) + 0.0:+.1f}".replace("-", "−")


def points(share: float) -> str:
    """A difference of shares in points, such as `−1.2`."""
    return signed(100 * share)


def unseen(reach: float) -> str:
    """What a comparison could not show, as a clause, by the smallest difference that it could, a share."""
    shown = f"{100 * reach:.1f}"
    return (
        "no difference could have been shown"
        if float(shown) >= 100
        else f"a difference below {shown} points could not be shown"
    )


def _p_value(text: str, number: float) -> str:
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


TEXT = Kind("text", text=True)
FLAG = Kind("True or False")
COUNT = Kind("count", _whole)
NUMBER = Kind("number", _plain)
# Bytes, parameters: printed with separators.
SIZE = Kind("size", lambda text, number: f"{number:,.0f}")
# Fractions of 1, printed in per cent.
SHARE = Kind("share of 1", _per_cent, " (%)", measured=True)
GAIN = Kind("difference of shares of 1", lambda text, number: points(number), " (%)", measured=True)
REMOVED = Kind("ratio removed", lambda text, number: f"{100 * number:g} %")
# Published tables write int8 in the place of a ratio.
LEVEL = Kind("ratio removed or integer type", REMOVED.show, text=True)
# In per cent already.
PERCENT = Kind("per cent", _one_decimal, measured=True)
POINTS = Kind("points of per cent", lambda text, number: signed(number), measured=True)
P_VALUE = Kind("P value", _p_value)
FINDING = Kind("number or text", _plain, text=True)


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: in the CSV file.
        kind: what its values are.
        sentence: what it says, in one sentence.
        unit: where the kind does not tell.
        printed: whether it is shown in print, where it is not empty.
        title: in print, where it is not the name.
        upper: the column of the interval's upper bound; print shows both as one.
        marks: the column whose cells print marks where this one, the numbers of checks that warn, is not empty.
        value: computes the column from the table's others, row by row.
    """

    name: str
    kind: Kind
    sentence: str
    unit: str = ""
    printed: bool = True
    title: str = ""
    upper: str = ""
    marks: str = ""
    value: Callable[[pd.DataFrame], Any] | None = None

    @property
    def heading(self) -> str:
        return (self.title or self.name.replace("_", " ")) + self.kind.heading


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a data frame as named tuples, whose names no type checker knows."""
    yield from frame.itertuples()


@dataclass(frozen=True)
class Table:
    """One table of a study.

    Attributes:
        name: of its file; what follows a dot there is its part.
        rows: what a row is, and what the reader must know of all rows.
        columns: in the order of the file.
        title: in print, where it is not the name.
        note: that print shows below the table.
    """

    name: str
    rows: str
    columns: tuple[Column, ...]
    title: str = ""
    note: str = ""

    def titled(self, part: str = "") -> str:
        """The table's name in words."""
        return f"{self.title or self.name.replace('_', ' ')}{f': {part}' if part else ''}"

    def __getitem__(self, name: str) -> Column:
        """The Column of that name; KeyError where the table has none."""
        found = {column.name: column for column in self.columns}
        return found[name] if name in found else found[NAMED_BY_STUDY]

    def names(self, given: Collection[str]) -> list[str]:
        """The columns in order; those that the study names stand in the order in which they are given."""
        known = {column.name for column in self.columns}
        own = [name for name in given if name not in known]
        names = [[column.name] if column.name != NAMED_BY_STUDY else own for column in self.columns]
        return [name for group in names for name in group]

    def frame(self, rows: Any) -> pd.DataFrame:
        """The table as a data frame with its columns in order, those computed that have a `value`.

        Args:
            rows: dictionaries, or a data frame.

        Raises ValueError where a column is missing or unknown.
        """
        frame = pd.DataFrame(rows)
        if frame.empty:
            frame = frame.reindex(columns=self.names(frame.columns))
        for column in self.columns:
            if column.value is not None:
                frame[column.name] = column.value(frame)
        if problem := self.problem(frame.columns):
            raise ValueError(f"table {self.name} {problem}")
        return frame[self.names(frame.columns)]

    def of(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The table from a data frame that has other columns, too."""
        return self.frame(cells[[column.name for column in self.columns if column.name in cells]])

    def problem(self, given: Collection[str]) -> str:
        """What is wrong with the names of some columns, or nothing."""
        named = {column.name for column in self.columns}
        missing = [name for name in named - {NAMED_BY_STUDY} if name not in set(given)]
        unknown = [] if NAMED_BY_STUDY in named else [name for name in given if name not in named]
        if missing:
            return f"lacks the column{'s' * (len(missing) > 1)} {', '.join(sorted(missing))}"
        return f"has the unknown column{'s' * (len(unknown) > 1)} {', '.join(unknown)}" if unknown else ""

    def check(self, path: str | Path, given: Collection[str]) -> None:
        """InputError where a file has other columns than the table."""
        if problem := self.problem(given):
            raise InputError(f"{path}: {problem}; it is of another version, remove it and run again")
