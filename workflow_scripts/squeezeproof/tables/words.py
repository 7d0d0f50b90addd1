"""The words that tables have for kinds of things. Each is a text: it is written and read as itself."""

from enum import StrEnum

# What is said of a verdict beside an interval that holds 0.
TESTED = (
    "a test shows that there is a difference, and the interval, which holds for all comparisons at once, does not tell "
    "how large it is"
)


class Threat(StrEnum):
    """Which model the images were made for: the one that is scored on them, or another."""

    WHITE_BOX = "white-box"
    TRANSFER = "transfer"


class Comparison(StrEnum):
    """Which images two models are compared on: each on those made for itself, or both on the same ones."""

    WHITE_BOX = "white-box"
    SAME_SOURCE = "same-source"


class Verdict(StrEnum):
    """What a difference between a compressed model and its reference allows to say."""

    MORE = "more robust"
    LESS = "less robust"
    EQUIVALENT = "equivalent"
    NOT_SHOWN = "no difference shown"
    TRANSFERS_WORSE = "transfers worse"
    FOUND_LESS = "found less"


class Cause(StrEnum):
    """Where most of a difference under attack comes from."""

    CLEAN_ACCURACY = "clean accuracy"
    ROBUSTNESS = "robustness"
