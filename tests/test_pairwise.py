"""The part of a product that `make test` runs holds every two values that its tests cross."""

from itertools import combinations, product

import pytest
from pairwise import by_turns, meeting, paired


@pytest.mark.parametrize("sizes", [(16, 2, 3, 3), (3, 3, 2), (4, 1, 2), (5, 2)])
def test_every_two_values_meet_in_a_small_part(sizes):
    cases = list(product(*map(range, sizes)))
    kept = meeting(cases)
    for first, second in combinations(range(len(sizes)), 2):
        met = {(case[first], case[second]) for case in kept}
        assert met == set(product(range(sizes[first]), range(sizes[second])))
    # No part is smaller than the product of the two longest lists.
    *_, second, first = sorted(sizes)
    assert first * second <= len(kept) <= 1.5 * first * second


def test_the_rest_is_slow_and_nothing_is_lost():
    cases = paired(["a", "b"], {"x": 1, "y": 2}, [True, False])
    assert [case.values for case in cases] == list(product("ab", "xy", [True, False]))
    slow = [case for case in cases if [mark.name for mark in case.marks] == ["slow"]]
    assert len(slow) == 4


def test_a_case_that_there_is_not_is_left_out_and_its_values_meet_others():
    cases = paired("abc", [1, 2], "xy", where=lambda letter, number, _: (letter, number) != ("c", 1))
    assert len(cases) == 2 * 2 * 2 + 2
    fast = {case.values for case in cases if not case.marks}
    assert {("c", 2, "x"), ("c", 2, "y")} <= fast


def test_one_case_of_every_value_is_left_by_turns():
    cases = by_turns("abcde", [1, 2, 3])
    assert [case.values for case in cases] == list(product("abcde", [1, 2, 3]))
    assert [case.values for case in cases if not case.marks] == list(zip("abcde", [1, 2, 3, 1, 2], strict=True))
