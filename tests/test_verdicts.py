"""Verdicts and max delta: on predictions of known truth, and from the real workflow."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from schema_examples import MINIMAL
from study_examples import changed
from verdict_examples import PGD, STATISTICS, counted, describe, pair

from squeezeproof.analysis.max_delta import max_delta
from squeezeproof.analysis.verdicts import by_seed, headline, verdict, verdicts
from squeezeproof.statistics.crossed import About, Mean, interval
from squeezeproof.study.plan import Study
from squeezeproof.tables.formats import readable
from squeezeproof.tables.words import Cause, Verdict


def about(table, kind):
    """The rows of a kind of verdict."""
    return table[table["about"] == kind]


def study_of(seeds, n, lost, gained, rng):
    """Pairs of which the compressed model loses and gains the given share of images, drawn anew per seed."""
    found = []
    for seed in range(seeds):
        base = rng.random(n) < 0.6
        luck = rng.random(n)
        found.append(pair(base, np.where(base, luck > lost / 0.6, luck < gained / 0.4), seed))
    return found


# Verdicts


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("n", "expected"), [(40, Verdict.NOT_SHOWN), (2000, Verdict.EQUIVALENT)])
def test_identical_models_are_equivalent_once_there_are_images_enough(seeds, n, expected):
    table = verdicts(study_of(seeds, n, 0, 0, np.random.default_rng(0)), STATISTICS)
    assert table["about"].tolist() == ([About.MODELS] if seeds == 1 else [About.MODELS, About.TRAININGS])
    for row in table.itertuples():
        assert row.verdict == expected
        assert (row.difference, row.p_difference) == (0, 1)
        # Images that happen to agree do not make the difference known exactly.
        assert row.low < 0 < row.high
        assert "exactly that of" in row.sentence


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize(
    ("lost", "gained", "expected", "word"), [(0.2, 0.02, Verdict.LESS, "below"), (0.02, 0.2, Verdict.MORE, "above")]
)
def test_a_clear_change_is_named_with_its_direction(seeds, lost, gained, expected, word):
    for row in verdicts(study_of(seeds, 300, lost, gained, np.random.default_rng(1)), STATISTICS).itertuples():
        assert row.verdict == expected
        assert row.low < gained - lost < row.high
        assert row.difference == pytest.approx(gained - lost, abs=0.06)
        assert (row.seeds, row.runs, row.n) == (seeds, seeds, 300)
        assert row.sentence.startswith(
            f"{expected.capitalize()}, {row.about}: under pgd-eps0.1, each attacked itself, "
        )
        assert f"points {word} that of its base" in row.sentence or f"points {word} that of their bases" in row.sentence
        assert ("this says nothing of other trainings" in row.sentence) == (row.about == About.MODELS)


def test_where_the_reference_keeps_nothing_equality_says_so():
    rows = verdicts([pair(*counted(0, 10, 0, 1990)), pair(*counted(1000, 10, 0, 990), ratio=0.7)], STATISTICS)
    said = rows.set_index("ratio")["sentence"]
    assert "; the base keeps 0.5 % there, so there was next to nothing to lose" in said[0.5]
    assert "next to nothing to lose" not in said[0.7]


def test_an_interval_that_leaves_out_0_where_no_difference_is_shown_is_explained():
    """By itself it is one of several, of which one may do so by chance."""
    same = [pair(*counted(150, 0, 0, 150), ratio=ratio) for ratio in (0.3, 0.7)]
    rows = verdicts([*same, pair(*counted(100, 30, 14, 156))], STATISTICS).set_index("ratio")
    lost = rows.loc[0.5]
    assert lost["verdict"] == Verdict.NOT_SHOWN and lost["high"] < 0
    assert "; the interval leaves out 0, as that of one of 3 comparisons may do by chance; " in lost["sentence"]
    assert "leaves out 0" not in rows.loc[0.3, "sentence"] and "95 % interval by itself" in rows.loc[0.3, "sentence"]


def test_seeds_that_contradict_each_other_show_nothing_of_trainings():
    """Of these models the mean is certain, yet another seed could turn the sign."""
    members = [
        pair(*counted(100, 200, 20, 80), seed=0),
        pair(*counted(100, 190, 20, 90), seed=1),
        pair(*counted(100, 20, 180, 100), seed=2),
    ]
    models, trainings = verdicts(members, STATISTICS).itertuples()
    assert (models.about, trainings.about) == (About.MODELS, About.TRAININGS)
    assert models.difference == trainings.difference
    assert models.verdict == Verdict.LESS and models.p_difference < 1e-6
    assert trainings.verdict == Verdict.NOT_SHOWN
    assert trainings.low < 0 < trainings.high
    # It would have to be more than 100 points.
    assert trainings.detectable > 1 and "; no difference could have been shown; that is no evid" in trainings.sentence
    assert "no evidence of equality" in trainings.sentence


def test_what_could_not_be_shown_is_what_holm_needs_first():
    members = [
        pair(*counted(100, lost, 20, 200 - lost), ratio=ratio, seed=seed)
        for ratio, more in ((0.1, 0), (0.2, 3))
        for seed, lost in enumerate((25 + more, 30, 20 + more))
    ]
    for row in about(verdicts(members, STATISTICS), About.TRAININGS).itertuples():
        assert row.family_size == 2
        found = Mean(row.difference, row.mean_square, row.n, row.seeds, row.std**2)
        low, high = interval(found, STATISTICS["alpha"] / 2, About.TRAININGS)
        assert row.detectable == pytest.approx((high - low) / 2)


def test_one_of_these_models_outside_the_margin_prevents_their_equivalence():
    equal = [pair(*counted(1500, 10, 10, 1480), seed=seed) for seed in range(4)]
    assert set(verdicts(equal, STATISTICS)["verdict"]) == {Verdict.EQUIVALENT}
    one_off = verdicts([*equal, pair(*counted(1500, 80, 10, 1410), seed=4)], STATISTICS)
    assert (one_off["difference"].abs() < STATISTICS["margin"]).all()
    assert about(one_off, About.MODELS)["verdict"].item() != Verdict.EQUIVALENT


def test_a_small_but_certain_difference_is_equivalent_and_called_not_zero():
    [row] = verdicts([pair(*counted(5000, 60, 10, 4930))], STATISTICS).itertuples()
    assert row.p_difference_holm < 0.001
    assert row.verdict == Verdict.EQUIVALENT
    assert "within the margin of 2 points, though not zero" in row.sentence
    [row] = verdicts([pair(*counted(5000, 60, 10, 4930))], {**STATISTICS, "margin": 0.002}).itertuples()
    assert row.verdict == Verdict.LESS


def test_correction_over_the_family_takes_a_weak_verdict_back():
    weak = pair(*counted(100, 20, 7, 100), ratio=0.1)
    assert verdicts([weak], STATISTICS)["verdict"].item() == Verdict.LESS
    others = [pair(*counted(100, 9, 10, 100), ratio=ratio) for ratio in (0.2, 0.3, 0.4)]
    table = verdicts([weak, *others], STATISTICS)
    assert set(table["verdict"]) == {Verdict.NOT_SHOWN}
    assert set(table["family"]) == {"digits/pgd/white-box/base"} and set(table["family_size"]) == {4}
    # Another method is another family, another eps of the method is not.
    elsewhere = [
        pair(*counted(100, 9, 10, 100), attack="fgsm-eps0.1", metadata={**PGD, "entry": "fgsm", "method": "fgsm"})
    ]
    assert verdicts([weak, *elsewhere], STATISTICS)["verdict"].tolist().count(Verdict.LESS) == 1
    transferred = [pair(*counted(100, 9, 10, 100), source=describe(0))]
    assert verdicts([weak, *transferred], STATISTICS)["family_size"].tolist() == [1, 1]
    stronger = [pair(*counted(100, 9, 10, 100), attack="pgd-eps0.2", metadata={**PGD, "eps": 0.2})]
    assert verdicts([weak, *stronger], STATISTICS)["family_size"].tolist() == [2, 2]


def test_kinds_of_verdict_are_corrected_apart():
    table = verdicts(study_of(3, 200, 0.1, 0.1, np.random.default_rng(4)), STATISTICS)
    assert table["family_size"].tolist() == [1, 1]
    assert (table["p_difference_holm"] == table["p_difference"]).all()


P = st.floats(0, 1)


@given(P, P, st.floats(-1, 1), st.sampled_from(["", "base", "compressed"]), st.floats(0.01, 0.2), st.booleans())
def test_no_verdict_is_stronger_than_its_conditions(p_difference, p_equivalence, difference, favours, alpha, led):
    holm_values = {"p_difference_holm": p_difference, "p_equivalence_holm": p_equivalence}
    for comparison in ("white-box", "same-source"):
        row = SimpleNamespace(difference=difference, comparison=comparison, favours=favours, led=led, **holm_values)
        found = verdict(row, alpha)
        assert (found == Verdict.EQUIVALENT) == (p_equivalence < alpha)
        if found in (Verdict.MORE, Verdict.LESS, Verdict.TRANSFERS_WORSE, Verdict.FOUND_LESS):
            assert p_difference < alpha
        if found in (Verdict.MORE, Verdict.FOUND_LESS):
            assert led == (found == Verdict.MORE)
            assert difference > 0 and (comparison == "white-box" or favours == "base")
        if found == Verdict.LESS:
            assert difference <= 0 and (comparison == "white-box" or favours != "base")
        if found == Verdict.TRANSFERS_WORSE:
            assert comparison == "same-source"


@pytest.mark.parametrize("spread", [0, 0.03])
def test_false_claims_are_as_rare_as_alpha_allows(spread):
    """Two seeds of models that are equally good on average: a direction is a false claim about trainings."""
    rng = np.random.default_rng(3)
    claims = 0
    for _ in range(150):
        shifts = rng.normal(0, spread, 2).clip(-0.08, 0.08)
        members = []
        for seed, shift in enumerate(shifts):
            [member] = study_of(1, 200, 0.1 - shift, 0.1 + shift, rng)
            members.append(pair(member.reference_right, member.compressed_right, seed))
        [found] = about(verdicts(members, STATISTICS), About.TRAININGS)["verdict"]
        claims += found in (Verdict.MORE, Verdict.LESS)
    assert claims / 150 <= 0.07


def test_images_made_for_another_model_prove_nothing_for_the_one_they_were_not_made_for():
    target, base = describe(0, "weight", 0.5), describe(0)
    gains, loses = counted(100, 5, 60, 100), counted(100, 60, 5, 100)
    less, worse, more = Verdict.LESS, Verdict.TRANSFERS_WORSE, Verdict.MORE
    for source, favours, words, expected in (
        (base, "compressed", "made for the base model, which favours the compressed one", (worse, less)),
        (target, "base", "made for the compressed model, which favours the base one", (more, worse)),
        (describe(1), "", "on images crafted on cnn3.standard.none.none of another seed", (worse, less)),
    ):
        for truth, found in zip((gains, loses), expected, strict=True):
            [row] = verdicts([pair(*truth, source=source)], STATISTICS).itertuples()
            assert row.favours == favours
            assert row.verdict == found
            assert words in row.sentence
    assert row.seed_relation == "other"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((100, 5, 60, 100), Verdict.FOUND_LESS),
        ((1500, 10, 10, 1480), Verdict.EQUIVALENT),
        ((99, 60, 5, 99), Verdict.LESS),
    ],
)
def test_a_search_that_no_gradients_led_proves_nothing_in_a_models_favour(counts, words):
    [row] = verdicts([pair(*counted(*counts), led=False)], STATISTICS).itertuples()
    assert row.verdict == words
    assert ("proves nothing in the model's favour" in row.sentence) == (words != Verdict.LESS)
    [row] = verdicts([pair(*counted(*counts))], STATISTICS).itertuples()
    assert row.verdict == (Verdict.MORE if words == Verdict.FOUND_LESS else words)
    assert "proves nothing" not in row.sentence
    # One search of several seeds is enough.
    runs = [pair(*counted(*counts), seed=seed, led=seed > 0) for seed in range(3)]
    assert Verdict.MORE not in set(verdicts(runs, STATISTICS)["verdict"])


def test_what_explains_a_difference_is_said():
    """The compressed model loses 30 images of 200 under attack: they were wrong on it before, or right on both."""
    base, compressed = counted(100, 30, 0, 70)
    all_right = np.ones(200, bool)
    [lost] = verdicts([pair(base, compressed, clean=(all_right, ~(base & ~compressed)))], STATISTICS).itertuples()
    assert (lost.clean_difference, lost.both_right) == (pytest.approx(-0.15), pytest.approx(0.85))
    assert (lost.difference_both_right, lost.explained_by) == (0, Cause.CLEAN_ACCURACY)
    assert "On clean images it is 15.0 points below, and under attack equal on the 85 %" in lost.sentence
    assert lost.sentence.endswith("most of the difference comes from the other images, from clean accuracy.")
    [fell] = verdicts([pair(base, compressed)], STATISTICS).itertuples()
    assert (fell.clean_difference, fell.both_right) == (0, 1)
    assert (fell.difference_both_right, fell.explained_by) == (pytest.approx(-0.15), Cause.ROBUSTNESS)
    none = ~all_right
    [wrong] = verdicts([pair(base, compressed, clean=(none, none))], STATISTICS).itertuples()
    assert np.isnan(wrong.difference_both_right) and wrong.explained_by == Cause.CLEAN_ACCURACY


def test_the_headline_is_about_trainings_where_it_can_be():
    several = verdicts(study_of(2, 50, 0.1, 0.1, np.random.default_rng(0)), STATISTICS)
    assert headline(several)["about"].tolist() == [About.TRAININGS]
    one = verdicts(study_of(1, 50, 0.1, 0.1, np.random.default_rng(0)), STATISTICS)
    assert headline(one)["about"].tolist() == [About.MODELS]


def test_several_sources_of_one_seed_are_averaged_before_seeds_are():
    """Surrogates of two other seeds: two runs, but one seed of the target."""
    members = [
        pair(*counted(50, 30, 0, 20), source=describe(1)),
        pair(*counted(50, 10, 0, 40), source=describe(2)),
    ]
    row = verdicts(members, STATISTICS).iloc[0]
    assert (row["seeds"], row["runs"]) == (1, 2)
    assert row["difference"] == pytest.approx(-0.2)
    assert np.isnan(row["std"])
    assert row["low"] < -0.2 < row["high"] < 0


def test_seeds_of_targets_and_of_surrogates_both_count_for_trainings():
    """A run's difference is what its target adds and what its surrogate does; a seed trains one of each."""
    of_targets, of_sources = np.array([0.1, 0.16, 0.28, 0.14]), np.array([0.02, 0.12, 0.06, 0.2])
    lost = np.round(1000 * (of_targets[:, None] + of_sources)).astype(int)
    members = [
        pair(*counted(0, lost[target, source], 0, 1000 - lost[target, source]), target, source=describe(source))
        for target, source in zip(*np.nonzero(~np.eye(4, dtype=bool)), strict=True)
    ]
    every = np.ones(1000, bool)
    found = Mean.of(by_seed(members, every))
    assert (found.seeds, found.mean) == (4, pytest.approx(-(of_targets + of_sources).mean()))
    assert found.variance == pytest.approx((of_targets + of_sources).var(ddof=1))
    # Pairs that failed the audit leave the mean where it is.
    some = by_seed(members[:-1], every)
    of_seeds = [[one.difference.mean() for one in members[:-1] if one.target["seed"] == seed] for seed in range(4)]
    assert some.mean() == pytest.approx(np.mean([np.mean(own) for own in of_seeds]))


# Max delta


def test_max_delta_is_signed_and_its_counterpart_is_not():
    """The poster's number is a small gain at one ratio; the loss at another is what matters."""
    members = [
        pair(*counted(100, 5, 15, 80), ratio=0.1),
        pair(*counted(100, 30, 30, 40), ratio=0.3),
        pair(*counted(100, 90, 2, 8), ratio=0.5),
    ]
    [row] = max_delta(members, STATISTICS).itertuples()
    assert (row.max_delta, row.max_delta_ratio) == (pytest.approx(0.05), 0.1)
    assert (row.largest_delta, row.largest_delta_ratio) == (pytest.approx(-0.44), 0.5)
    assert row.levels == 3
    found = Mean.of(np.array([[-1] * 90 + [1] * 2 + [0] * 108]))
    assert (row.low, row.high) == pytest.approx(interval(found, 0.05 / 3, About.MODELS))
    all_lose = max_delta(members[2:], STATISTICS).iloc[0]
    assert all_lose["max_delta"] == all_lose["largest_delta"] == pytest.approx(-0.44)


def test_a_delta_that_the_audit_warns_of_is_marked():
    """A model that predicts one class stands where its base falls."""
    sound = [pair(*counted(100, 90, 2, 8), ratio=0.1), pair(*counted(100, 5, 15, 80), ratio=0.3)]
    broken = replace(pair(*counted(40, 10, 100, 50), ratio=0.97), warned=True)
    tables = [max_delta(members, STATISTICS) for members in ([*sound, broken], sound, [sound[0], broken])]
    assert [table["warned"].item() for table in tables] == ["max_delta; largest_delta", "", "max_delta; largest_delta"]
    less = replace(pair(*counted(100, 95, 2, 3), ratio=0.97), warned=True)
    assert max_delta([*sound, less], STATISTICS)["warned"].item() == "largest_delta"
    texts = tables[0].astype(str)[["max_delta", "largest_delta", "warned"]]
    assert readable("max_delta", texts).rows == [["+45.0 †", "+45.0 †"]]


def test_levels_of_bits_are_no_ratios():
    """Two bit widths are two levels, however much a pruning removed before them."""
    members = [pair(*counted(100, 5, 15, 80)), pair(*counted(100, 90, 2, 8))]
    members = [
        replace(member, target=member.target | {"ratio": 0.9, "bits": bits})
        for member, bits in zip(members, (8, 4), strict=True)
    ]
    [row] = max_delta(members, STATISTICS).itertuples()
    assert (row.levels, row.max_delta_ratio, row.max_delta_bits) == (2, 0.9, 8)
    assert (row.largest_delta_ratio, row.largest_delta_bits) == (0.9, 4)


def test_max_delta_has_a_row_per_curve_and_its_interval_covers_the_choice():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        members = []
        for ratio in (0.1, 0.2, 0.3, 0.4, 0.5):
            [member] = study_of(1, 150, 0.1, 0.1, rng)
            members.append(pair(member.reference_right, member.compressed_right, ratio=ratio))
        [row] = max_delta(members, STATISTICS).itertuples()
        covered += row.low <= 0 <= row.high
    assert covered / 200 >= 0.93


# Settings


def test_settings_have_their_defaults():
    assert Study(changed(MINIMAL, {})).config["statistics"] == {"alpha": 0.05, "margin": 0.02}


# The real workflow

BASE = "cnn8.standard.none.none.s0"


def read(finished, name):
    return pd.read_csv(finished.results / f"tables/{name}.csv", keep_default_na=False, na_values={"std": [""]})


def test_workflow_compares_every_compressed_model_with_its_base(finished):
    table = read(finished, "comparisons")
    assert len(table) == 3 * 2
    assert set(table["comparison"]) == {"same-source"} and set(table["reference"]) == {BASE}
    for row in table.itertuples():
        folder = finished.results / "predictions/digits"
        base, target = (load_file(folder / f"{name}/{BASE}.safetensors") for name in (BASE, row.target))
        right = [arrays[f"prediction:{row.attack}"] == arrays["labels"] for arrays in (base, target)]
        assert row.only_reference_right == (right[0] & ~right[1]).sum()
        assert row.only_compressed_right == (right[1] & ~right[0]).sum()
        assert row.both_right + row.only_reference_right + row.only_compressed_right + row.both_wrong == row.n == 40
        assert row.low <= row.difference <= row.high
    assert set(table["against"]) == {"base"}
    accuracy = read(finished, "robust_accuracy").set_index(["source", "target", "attack"])["accuracy"]
    for row in table.itertuples():
        compressed, base = (accuracy[row.source, name, row.attack] for name in (row.target, row.reference))
        assert row.difference == pytest.approx(compressed - base, abs=2e-6)


def test_workflow_says_its_verdicts_in_words(finished):
    table = read(finished, "verdicts")
    clean = read(finished, "clean_accuracy").set_index("model")["accuracy"]
    assert len(table) == 3 * 2
    assert set(table["verdict"]) <= {Verdict.TRANSFERS_WORSE, Verdict.LESS, Verdict.EQUIVALENT, Verdict.NOT_SHOWN}
    assert set(table["about"]) == {About.MODELS}
    assert set(table["favours"]) == {"compressed"}
    assert (table["seeds"] == 1).all() and table["std"].isna().all()
    for row in table.itertuples():
        assert row.sentence.startswith(f"{row.verdict.capitalize()}, these models: ")
        assert "these images were made for the base model, which favours the compressed one. On clean" in row.sentence
        name = f"cnn8.standard.{row.compression}-{100 * row.ratio:g}.standard.s0"
        own, base = (clean[model] for model in (name, BASE))
        assert row.clean_difference == pytest.approx(own - base, abs=1e-6)
    assert len(read(finished, "max_delta")) == 2 * 2
    counts = read(finished, "flips").merge(read(finished, "comparisons"), on=["target", "attack"])
    assert (counts["broken"] == counts["only_reference_right"]).all()
    assert (counts["mended"] == counts["only_compressed_right"]).all()


def test_changing_the_statistics_rewrites_the_verdicts_and_what_shows_them(study):
    study.config["statistics"] = {"alpha": 0.1, "margin": 0.05}
    assert study.planned() == {
        **{"write_verdicts": 1, "select_variants": 1, "plot_accuracy_differences": 1},
        **{"write_answers": 1, "write_cards": 1, "plot_answers": 1},
        **{"format_tables": 1, "write_story": 1, "write_explorer": 1},
    }
