"""Tables as pandas data frames, checked to be as they were written."""

import io

import pandas as pd

from squeezeproof.errors import InputError
from squeezeproof.store.csvs import read_text


def read_csv(path, **options):
    """`pandas.read_csv` of a file as it was written; InputError names one that is altered or no table."""
    text = read_text(path)
    try:
        return pd.read_csv(io.StringIO(text), **options)
    except ValueError as error:
        # Of pandas' own errors each is a ValueError.
        raise InputError(f"{path}: is no table in CSV ({error})") from None
