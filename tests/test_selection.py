"""The smallest models that hold their accuracy, and what is said where none does or nothing was evaluated."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squeezeproof.analysis.selection import (
    CHOSEN,
    NONE_WITHIN,
    NOT_EVALUATED,
    NOT_SHOWN,
    NOTHING_TO_KEEP,
    broken_variants,
    select_variants,
    strongest_attack,
)
from squeezeproof.statistics.crossed import About, Mean, interval

AXES = ["architecture", "training", "compression", "ratio", "bits", "finetuning"]
BASE = ("none", 0.0)
PGD = "pgd-eps0.1"


def axes(compression, ratio, finetuning="none"):
    return dict(zip(AXES, ["cnn3", "standard", compression, ratio, 32, finetuning], strict=True))


def cell(variant, mean, attack="clean", *, threat=None, runs=2, **other):
    named = {f"target_{axis}": value for axis, value in axes(*variant).items()}
    threat = threat or ("clean" if attack == "clean" else "white-box")
    shown = {"attack": attack, "method": attack.partition("-")[0]}
    return {"dataset": "d", **named, "threat": threat, **shown, "runs": runs, "mean": mean, **other}


def size(variant, packed, seed=0):
    return {"dataset": "d", "seed": seed, "packed_bytes": packed, **axes(*variant)}


def paired(rows, *, n=1000, seeds=2, std=0.01):
    """Differences of (variant, attack, difference), each with half of the images that differ in either direction."""
    return pd.DataFrame(
        [
            {"dataset": "d", **axes(*variant), "attack": attack, "difference": difference, "mean_square": 0.04}
            | {"n": n, "seeds": seeds, "std": std}
            for variant, attack, difference in rows
        ],
        columns=["dataset", *AXES, "attack", "difference", "mean_square", "n", "seeds", "std"],
    )


NONE = paired([])


def chosen(cells, sizes, *, tolerance=0.01, attack=None, differences=NONE, broken=()):
    """Criterion -> row, for studies with one group."""
    table = select(cells, sizes, tolerance=tolerance, attack=attack, differences=differences, broken=broken)
    return {row["criterion"]: row for _, row in table.iterrows()}


def warned(*models):
    """The tables `robust_accuracy` and `compression` of models, (variant, seed, numbers of checks that warn)."""
    rows = [
        (f"{compression}-{ratio}.s{seed}", axes(compression, ratio), told)
        for (compression, ratio), seed, told in models
    ]
    robust = pd.DataFrame(
        [{"dataset": "d", "target": name, "warnings": told} for name, _, told in rows],
        columns=["dataset", "target", "warnings"],
    )
    made = pd.DataFrame(
        [{"dataset": "d", "model": name, **own} for name, own, _ in rows], columns=["dataset", "model", *AXES]
    )
    return robust, made


def select(cells, sizes, *, tolerance=0.0, attack=None, differences=NONE, broken=()):
    tables = pd.DataFrame(cells), pd.DataFrame(sizes), differences, broken_variants(*warned(*broken))
    return select_variants(*tables, tolerance=tolerance, attack=attack, alpha=0.05)


SIZES = [size(BASE, 100), size(("weight", 0.5), 60), size(("weight", 0.9), 20), size(("weight", 0.98), 10)]


def cells(clean, robust, **more):
    levels = [BASE, ("weight", 0.5), ("weight", 0.9), ("weight", 0.98)]
    pairs = zip(levels, clean, strict=True), zip(levels, robust, strict=True)
    return [*(cell(*pair) for pair in pairs[0]), *(cell(*pair, PGD) for pair in pairs[1])]


def test_a_model_that_is_broken_at_a_seed_is_no_candidate():
    """Against a base that hardly stands, guessing one class looks robust."""
    told = [(("weight", 0.98), 0, "11"), (("weight", 0.98), 1, "11 22"), (("weight", 0.9), 0, "122")]
    rows = chosen(cells([0.9, 0.91, 0.895, 0.1], [0.08, 0.02, 0.09, 0.1]), SIZES, broken=told)
    assert rows["high robustness"]["ratio"] == 0.9 and rows["high robustness"]["candidates"] == 2
    assert chosen(cells([0.9, 0.91, 0.895, 0.1], [0.08, 0.02, 0.09, 0.1]), SIZES)["high robustness"]["ratio"] == 0.98


def test_the_smallest_model_within_the_tolerance_is_selected_for_either_criterion():
    rows = chosen(cells([0.9, 0.91, 0.895, 0.8], [0.5, 0.495, 0.4, 0.5]), SIZES)
    clean, robust = rows["high compression"], rows["high robustness"]
    assert (clean["selected"], clean["ratio"], clean["packed_bytes"], clean["candidates"]) == (CHOSEN, 0.9, 20, 3)
    assert clean["difference"] == pytest.approx(-0.005) and clean["share_of_bytes"] == 0.2
    # A larger ratio may hold where a smaller one does not.
    assert (robust["attack"], robust["ratio"]) == (PGD, 0.98)


def test_a_loss_of_exactly_the_tolerance_is_within_it():
    assert chosen(cells([0.9, 0.89, 0.88, 0.8], [0.5] * 4), SIZES)["high compression"]["ratio"] == 0.5
    none = chosen(cells([0.9, 0.889, 0.88, 0.8], [0.5] * 4), SIZES)["high compression"]
    assert none["selected"] == NONE_WITHIN and none["candidates"] == 3 and pd.isna(none["ratio"])


def test_robustness_without_white_box_attacks_on_the_compressed_is_not_evaluated():
    levels = [(BASE, 0.9), (("weight", 0.5), 0.9)]
    only_base = [*(cell(*pair) for pair in levels), cell(BASE, 0.5, PGD)]
    transferred = cell(("weight", 0.5), 0.9, PGD, threat="transfer")
    for found in (only_base, [*only_base, transferred]):
        row = chosen(found, SIZES)["high robustness"]
        assert (row["selected"], row["candidates"]) == (NOT_EVALUATED, 0)
    row = chosen([cell(*pair) for pair in levels], SIZES)["high robustness"]
    assert (row["selected"], row["attack"]) == (NOT_EVALUATED, "")


def test_a_base_without_accuracy_has_nothing_to_keep():
    row = chosen(cells([0.9] * 4, [0.01, 0.01, 0.01, 0.01]), SIZES)["high robustness"]
    assert row["selected"] == NOTHING_TO_KEEP and pd.isna(row["packed_bytes"])


def test_a_model_that_lost_a_seed_is_no_candidate():
    found = cells([0.9] * 4, [0.5] * 4)
    found[3]["runs"] = 1
    row = chosen(found, SIZES)["high compression"]
    assert (row["ratio"], row["candidates"]) == (0.9, 2)


def test_sizes_are_means_over_seeds_and_ties_go_to_the_more_accurate():
    sizes = [size(BASE, 100), *(size(("filter", 0.5), packed, seed) for seed, packed in enumerate((30, 50)))]
    sizes += [size(("filter", 0.5, "standard"), 40)]
    found = [cell(BASE, 0.9), cell(("filter", 0.5), 0.9), cell(("filter", 0.5, "standard"), 0.95)]
    row = chosen(found, sizes)["high compression"]
    assert (row["finetuning"], row["packed_bytes"]) == ("standard", 40)


def test_the_interval_of_the_selected_allows_for_the_choice():
    means = cells([0.9, 0.91, 0.895, 0.8], [0.5, 0.495, 0.4, 0.5])
    differences = paired(
        [(("weight", 0.9), "clean", -0.005), (("weight", 0.98), PGD, 0.0), (("weight", 0.9), PGD, -0.1)]
    )
    rows = chosen(means, SIZES, differences=differences)
    for criterion, difference in (("high compression", -0.005), ("high robustness", 0.0)):
        found = Mean(difference, 0.04, 1000, 2, 0.01**2)
        row = rows[criterion]
        # Three candidates, of which one was chosen.
        for about, name in ((About.MODELS, "models"), (About.TRAININGS, "trainings")):
            assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(interval(found, 0.05 / 3, about))
        assert row["within_tolerance"] == NOT_SHOWN
    many = paired([(("weight", 0.98), PGD, 0.0)], n=100_000)
    row = chosen(means, SIZES, differences=many)["high robustness"]
    assert row["models_low"] > -0.01 > row["trainings_low"]
    assert row["within_tolerance"] == About.MODELS
    one = paired([(("weight", 0.98), PGD, 0.0)], n=100_000, seeds=1, std=float("nan"))
    row = chosen(means, SIZES, differences=one)["high robustness"]
    assert row["within_tolerance"] == About.MODELS and pd.isna(row["trainings_low"])


def test_every_compression_has_its_own_row_and_bases_have_none():
    sizes = [*SIZES, size(("filter", 0.5), 40)]
    table = select(cells([0.9] * 4, [0.5] * 4), sizes)
    assert list(table["compression"]) == ["filter", "filter", "weight", "weight"]
    assert list(table["selected"]) == [NOT_EVALUATED] * 2 + [CHOSEN] * 2
    none = select(cells([0.9] * 4, [0.5] * 4), SIZES[:1])
    assert none.empty and list(none) == list(table)


def test_the_strongest_attack_is_the_lowest_mean_among_those_on_the_most_models():
    found = cells([0.9] * 4, [0.5, 0.4, 0.4, 0.4])
    found += [cell(("weight", 0.5), 0.1, "cw"), cell(BASE, 0.0, "fgsm-eps0.1", threat="transfer")]
    found += [
        cell((*level,), 0.6, "fgsm-eps0.1") for level in (BASE, ("weight", 0.5), ("weight", 0.9), ("weight", 0.98))
    ]
    table = pd.DataFrame(found)
    assert strongest_attack(table, "d") == PGD
    assert strongest_attack(table, "other") is None
    assert chosen(found, SIZES, attack="fgsm-eps0.1")["high robustness"]["attack"] == "fgsm-eps0.1"


@given(
    accuracies=st.lists(st.integers(0, 20), min_size=4, max_size=4),
    packed=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    tolerance=st.sampled_from([0, 0.05, 0.1]),
)
def test_no_model_within_the_tolerance_is_smaller(accuracies, packed, tolerance):
    means = [count / 20 for count in accuracies]
    sizes = [size(BASE, 100), *(size(("weight", ratio), p) for ratio, p in zip((0.5, 0.9, 0.98), packed, strict=True))]
    row = chosen(cells(means, means), sizes, tolerance=tolerance)["high compression"]
    within = [p for mean, p in zip(means[1:], packed, strict=True) if mean >= means[0] - tolerance - 1e-9]
    if means[0] <= tolerance:
        assert row["selected"] == NOTHING_TO_KEEP
    elif not within:
        assert row["selected"] == NONE_WITHIN
    else:
        assert row["packed_bytes"] == min(within) and row["accuracy"] >= means[0] - tolerance - 1e-9


@pytest.mark.parametrize(("attack", "shown"), [(PGD, "these models, trainings"), ("square-eps0.1", NOT_SHOWN)])
def test_what_resists_a_search_without_gradients_is_not_shown_to_keep_anything(attack, shown):
    small = ("weight", 0.9)
    cells = [cell(one, mean, name) for one in (BASE, small) for name, mean in (("clean", 0.9), (attack, 0.5))]
    differences = paired([(small, name, 0.0) for name in ("clean", attack)], n=100_000, std=0.0001)
    sizes = [size(BASE, 100), size(small, 10)]
    found = chosen(cells, sizes, tolerance=0.02, differences=differences)
    assert found["high robustness"]["selected"] == CHOSEN and found["high robustness"]["within_tolerance"] == shown
    assert found["high compression"]["within_tolerance"] == "these models, trainings"
