"""Paired tests, their corrections and intervals against SciPy, published examples and simulation."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from squeezeproof.statistics.multiplicity import holm
from squeezeproof.statistics.paired import mcnemar, score, tango

TABLES = st.integers(1, 3000).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
)


# McNemar


@pytest.mark.parametrize("discordant", [1, 2, 7, 60, 2001])
def test_mcnemar_is_the_two_sided_binomial_test(discordant):
    first = np.unique(np.linspace(0, discordant, 21).astype(int))
    expected = [stats.binomtest(int(count), discordant).pvalue for count in first]
    np.testing.assert_allclose(mcnemar(first, discordant - first), expected, rtol=1e-9)


def test_mcnemar_of_airway_data():
    """[fagerland2014]: 1 against 7 of 21 children, exact P = 0.0703."""
    assert mcnemar(1, 7) == pytest.approx(0.0703125)
    assert mcnemar(0, 0) == 1


# Tango


@pytest.mark.parametrize(
    ("only_first", "only_second", "trials", "alpha", "low", "high", "digits"),
    [
        (1, 7, 21, 0.05, -0.517, -0.026, 3),  # [fagerland2014], airway hyper-responsiveness
        (28, 25, 618, 0.10, -0.0148, 0.0247, 4),  # R's PropCIs::scoreci.mp
        (48, 41, 549, 0.10, -0.0157, 0.0414, 4),  # the same
        (0, 1, 44, 0.10, -0.096, None, 3),  # [tango1998], section 6.1, soft contact lenses
    ],
)
def test_published_intervals(only_first, only_second, trials, alpha, low, high, digits):
    found = tango(only_first, only_second, trials, alpha)
    assert round(float(found[0]), digits) == low
    assert high is None or round(float(found[1]), digits) == high


def test_published_score():
    """[tango1998], section 6.1: Z = 1.709 of the difference -0.1."""
    assert score(0, 1, 44, -0.1) == pytest.approx(1.709, abs=5e-4)


@pytest.mark.parametrize(("b", "c", "n"), [(3, 9, 40), (0, 5, 30), (12, 12, 100), (30, 1, 35)])
@pytest.mark.parametrize("delta", [-0.3, -0.02, 0.05, 0.4])
def test_score_uses_the_most_likely_chances_given_the_difference(b, c, n, delta):
    def surprise(q):
        return -stats.multinomial.logpmf([b, c, n - b - c], n, [q + delta, q, 1 - 2 * q - delta])

    edges = max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12
    q = optimize.minimize_scalar(surprise, bounds=edges, method="bounded", options={"xatol": 1e-12}).x
    expected = (b - c - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta)))
    assert score(b, c, n, delta) == pytest.approx(expected, rel=1e-4)


@given(TABLES, st.floats(0.001, 0.2))
def test_interval_holds_the_difference_and_mirrors(counts, alpha):
    b, c, n = counts
    low, high = tango(b, c, n, alpha)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert high > low
    assert tango(c, b, n, alpha) == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))
    wider = tango(b, c, n, alpha / 2)
    assert wider[0] <= low + 1e-12 and high <= wider[1] + 1e-12


def test_interval_without_a_discordant_image_has_its_closed_form():
    z2 = stats.norm.ppf(0.975) ** 2
    assert tango(0, 0, 300) == (pytest.approx(-z2 / (300 + z2)), pytest.approx(z2 / (300 + z2)))


def test_tango_works_element_by_element():
    b, c, n = np.array([0, 3, 50]), np.array([0, 9, 0]), np.array([10, 40, 50])
    low, high = tango(b, c, n)
    for index in range(3):
        assert (low[index], high[index]) == tango(b[index], c[index], n[index])


def test_interval_covers_its_level():
    rng = np.random.default_rng(1)
    b, c, rest = rng.multinomial(300, [0.06, 0.03, 0.91], size=3000).T
    low, high = tango(b, c, b + c + rest)
    assert 0.94 < ((low <= 0.03) & (high >= 0.03)).mean() < 0.965


# Holm


def test_holm_of_a_hand_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.7, 0.6]), [1, 1])
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5), st.randoms(use_true_random=False))
def test_holm_rejects_as_the_step_down_does(p_values, alpha, random):
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all() and (adjusted <= 1).all()
    assert (adjusted <= np.minimum(1, len(p_values) * np.array(p_values)) + 1e-15).all()
    rejected = 0
    for rank, p in enumerate(sorted(p_values)):
        if p * (len(p_values) - rank) >= alpha:
            break
        rejected += 1
    assert (adjusted < alpha).sum() == rejected
    order = list(range(len(p_values)))
    random.shuffle(order)
    np.testing.assert_array_equal(holm(np.array(p_values)[order]), adjusted[order])


def test_verdicts_load_neither_torch_nor_plots():
    code = (
        "import sys, squeezeproof.analysis.verdicts; print({'torch', 'matplotlib', 'scipy.stats'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
