"""The norms in which a perturbation is measured."""

from enum import StrEnum


class Norm(StrEnum):
    """The largest change of a value, the Euclidean length, the sum of all changes, the number of changed values.

    A config, a file and a table have the text, which is equal to it.
    """

    LINF = "linf"
    L2 = "l2"
    L1 = "l1"
    L0 = "l0"
