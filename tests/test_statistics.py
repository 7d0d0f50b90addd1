"""Paired tests, their corrections and intervals against SciPy, brute force, published examples and simulation."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from squeezeproof.statistics.bootstrap import bootstrap_interval, resampled_means, student
from squeezeproof.statistics.multiplicity import holm
from squeezeproof.statistics.paired import equivalence, mcnemar, mcnemar_clustered, score, tango

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


@given(st.lists(st.integers(-3, 3), max_size=9))
def test_clustered_mcnemar_is_the_share_of_sign_flips_as_extreme(sums):
    sums = np.array(sums, int)
    flips = np.array(list(itertools.product([-1, 1], repeat=len(sums))))
    totals = np.abs((flips * np.abs(sums)).sum(1)) if len(sums) else np.zeros(1)
    assert mcnemar_clustered(sums) == pytest.approx((totals >= abs(sums.sum())).mean(), abs=1e-12)


def test_clustered_mcnemar_of_one_pair_is_mcnemar():
    sums = np.array([1] * 30 + [-1] * 11 + [0] * 500)
    assert mcnemar_clustered(sums) == mcnemar(30, 11)
    # Seeds that agree on every image are no more evidence than one of them.
    assert mcnemar_clustered(3 * sums) == mcnemar(30, 11)


def test_clustered_mcnemar_of_a_large_test_split():
    sums = np.random.default_rng(0).integers(-5, 6, 10_000)
    # Many images make the sum of random signs, which moves in steps of 2, normal.
    z = (abs(sums.sum()) - 1) / np.sqrt((sums**2).sum())
    assert mcnemar_clustered(sums) == pytest.approx(2 * stats.norm.sf(z), rel=1e-3)
    assert mcnemar_clustered(np.array([2] * 2000 + [1] * 2000)) == pytest.approx(0, abs=1e-12)


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


def test_published_equivalence_test():
    """[tango1998], section 6.1: Z = 1.709, one-sided P = 0.044 at the margin 0.1."""
    assert score(0, 1, 44, -0.1) == pytest.approx(1.709, abs=5e-4)
    assert equivalence(0, 1, 44, 0.1) == pytest.approx(0.044, abs=5e-4)


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


@given(TABLES, st.floats(0.005, 0.4), st.floats(0.01, 0.2))
def test_equivalence_test_and_interval_decide_alike(counts, margin, alpha):
    """Two one-sided tests at alpha reject exactly where the 1 - 2 alpha interval lies inside the margin."""
    p = equivalence(*counts, margin)
    low, high = tango(*counts, alpha=2 * alpha)
    if min(abs(low + margin), abs(high - margin)) > 1e-9:
        assert (p < alpha) == (-margin < low and high < margin)


def test_equivalence_test_keeps_its_level_at_the_margin():
    rng = np.random.default_rng(2)
    b, c, _ = rng.multinomial(2000, [0.05, 0.03, 0.92], size=4000).T
    assert (equivalence(b, c, 2000, 0.02) < 0.05).mean() < 0.062


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


# Bootstrap


def drawn(rng, seeds, images, spread):
    """Differences [S, N] of mean -0.03 over all seeds, which vary by `spread` and share half of what images decide."""
    truth = rng.normal(-0.03, spread, (seeds, 1))
    luck = np.where(rng.random((seeds, images)) < 0.5, rng.random(images), rng.random((seeds, images)))
    return np.select([luck < 0.06 + truth / 2, luck > 0.94 + truth / 2], [1, -1], 0)


def coverage(method, seeds, images, spread, runs, replicates=600):
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(runs):
        low, high = bootstrap_interval(drawn(rng, seeds, images, spread), 0.05, replicates, 0, method)
        hits += low <= -0.03 <= high
    return hits / runs


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_over_images_covers_its_level(method):
    assert 0.92 < coverage(method, seeds=1, images=400, spread=0, runs=600) < 0.975


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_over_seeds_and_images_covers_its_level(method):
    assert 0.91 < coverage(method, seeds=12, images=300, spread=0.02, runs=400) < 0.985


def test_bootstrap_over_images_alone_misses_the_spread_of_seeds():
    """What the hierarchy is for: seeds that differ make the interval wider than images do."""
    differences = np.zeros((4, 1000), int)
    for row, count in zip(differences, (0, 40, 80, 120), strict=True):
        row[:count] = -1
    low, high = bootstrap_interval(differences)
    one_low, one_high = bootstrap_interval(differences.mean(0, keepdims=True))
    assert high - low > 2 * (one_high - one_low)


def test_percentile_interval_agrees_with_resampling_by_hand():
    rng = np.random.default_rng(4)
    differences = rng.choice([-1, 0, 1], size=(3, 150), p=[0.2, 0.7, 0.1])
    # The seeds' deviations are stretched so that three draws from three seeds vary enough.
    stretched = differences.mean(0) + (differences - differences.mean(0)) * np.sqrt(3 / 2)
    means = np.array([stretched[rng.integers(3, size=3)][:, rng.integers(150, size=150)].mean() for _ in range(8000)])
    fast = resampled_means(differences, 20_000, 0)
    assert fast.mean() == pytest.approx(differences.mean(), abs=2e-3)
    assert fast.std() == pytest.approx(means.std(), rel=0.04)
    assert bootstrap_interval(differences, method="percentile", replicates=20_000) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), abs=4e-3
    )


def test_bca_of_one_seed_agrees_with_scipy():
    row = np.random.default_rng(7).exponential(size=40) ** 2
    expected = stats.bootstrap(
        (row,), np.mean, n_resamples=30_000, method="BCa", rng=np.random.default_rng(0), batch=500
    )
    low, high = bootstrap_interval(row[None], replicates=30_000)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval), rel=0.02)
    plain = bootstrap_interval(row[None], replicates=30_000, method="percentile")
    assert low > 1.05 * plain[0] and high > 1.05 * plain[1]


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_repeats_and_leaves_the_global_generator_alone(method):
    differences = np.random.default_rng(5).choice([-1, 0, 1], size=(2, 100))
    before = np.random.get_state()[1].copy()
    first = bootstrap_interval(differences, method=method)
    assert first == bootstrap_interval(differences, method=method)
    assert first != bootstrap_interval(differences, method=method, seed=1)
    assert (np.random.get_state()[1] == before).all()


def test_bootstrap_ignores_the_order_of_seeds_and_images_up_to_noise():
    differences = np.random.default_rng(6).choice([-1, 0, 1], size=(3, 200))
    assert bootstrap_interval(differences[:, ::-1]) == bootstrap_interval(differences)
    assert bootstrap_interval(-differences) == pytest.approx(
        tuple(-bound for bound in bootstrap_interval(differences)[::-1]), abs=0.02
    )


def test_student_over_seeds():
    values = [0.1, 0.3, 0.2, 0.25]
    expected = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
    mean, spread, low, high = student(values, alpha=0.1)
    assert (mean, spread) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert (low, high) == pytest.approx(expected)
    assert student([0.4])[0] == 0.4
    assert np.isnan(student([0.4])[1:]).all()


def test_verdicts_load_neither_torch_nor_plots():
    code = (
        "import sys, squeezeproof.analysis.verdicts; print({'torch', 'matplotlib', 'scipy.stats'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
