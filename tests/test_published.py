"""Our accuracies beside published ones, from tables that the tests write."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from squeezeproof.analysis.published import AGREES, DISAGREES, TOO_WIDE, agreement, compare, of_stages
from squeezeproof.analysis.readings import rank
from squeezeproof.errors import InputError
from squeezeproof.figures.published import dumbbell
from squeezeproof.figures.style import save
from squeezeproof.pages.readings_page import readings_page
from squeezeproof.statistics.intervals import wilson
from squeezeproof.tables.catalog.accuracy import CLEAN_ACCURACY
from squeezeproof.tables.files import write_table

N = 20
AXES = ("dataset", "architecture", "training", "compression", "attack")
NAMES = {
    "table": "p.csv",
    "tables": ["*"],
    "threat": "white-box",
    "eps_scale": 1,
    **{f"{axis}s": {} for axis in AXES},
    "compressions": {"weight_magnitude": "weight"},
    "attacks": {"FGSM": "fgsm"},
}


def ours(attack="clean", mean=0.9, std=np.nan, runs=1, threat="white-box", **target):
    """A row of the table over_seeds."""
    model = {"architecture": "cnn3", "training": "standard", "compression": "none", "ratio": 0.0, "bits": 32}
    model |= {"finetuning": "none"} | target
    source = model if threat == "white-box" else {**model, "compression": "none", "ratio": 0.0, "finetuning": "none"}
    return {
        "dataset": "digits",
        **{f"target_{axis}": value for axis, value in model.items()},
        **{f"source_{axis}": value for axis, value in source.items()},
        "threat": "clean" if attack == "clean" else threat.split("/")[0],
        "seed_relation": threat.partition("/")[2] or "same",
        "attack": attack,
        "entry": attack.rsplit("-eps", 1)[0],
        "eps": float(attack.rsplit("-eps", 1)[1]) if "-eps" in attack else np.nan,
        "runs": runs,
        "mean": mean,
        "std": std,
        "min": mean,
        "max": mean,
    }


def theirs(attack="none", epsilon=np.nan, value=95.0, **other):
    model = {"dataset": "digits", "architecture": "cnn3", "training": "standard", "compression": "none", "ratio": 0}
    metric = {"table": 1, "metric": "accuracy_pct"}
    return {**metric, **model, "attack": attack, "epsilon": epsilon, "value": value} | other


def beside(means, published, **names):
    return compare(pd.DataFrame(means), N, pd.DataFrame(published), {**NAMES, **names})


WEIGHT = {"compression": "weight_magnitude", "ratio": 0.9}
PRUNED = {"compression": "weight", "ratio": 0.9, "finetuning": "standard"}


def test_several_seeds_have_an_interval_over_seeds_and_images():
    means = [ours("fgsm-eps0.1", 0.15, np.std([0.1, 0.2], ddof=1), 2, **PRUNED), ours("fgsm-eps0.1", 0.5, runs=2)]
    (row,) = beside(means, [theirs("FGSM", 0.1, 90, **WEIGHT)]).itertuples()
    half = stats.t.ppf(0.975, 1) * np.std([10, 20], ddof=1) / np.sqrt(2)
    assert (row.mean, row.difference, row.runs) == (pytest.approx(15), pytest.approx(-75), 2)
    half = np.hypot(half, 100 * (wilson(0.15 * N, N)[1] - 0.15))
    assert (row.low, row.high) == (0, pytest.approx(15 + half))
    assert row.agreement == (TOO_WIDE if 15 + half >= 90 else DISAGREES)


def test_pairs_of_seeds_have_the_interval_of_as_many_seeds():
    """Three seeds have six pairs of a surrogate and a target, which share their models."""
    bounds = {}
    for threat, runs in (("white-box", 3), ("transfer/other", 6)):
        # Of values that are there twice.
        std = 0.05 if runs == 3 else 0.05 * np.sqrt(4 / 5)
        (row,) = beside(
            [ours("fgsm-eps0.1", 0.5, std, runs, threat), ours(runs=3)],
            [theirs("FGSM", 0.1, 50)],
            threat={"white-box": "white-box", "transfer/other": "surrogate"}[threat],
        ).itertuples()
        assert row.runs == runs
        bounds[threat] = row.low, row.high
    assert bounds["transfer/other"] == pytest.approx(bounds["white-box"])


def test_seeds_that_happen_to_agree_confirm_and_refute_no_more_than_their_images_do():
    (row,) = beside([ours(mean=0.81, std=0.0, runs=2)], [theirs(value=80)]).itertuples()
    assert row.low < 80 < row.high and row.agreement == TOO_WIDE


def test_one_seed_has_a_wilson_interval():
    (row,) = beside([ours(mean=0.95)], [theirs(value=95)]).itertuples()
    interval = stats.binomtest(19, N).proportion_ci(method="wilson")
    assert (row.low, row.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert row.agreement == TOO_WIDE


def test_what_was_not_run_has_no_number():
    table = beside([ours()], [theirs(), theirs("PGD", 0.1), theirs("FGSM", 0.1), theirs(**WEIGHT)])
    assert table["mean"].isna().tolist() == [False, True, True, True]
    assert table["agreement"].tolist() == [TOO_WIDE, "", "", ""]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (88, 94, AGREES),
        (90, 95.9, AGREES),
        (87.9, 94, TOO_WIDE),
        (3.5, 100, TOO_WIDE),
        (91, 92, DISAGREES),
        (0, 89, DISAGREES),
    ],
)
def test_only_a_narrow_interval_confirms_a_published_value(low, high, expected):
    row = SimpleNamespace(mean=(low + high) / 2, low=low, high=high, published=90)
    assert agreement(row) == expected


@pytest.mark.parametrize("axis", ["dataset", "architecture", "training"])
def test_what_no_model_of_the_study_has_is_left_out(axis):
    table = beside([ours()], [theirs(), theirs(**{axis: "another"})])
    assert table[axis].tolist() == [theirs()[axis]]
    with pytest.raises(InputError, match="no model of the study has"):
        beside([ours()], [theirs(**{axis: "another"})])


def test_fractions_are_published_in_per_cent():
    (row,) = beside([ours()], [theirs(value=0.853, metric="accuracy_fraction_approx")]).itertuples()
    assert row.published == pytest.approx(85.3)


def test_integer_types_are_bit_widths():
    means = [ours(mean=0.8, compression="ptq", ratio=0.75, bits=8), ours(mean=0.3, compression="ptq", ratio=0.75)]
    (row,) = beside(means, [theirs(compression="ptq", ratio="int8")]).itertuples()
    assert row.mean == pytest.approx(80)


def test_a_budget_that_is_not_stated_stands_for_the_only_one():
    (row,) = beside([ours("fgsm-eps0.3", 0.2)], [theirs("FGSM")]).itertuples()
    assert row.mean == pytest.approx(20)
    with pytest.raises(InputError, match=r"stands for 2 cells of the study.*give each budget an entry"):
        beside([ours("fgsm-eps0.3"), ours("fgsm-eps0.1")], [theirs("FGSM")])


def test_budgets_may_be_fractions():
    means = [ours(f"fgsm-eps{8 / 255}", 0.2), ours("fgsm-eps0.1", 0.1)]
    (row,) = beside(means, [theirs("FGSM", "8/255")]).itertuples()
    assert row.mean == pytest.approx(20)


def test_budgets_may_be_of_another_unit():
    means = [ours("fgsm-eps0.05", 0.2), ours("fgsm-eps0.1", 0.1)]
    (row,) = beside(means, [theirs("FGSM", 0.1)], eps_scale=0.5).itertuples()
    assert (row.mean, row.eps) == (pytest.approx(20), 0.1)


def test_several_fine_tunings_must_be_told_apart():
    means = [ours(mean=0.7, **PRUNED), ours(mean=0.8, **{**PRUNED, "finetuning": "adversarial"})]
    with pytest.raises(InputError, match=r"published.trainings: \{standard: training/fine-tuning\}"):
        beside(means, [theirs(**WEIGHT)])
    (row,) = beside(means, [theirs(**WEIGHT)], trainings={"standard": "standard/adversarial"}).itertuples()
    assert row.mean == pytest.approx(80)


@pytest.mark.parametrize(("threat", "mean"), [("white-box", 10), ("base", 20), ("surrogate", 30)])
def test_the_threat_says_whose_examples_count(threat, mean):
    means = [
        ours("fgsm-eps0.1", 0.1, **PRUNED),
        ours("fgsm-eps0.1", 0.2, threat="transfer/same", **PRUNED),
        ours("fgsm-eps0.1", 0.3, threat="transfer/other", **PRUNED),
        # Of another architecture: no surrogate of this one.
        ours("fgsm-eps0.1", 0.4, threat="transfer/other", **PRUNED) | {"source_architecture": "cnn8"},
    ]
    (row,) = beside(means, [theirs("FGSM", 0.1, **WEIGHT)], threat=threat).itertuples()
    assert row.mean == pytest.approx(mean)


def test_stages_of_a_suite_are_cells_of_their_own():
    stages = pd.DataFrame(
        {
            "dataset": "digits",
            "source": ["a.s0", "a.s0", "a.s1", "a.s1"],
            "attack": "suite-eps0.1",
            "entry": "suite",
            "order": [1, 2, 1, 2],
            "accuracy": [0.5, 0.4, 0.3, 0.2],
        }
    )
    model = {"dataset": "digits", "architecture": "cnn3", "training": "standard", "compression": "none", "ratio": 0}
    rows = of_stages(stages, [{**model, "name": f"a.s{seed}", "bits": 32, "finetuning": "none"} for seed in (0, 1)])
    means = pd.concat([pd.DataFrame([ours()]), rows])
    table = beside(means, [theirs("DLR", 0.1), theirs()], attacks={"DLR": "suite/2"})
    assert table["mean"].tolist() == pytest.approx([30, 90])
    assert table["runs"].tolist() == [2, 1]


def test_a_selection_without_numbers_is_refused():
    with pytest.raises(InputError, match=r"published.tables: \['9'\] selects no accuracy"):
        beside([ours()], [theirs()], tables=["9"])
    with pytest.raises(InputError, match="lacks the columns value"):
        compare(pd.DataFrame([ours()]), N, pd.DataFrame([theirs()]).drop(columns="value"), NAMES)


def test_a_figure_saved_twice_has_the_same_bytes(tmp_path):
    table = beside([ours(), ours("fgsm-eps0.1", **PRUNED)], [theirs(), theirs("FGSM", 0.1, **WEIGHT)])
    for name in ("a", "b"):
        save(dumbbell(table), [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"])
    for ending in ("svg", "png"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_every_model_of_a_figure_has_a_panel():
    ratios = [round(0.1 * step, 1) for step in range(10)]
    means = [ours(**{**PRUNED, "ratio": ratio}) for ratio in ratios]
    figure = dumbbell(beside(means, [theirs(**{**WEIGHT, "ratio": ratio}) for ratio in ratios]))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"standard\nweight magnitude, {100 * ratio:g} % removed" for ratio in ratios]


def test_one_ratio_written_in_two_ways_is_one_model():
    published = [theirs(ratio="0.0"), theirs("FGSM", 0.1, ratio="0")]
    table = beside([ours(), ours("fgsm-eps0.1")], published)
    assert list(table["ratio"]) == ["0", "0"]
    assert [axes.get_title(loc="left") for axes in dumbbell(table).figure.axes] == ["standard\nbase"]


CHOICES = {
    "architecture": {"cnn3": {"weights": "PyTorch"}, "he": {"weights": "He"}},
    "filter_magnitude": {"filter": {"ranked": "alone"}, "other": {"ranked": "together"}},
}


def readings():
    """(rows of over_seeds, published rows) of two architectures and two filter prunings."""
    models = [("cnn3", "filter", 0.5), ("he", "filter", 0.75), ("he", "other", 0.25), ("cnn3", "other", 0.55)]
    means = [ours(mean=0.8), ours(mean=0.88, architecture="he")]
    means += [
        ours(mean=mean, architecture=architecture, compression=compression, ratio=0.5, finetuning="standard")
        for architecture, compression, mean in models
    ]
    return means, [theirs(value=90.0), theirs(value=60.0, compression="filter_magnitude", ratio=0.5)]


def test_readings_are_ranked_by_their_distance_to_the_print():
    means, published = readings()
    ranked, cells = rank(pd.DataFrame(means), N, pd.DataFrame(published), NAMES, CHOICES)
    assert list(ranked.columns) == ["weights", "ranked", "all", "base", "filter_magnitude"]
    assert [tuple(row) for row in ranked.round(6).itertuples(index=False)] == [
        ("PyTorch", "together", 7.5, 10, 5),
        ("He", "alone", 8.5, 2, 15),
        ("PyTorch", "alone", 10, 10, 10),
        ("He", "together", 18.5, 2, 35),
    ]
    distances = cells["difference"].abs().groupby(cells["reading"]).mean()
    assert distances.tolist() == pytest.approx(ranked["all"].tolist())


def test_a_page_ranks_the_readings_and_names_the_usual_one(tmp_path):
    means, published = readings()
    folder, seeds, printed = tmp_path / "readings", tmp_path / "seeds", tmp_path / "paper.csv"
    folder.mkdir()
    seeds.mkdir()
    write_table(folder / "over_seeds.csv", pd.DataFrame(means).assign(method="", norm=""))
    write_table(folder / "clean_accuracy.csv", pd.DataFrame(columns=CLEAN_ACCURACY.names([]), data=[{"n": N}]))
    several = beside([ours(mean=0.8, std=0.03, runs=3)], published[:1])
    write_table(seeds / "published.csv", several)
    pd.DataFrame(published).to_csv(printed, index=False)
    names = {"tables": ["1"], "compressions": {}, "attacks": {}}
    page = {"published": names, "readings": CHOICES, "seeds": "seeds", "notes": ["A note."]}
    readings_page(folder, "Readings", "An introduction.", page, printed)
    text = (folder / "README.md").read_text()
    assert "Of 4 readings the nearest to the print is weights PyTorch, ranked together: 7.5 points" in text
    assert "The reading of our other studies is 10.0 away, number 3 of 4; the farthest is 18.5 away." in text
    assert "| 3 | PyTorch | alone | 10.0 | 10.0 | 10.0 |" in text
    assert "| weights | He | 13.5 | 8.5 |" in text
    assert "| filter magnitude 0.5 | clean images |  | 60.0 | 50.0 | −10.0 | 55.0 | −5.0 |" in text
    assert "a standard deviation of 3.0 points in the median" in text
    assert len(pd.read_csv(folder / "readings.csv")) == 4
