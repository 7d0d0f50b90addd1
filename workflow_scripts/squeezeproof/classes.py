"""Classes of a data set as a config names them."""

import difflib
from collections.abc import Sequence

from squeezeproof.errors import InputError


def class_number(name: int | str, classes: Sequence[str]) -> int:
    """The number of a class, given by its name or by its number; InputError where there is none."""
    if isinstance(name, int) and name < len(classes):
        return name
    if str(name) in classes:
        return list(classes).index(str(name))
    if isinstance(name, int):
        raise InputError(f"the data set has no class {name}; its classes are numbered from 0 to {len(classes) - 1}")
    nearest = difflib.get_close_matches(str(name), classes, n=1) or [", ".join(classes)]
    raise InputError(f"the data set has no class {name!r}; its classes are named such as {nearest[0]}")
