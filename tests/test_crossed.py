"""Intervals and tests over images and seeds: against each other, in closed form, and on simulated studies."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from squeezeproof.pages.simulation_page import simulation_page
from squeezeproof.statistics import simulation
from squeezeproof.statistics.crossed import About, Mean, half_width, interval, p_difference, p_equivalence
from squeezeproof.statistics.simulation import COVERED, FALSE, IMAGES, SEEDS, STUDIES, TAUS, bounds, draw

KINDS = pytest.mark.parametrize("about", list(About))


def differences(seeds=3, images=400, seed=0):
    return np.random.default_rng(seed).choice([-1, 0, 1], size=(seeds, images), p=[0.12, 0.82, 0.06])


def test_the_parts_of_a_mean():
    rows = differences()
    found = Mean.of(rows)
    assert (found.images, found.seeds) == (400, 3)
    assert found.mean == pytest.approx(rows.mean())
    assert found.square == pytest.approx(np.square(rows.mean(0)).mean())
    assert found.variance == pytest.approx(rows.mean(1).var(ddof=1))
    assert np.isnan(Mean.of(rows[:1]).variance)


def test_seeds_that_agree_are_no_evidence_beyond_one_of_them():
    one = differences(1)
    several = Mean.of(np.repeat(one, 4, axis=0))
    assert half_width(several, 0.05, About.MODELS) == pytest.approx(half_width(Mean.of(one), 0.05, About.MODELS))
    # Images are a sample for trainings too.
    assert half_width(several, 0.05, About.TRAININGS) == pytest.approx(half_width(several, 0.05, About.MODELS))


def test_many_images_leave_students_interval_over_seeds():
    found = Mean(mean=0.03, square=0.1, images=10**9, seeds=4, variance=0.02**2)
    expected = stats.t.interval(0.9, 3, loc=0.03, scale=0.02 / 2)
    assert interval(found, 0.1, About.TRAININGS) == pytest.approx(expected, rel=1e-4)
    many = Mean(mean=0.03, square=0.1, images=10**6, seeds=4, variance=0.02**2)
    assert half_width(many, 0.1, About.MODELS) == pytest.approx(
        stats.norm.ppf(0.95) * np.sqrt((0.1 - 0.03**2) / 10**6), rel=1e-4
    )


def test_no_image_that_differs_still_leaves_a_width():
    found, z2 = Mean.of(np.zeros((1, 300))), stats.norm.ppf(0.975) ** 2
    assert half_width(found, 0.05, About.MODELS) == pytest.approx(z2 / (300 + z2))
    assert p_difference(found, About.MODELS) == 1


@KINDS
@given(st.integers(0, 10**6), st.floats(0.001, 0.2), st.floats(0.005, 0.3))
def test_tests_and_intervals_decide_alike(about, seed, alpha, margin):
    found = Mean.of(differences(2 + seed % 3, 60, seed))
    low, high = interval(found, alpha, about)
    if min(abs(low), abs(high)) > 1e-9:
        assert (p_difference(found, about) < alpha) == (low > 0 or high < 0)
    low, high = interval(found, 2 * alpha, about)
    if min(abs(low + margin), abs(high - margin)) > 1e-9:
        assert (p_equivalence(found, margin, about) < alpha) == (-margin < low and high < margin)
    wider = interval(found, alpha / 2, about)
    assert -1 <= wider[0] <= low <= found.mean <= high <= wider[1] <= 1


def test_arrays_are_taken_element_by_element():
    means = [Mean.of(differences(3, 200, seed)) for seed in range(4)]
    names = ("mean", "square", "images", "seeds", "variance")
    together = Mean(*(np.array([getattr(mean, name) for mean in means]) for name in names))
    for about in About:
        assert p_difference(together, about) == pytest.approx([float(p_difference(mean, about)) for mean in means])
        assert half_width(together, 0.01, about) == pytest.approx([half_width(mean, 0.01, about) for mean in means])


@pytest.mark.parametrize("images", [300, 2000])
@pytest.mark.parametrize("level", [0.05, 0.05 / 48])
def test_one_sided_losses_are_covered(images, level):
    """Every image that differs is lost, where the normal approximation is worst: exact, from the binomial."""
    lost = np.arange(images + 1)
    found = Mean(-lost / images, lost / images, images, 1, np.nan)
    half = half_width(found, level, About.MODELS)
    for truth in (0.01, 0.02, 0.05, 0.1):
        missed = np.abs(found.mean + truth) > half
        assert stats.binom.pmf(lost[missed], images, truth).sum() <= max(level + 0.01, 1.6 * level)


# Simulated studies


def test_simulated_differences_have_their_truth():
    truth = np.broadcast_to([0.05, -0.02, 0.0], (4000, 1, 3))
    found = draw(truth, 500, np.random.default_rng(0))
    assert found.of_seeds.mean.mean((0, 1)) == pytest.approx([0.05, -0.02, 0], abs=1e-3)
    assert found.found.mean == pytest.approx(found.of_seeds.mean.mean(2))
    assert found.models == pytest.approx(np.full((4000, 1), 0.01))
    # Seeds share their images: their means rise and fall together.
    assert np.corrcoef(found.of_seeds.mean[:, 0, :2].T)[0, 1] > 0.2


def keeps(table):
    (false, highest), (covered, lowest) = bounds(table)
    assert (false.max(axis=1) <= highest).all(), table[false.max(axis=1) > highest]
    assert (covered.min(axis=1) >= lowest).all(), table[covered.min(axis=1) < lowest]


def test_false_claims_and_coverage_in_brief():
    grid = {(seeds, images, tau, 12): 300 for seeds in (1, 2, 3) for images, tau in ((300, 2), (10_000, 1))}
    table = simulation.table(grid)
    assert len(table) == 2 * (1 + 2 + 2)
    keeps(table)


def test_trainings_that_differ_mislead_a_verdict_on_models():
    """Why there are two kinds: what is certain of these models is often false of others."""
    truth = np.random.default_rng(1).normal(0, 0.03, (2000, 1, 3)).clip(-0.1, 0.1)
    found = draw(truth, 10_000, np.random.default_rng(2)).found
    shown = {
        about: (np.abs(found.mean) > half_width(found, 0.05, about)).mean() for about in (About.MODELS, About.TRAININGS)
    }
    assert shown[About.MODELS] > 0.5
    assert shown[About.TRAININGS] < 0.06


@pytest.mark.slow
def test_false_claims_and_coverage_in_every_setting():
    keeps(simulation.table())


STORED = pd.read_csv(ROOT / "docs/verdicts/simulation.csv")


def test_the_stored_table_has_every_setting_and_keeps_the_promise():
    settings = STORED[["seeds", "images", "tau", "comparisons"]].drop_duplicates()
    assert len(settings) == len(SEEDS) * len(IMAGES) * len(TAUS) * len(STUDIES)
    assert (STORED["studies"] == STORED["comparisons"].map(STUDIES)).all()
    assert set(FALSE + COVERED) <= set(STORED)
    keeps(STORED)


def test_the_page_is_what_its_table_makes_it(tmp_path):
    (tmp_path / "simulation.csv").write_bytes((ROOT / "docs/verdicts/simulation.csv").read_bytes())
    simulation_page(tmp_path)
    assert (tmp_path / "README.md").read_text() == (ROOT / "docs/verdicts/README.md").read_text()
