"""Cases for tests that cross several lists of values, of which `make test` runs a part.

A fault that shows at one value, or where two meet, shows in that part; `make test-all` runs the whole product.
"""

from itertools import combinations, product

import pytest


def paired(*axes, where=lambda *case: True):
    """The product of some lists as parameters: all are slow but some in which every two values meet.

    Args:
        axes: lists of values; a dictionary is a list of its keys.
        where: function(*values) -> whether there is such a case.

    Returns: one `pytest.param` per case of the product, in its order.
    """
    cases = {}
    for place in product(*(enumerate(axis) for axis in axes)):
        numbers, values = zip(*place, strict=True)
        if where(*values):
            cases[numbers] = values
    kept = meeting(list(cases))
    return [
        pytest.param(*values, marks=[] if numbers in kept else [pytest.mark.slow]) for numbers, values in cases.items()
    ]


def by_turns(first, second):
    """The product of two lists as parameters: all are slow but one of every value of the first, by turns."""
    second = list(second)
    return [
        pytest.param(one, other, marks=[] if turn == place % len(second) else [pytest.mark.slow])
        for place, one in enumerate(first)
        for turn, other in enumerate(second)
    ]


def meeting(cases):
    """Some of the cases (tuples) in which all two values meet that meet in any: greedy, the same in every process."""
    pairs = {case: set(combinations(enumerate(case), 2)) for case in cases}
    left, kept = set().union(*pairs.values()), set()
    while left:
        best = max(cases, key=lambda case: len(pairs[case] & left))
        kept.add(best)
        left -= pairs[best]
    return kept
