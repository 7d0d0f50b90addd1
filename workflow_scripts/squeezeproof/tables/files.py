"""Tables as CSV files, read and written as tables.catalog describes them. The name of a file tells its table."""

import io
from pathlib import Path
from typing import Any

import pandas as pd

from squeezeproof.errors import InputError
from squeezeproof.store.csvs import read_text, writing_csv
from squeezeproof.tables.catalog.whole import TABLES
from squeezeproof.tables.table import Table


def table_of(path: str | Path) -> tuple[Table, str]:
    """(Table, part) of a file: `wide_attacks.weight.csv` holds the part `weight` of the table `wide_attacks`."""
    name, _, part = Path(path).stem.partition(".")
    return TABLES[name], part


def write_table(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a data frame as the table that the file's name tells, and its digest beside it."""
    with writing_csv(path) as file:
        file.write(csv_text(table_of(path)[0].frame(frame)))


def csv_text(frame: pd.DataFrame) -> str:
    """A data frame as the text of a CSV file, numbers to six digits."""
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def read_table(path: str | Path) -> pd.DataFrame:
    """A table as it was written: texts stay texts, empty ones too; a number that is missing is NaN.

    Raises InputError where the file was altered, or has other columns than the table.
    """
    table, _ = table_of(path)
    columns = {name: table[name] for name in _header(path, table)}
    texts = {name: str for name, column in columns.items() if column.kind.text}
    missing = {name: [""] for name in columns if name not in texts}
    return read_csv(path, dtype=texts, keep_default_na=False, na_values=missing)


def read_texts(path: str | Path) -> pd.DataFrame:
    """A table with every value as the text of the file."""
    _header(path, table_of(path)[0])
    return read_csv(path, dtype=str, keep_default_na=False)


def read_csv(path: str | Path, **options: Any) -> pd.DataFrame:
    """`pandas.read_csv` of any file as it was written; InputError names one that is altered or no table."""
    text = read_text(path)
    try:
        return pd.read_csv(io.StringIO(text), **options)
    except ValueError as error:
        # Of pandas' own errors each is a ValueError.
        raise InputError(f"{path}: is no table in CSV ({error})") from None


def _header(path: str | Path, table: Table) -> list[str]:
    names = list(read_csv(path, nrows=0))
    table.check(path, names)
    return names
