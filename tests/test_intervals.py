"""The Wilson interval agrees with SciPy's and always holds the share it belongs to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from squeezeproof.statistics.intervals import Z95, wilson

COUNTS = st.integers(1, 10**6).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize("trials", [1, 2, 5, 40, 539, 10_000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_agrees_with_scipy(trials, confidence):
    successes = np.unique(np.linspace(0, trials, 23).astype(int))
    low, high = wilson(successes, trials, z=norm.ppf((1 + confidence) / 2))
    expected = [binomtest(int(count), trials).proportion_ci(confidence, method="wilson") for count in successes]
    np.testing.assert_allclose(low, [interval.low for interval in expected], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(high, [interval.high for interval in expected], rtol=1e-9, atol=1e-12)


def test_the_default_is_95_percent():
    assert norm.ppf(0.975) == pytest.approx(Z95, rel=1e-15)
    interval = binomtest(431, 539).proportion_ci(0.95, method="wilson")
    assert wilson(431, 539) == pytest.approx((interval.low, interval.high), rel=1e-12)


@settings(max_examples=100)
@given(COUNTS)
def test_holds_its_share_inside_the_unit_interval(counts):
    successes, trials = counts
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert high - low > 0


def test_the_bound_at_zero_and_one_is_exact():
    """Robust accuracies of 0 are common, and an error bar from a `low` of 3e-17 would have a negative length."""
    trials = np.arange(1, 20_001)
    assert (wilson(np.zeros_like(trials), trials)[0] == 0).all()
    assert (wilson(trials, trials)[1] == 1).all()


@settings(max_examples=100)
@given(COUNTS)
def test_success_and_failure_mirror_each_other(counts):
    successes, trials = counts
    low, high = wilson(successes, trials)
    mirrored_low, mirrored_high = wilson(trials - successes, trials)
    assert (1 - mirrored_high, 1 - mirrored_low) == pytest.approx((low, high), abs=1e-12)


def test_works_element_by_element():
    successes, trials = np.array([[0, 3], [7, 9]]), np.array([10, 9])
    low, high = wilson(successes, trials)
    assert low.shape == high.shape == (2, 2)
    for index in np.ndindex(2, 2):
        assert (low[index], high[index]) == wilson(successes[index], trials[index[1]])
