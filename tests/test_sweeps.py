"""Accuracy against rising eps: where it stops, what it keeps, its table and its figures."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from attack_fixtures import settings
from scipy import stats
from study_examples import changed
from torch import nn

from squeezeproof.analysis.sweep_pairs import sweep_differences
from squeezeproof.analysis.sweeps import sweeps_table
from squeezeproof.audit.findings import NOTHING_FOUND
from squeezeproof.errors import InputError
from squeezeproof.evaluation import sweep as sweeping
from squeezeproof.evaluation.sweep import sweep
from squeezeproof.figures.accuracy_against_eps import accuracy_against_eps
from squeezeproof.figures.transfer import transfer
from squeezeproof.statistics.crossed import About, Mean, interval
from squeezeproof.statistics.intervals import wilson
from squeezeproof.statistics.means import independent, mean_interval, seeds_of_pairs
from squeezeproof.store.predictions import NOT_SCORED
from squeezeproof.store.sweeps import Point, SweepFile
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.tables.files import read_table, write_table

# The model below tells an image with a pixel under the threshold from the others; all are of the first class.
THRESHOLD = 0.72
PIXELS = torch.tensor([51, 51, 51, 51, 102, 128, 153, 153, 153, 153], dtype=torch.uint8)
IMAGES, LABELS = PIXELS.view(-1, 1, 1, 1), torch.zeros(10, dtype=torch.int64)


def threshold_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    model[1].weight.data = torch.tensor([[0.0], [4.0]])
    model[1].bias.data = torch.tensor([0.0, -4 * THRESHOLD])
    return model.eval()


def still_right(eps):
    return int((PIXELS / 255 + eps < THRESHOLD).sum())


def attacks(*levels, method="fgsm"):
    return [(f"rising-eps{eps}", settings(method, eps=eps, stop_on_success=True)) for eps in levels]


def points(*levels, stops=True, known=(), method="fgsm", classes=2):
    found = sweep(
        threshold_model(), IMAGES, LABELS, attacks(*levels, method=method),
        classes=classes, stops=stops, seed=lambda name: 0, batch_size=4, known=known,
    )  # fmt: skip
    return list(found)


def accuracies(found):
    return [point.counts(LABELS)[0] for point in found]


# The sweep


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_a_linear_model_loses_what_its_margins_say(method):
    levels = (0.05, 0.2, 0.25, 0.4, 0.6)
    expected = [still_right(eps) for eps in levels]
    assert expected == [10, 6, 5, 4, 0]
    assert accuracies(points(*levels, stops=False, method=method)) == expected


def test_it_goes_on_at_chance_and_stops_below():
    assert accuracies(points(0.05, 0.2, 0.25, 0.4, 0.6)) == [10, 6, 5, 4]
    assert accuracies(points(0.05, 0.4, 0.6)) == [10, 4]
    # With three classes chance is a third, and 4 of 10 are above it.
    assert accuracies(points(0.25, 0.4, 0.6, classes=3)) == [5, 4, 0]


def test_a_minimum_norm_attack_gives_every_eps_from_one_run(monkeypatch):
    runs, craft = [], sweeping.craft
    monkeypatch.setattr(sweeping, "craft", lambda *args, **options: runs.append(args[3]) or craft(*args, **options))
    levels = (0.05, 0.2, 0.25, 0.4, 0.6)
    found = points(*levels, stops=False, method="deepfool")
    assert accuracies(found) == [still_right(eps) for eps in levels]
    assert [run["eps"] for run in runs] == [None]
    assert [point.costs["backwards_per_example"] > 0 for point in found] == [True, False, False, False, False]
    # One eps more is one run more, of the same points.
    more = points(*levels, 0.7, stops=False, method="deepfool", known=found)
    assert len(runs) == 2 and more[-1].costs["backwards_per_example"] == found[0].costs["backwards_per_example"]


def test_every_eps_attacks_every_image():
    for point in points(0.05, 0.25, 0.4, stops=False):
        assert point.costs["forwards_per_example"] >= 1 and point.costs["backwards_per_example"] == 1


def crafted_names(monkeypatch):
    names, craft = [], sweeping.craft

    def counted(model, images, labels, entry, **options):
        names.append(entry["eps"])
        return craft(model, images, labels, entry, **options)

    monkeypatch.setattr(sweeping, "craft", counted)
    return names


def test_known_points_are_kept_and_others_crafted(monkeypatch):
    known = points(0.05, 0.2)
    names = crafted_names(monkeypatch)
    found = points(0.05, 0.2, 0.25, known=known)
    assert names == [0.25] and found[:2] == known


def test_a_known_point_of_other_settings_is_crafted_again(monkeypatch):
    (known,) = points(0.05)
    names = crafted_names(monkeypatch)
    other = Point(known.name, {**known.settings, "loss": "margin"}, known.predictions, known.costs)
    points(0.05, known=[other])
    assert names == [0.05]


def test_known_points_below_chance_stop_it_too(monkeypatch):
    known = points(0.05, 0.4)
    names = crafted_names(monkeypatch)
    assert len(points(0.05, 0.4, 0.6, known=known)) == 2 and names == []


def test_images_that_the_attacker_has_seen_are_not_scored(monkeypatch):
    def craft(*args, **options):
        passes = dict.fromkeys(["forwards", "backwards", "zero_gradients"], 0)
        metadata = dict.fromkeys(sweeping.COSTS, 0.0) | {"held_out": 3, "n": 10, "stages": []}
        metadata["shard"] = {"fitting": passes, "passes": passes}
        return {"predictions": torch.zeros(10, dtype=torch.int64)}, metadata

    monkeypatch.setattr(sweeping, "craft", craft)
    (point,) = points(0.05)
    assert point.counts(LABELS) == (7, 7) and (point.predictions[:3] == NOT_SCORED).all()


# The file

METADATA = {"fingerprint": "f", "classes": ["a", "b"]}


def file_of(source="cnn3.standard.none.none.s0", stops=True, identity=("code",), checkpoint="f"):
    clean = torch.zeros(10, dtype=torch.int64)
    return SweepFile(
        "rising", "fgsm", "digits", source, LABELS, clean, stops, {"fingerprint": checkpoint}, METADATA, list(identity)
    )  # fmt: skip


def test_points_come_back_as_they_were(tmp_path):
    found = points(0.05, 0.2, 0.25)
    file_of().save(tmp_path / "s", found)
    known = file_of().known(tmp_path / "s")
    assert list(known) == sorted(point.name for point in found)
    for point in found:
        back = known[point.name]
        assert torch.equal(back.predictions, point.predictions)
        assert (back.settings, back.costs) == (point.settings, point.costs)


@pytest.mark.parametrize("other", [{"identity": ["edited"]}, {"checkpoint": "g"}])
def test_points_of_other_code_or_other_weights_are_not_kept(tmp_path, other):
    file_of().save(tmp_path / "s", points(0.05))
    assert file_of(**other).known(tmp_path / "s") == {}


def test_a_broken_or_absent_file_knows_nothing(tmp_path):
    assert file_of().known(tmp_path / "s") == {}
    file_of().save(tmp_path / "s", points(0.05))
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes()[:-5])
    assert file_of().known(tmp_path / "s") == {}


# The table


def describe(seed):
    return {
        **{"dataset": "digits", "name": f"cnn3.standard.none.none.s{seed}", "variant": "cnn3.standard.none.none"},
        **{"architecture": "cnn3", "ratio": 0.0},
        **{"training": "standard", "compression": "none", "bits": 32, "finetuning": "none", "seed": seed},
        "base": f"cnn3.standard.none.none.s{seed}",
    }


@pytest.fixture
def table(tmp_path):
    """Of two seeds, of which the second stops an eps earlier."""
    file_of(describe(0)["name"]).save(tmp_path / "s0", points(0.05, 0.2, 0.25, 0.4, 0.6))
    late = [point for point in points(0.05, 0.4, 0.6) if point]
    late[1] = Point("rising-eps0.2", attacks(0.2)[0][1], late[1].predictions, late[1].costs)
    file_of(describe(1)["name"]).save(tmp_path / "s1", late)
    return sweeps_table([tmp_path / "s1", tmp_path / "s0"], [describe(0), describe(1)])


def test_the_table_has_the_clean_images_and_every_eps_in_order(table, tmp_path):
    first = table[table["seed"] == 0]
    assert list(first["eps"]) == [0, 0.05, 0.2, 0.25, 0.4]
    assert list(first["correct"]) == [10, 10, 6, 5, 4]
    assert list(first["stopped"]) == [False] * 4 + [True] and set(table["chance"]) == {0.5}
    low, high = wilson(6, 10)
    assert (first.iloc[2]["low"], first.iloc[2]["high"]) == (pytest.approx(low), pytest.approx(high))
    assert np.isnan(first.iloc[0]["backwards_per_example"]) and first.iloc[1]["backwards_per_example"] == 1
    write_table(tmp_path / "sweeps.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "sweeps.csv"), table, check_dtype=False, rtol=1e-4)


def test_a_sweep_that_never_stops_marks_nothing(tmp_path):
    file_of(stops=False).save(tmp_path / "s", points(0.4, 0.6, stops=False))
    assert not sweeps_table([tmp_path / "s"], [describe(0)])["stopped"].any()


def test_points_that_failed_the_audit_are_left_out(tmp_path):
    file_of().save(tmp_path / "s", points(0.05, 0.2))
    audit = SimpleNamespace(failed=lambda *cell: cell[-1] == "rising-eps0.2", warnings=lambda *cell: "12")
    table = sweeps_table([tmp_path / "s"], [describe(0)], audit)
    assert list(table["eps"]) == [0, 0.05] and list(table["warnings"]) == ["12", "12"]


# What compressed models lose


def compressed(seed, **changes):
    names = {"name": f"cnn3.standard.weight-50.standard.s{seed}", "variant": "cnn3.standard.weight-50.standard"}
    axes = {"compression": "weight", "ratio": 0.5, "finetuning": "standard"}
    return {**describe(seed), "control": describe(seed)["name"], **names, **axes, **changes}


def right_at(counts):
    """Points of a sweep at which the model gets the first so many of the ten images right; `counts` by eps."""
    found = []
    for eps, right in counts.items():
        predicted = torch.ones(10, dtype=torch.int64)
        predicted[:right] = 0
        ((name, at),) = attacks(eps)
        found.append(Point(name, at, predicted, dict.fromkeys(sweeping.COSTS, 0.0)))
    return found


def write_sweeps(folder, runs):
    """`runs`: model -> its clean count and its counts by eps; the files."""
    for name, (clean, counts) in runs.items():
        of = file_of(name, checkpoint=name)
        of.clean = right_at({0.01: clean})[0].predictions
        of.save(folder / name, right_at(counts))
    return [folder / name for name in runs]


def differences(folder, runs, *described, audit=NOTHING_FOUND):
    return sweep_differences(write_sweeps(folder, runs), described, {"alpha": 0.05}, audit)


def test_losses_at_each_eps_are_paired_with_the_base_and_set_beside_the_clean_loss(tmp_path):
    base, small = describe(0), compressed(0)
    runs = {base["name"]: (10, {0.1: 8, 0.2: 6}), small["name"]: (9, {0.1: 6, 0.2: 5})}
    found = differences(tmp_path, runs, base, small)
    assert list(found["eps"]) == [0, 0.1, 0.2] and set(found["about"]) == {"these models"}
    np.testing.assert_allclose(found["difference"], [-0.1, -0.2, -0.1])
    np.testing.assert_allclose(found["beyond_clean"], [np.nan, -0.1, 0])
    # Of image by image: at 0.2 one image more is lost and the one of the clean images is lost by both.
    change = (np.arange(10) < 5) * 1.0 - (np.arange(10) < 6) - ((np.arange(10) < 9) * 1.0 - 1)
    low, high = interval(Mean.of(change[None] / 2), 0.05, About.MODELS)
    assert found.iloc[2][["beyond_clean_low", "beyond_clean_high"]].tolist() == pytest.approx([2 * low, 2 * high])
    assert (found["low"] <= found["difference"]).all() and (found["n"] == 10).all()


def test_seeds_stand_together_up_to_the_eps_at_which_one_ended(tmp_path):
    models = [make(seed) for seed in (0, 1) for make in (describe, compressed)]
    runs = {model["name"]: (10, {0.1: 8, 0.2: 6}) for model in models}
    runs[models[3]["name"]] = (10, {0.1: 4})
    found = differences(tmp_path, runs, *models)
    seeds = {(row.eps, row.about): row.seeds for row in found.itertuples()}
    both = {(eps, about): 2 for eps in (0, 0.1) for about in ("these models", "trainings")}
    assert seeds == {**both, (0.2, "these models"): 1}


def test_points_that_failed_and_models_without_their_base_have_no_difference(tmp_path):
    base, small = describe(0), compressed(0)
    runs = {base["name"]: (10, {0.1: 8, 0.2: 6}), small["name"]: (9, {0.1: 6, 0.2: 5})}
    audit = SimpleNamespace(failed=lambda *cell: cell[1:] == (base["name"], base["name"], "rising-eps0.2"))
    assert list(differences(tmp_path, runs, base, small, audit=audit)["eps"]) == [0, 0.1]
    assert differences(tmp_path, {small["name"]: (9, {0.1: 6})}, base, small).empty


def test_the_interval_of_the_gap_s_growth_covers_it():
    """Of a pair that loses 10 points on clean images and 30 under attack."""
    rng, images, covered = np.random.default_rng(0), 400, 0
    for _ in range(400):
        clean = rng.random((2, images)) < np.array([[0.9], [0.8]])
        attacked = clean & (rng.random((2, images)) < np.array([[0.7 / 0.9], [0.4 / 0.8]]))
        growth = (attacked[1] * 1.0 - attacked[0]) - (clean[1] * 1.0 - clean[0])
        low, high = interval(Mean.of(growth[None] / 2), 0.05, About.MODELS)
        covered += 2 * low <= -0.2 <= 2 * high
    assert covered / 400 >= 0.94


# Figures


def drawn(figure):
    """Label -> [x, y] of the labelled lines."""
    return {line.get_label(): np.array(line.get_data()) for line in figure.axes[0].lines if line.get_label()[0] != "_"}


def test_a_curve_ends_where_its_first_seed_does(table):
    ((_, (eps, mean)),) = drawn(accuracy_against_eps(table, "digits", "rising")).items()
    assert list(eps) == [0, 0.05, 0.2]
    np.testing.assert_allclose(mean, [1, 1, (0.6 + 0.4) / 2])
    with pytest.raises(InputError, match="no point of other"):
        accuracy_against_eps(table, "digits", "other")


def test_intervals_are_students_over_seeds_with_wilsons_over_images():
    values = np.array([0.5, 0.6, 0.55])
    mean, spread = values.mean(), values.std(ddof=1)
    low, high = mean_interval(
        np.array([mean, 0.3, mean]), np.array([spread, np.nan, spread]), np.array([3, 1, 3]), np.array([100, 100, 1e12])
    )
    seeds, images = stats.t.interval(0.95, 2, mean, spread / np.sqrt(3)), wilson(55, 100)
    assert mean - low[0] == pytest.approx(np.hypot(mean - seeds[0], mean - images[0]))
    assert high[0] - mean == pytest.approx(np.hypot(seeds[1] - mean, images[1] - mean))
    assert (low[1], high[1]) == pytest.approx(wilson(30, 100))
    assert (low[2], high[2]) == pytest.approx(seeds, abs=1e-5)


def test_seeds_that_happen_to_agree_leave_the_interval_of_the_images():
    bounds = mean_interval(np.array(0.809), np.array(0.0), np.array(2), np.array(1000))
    assert [float(bound) for bound in bounds] == pytest.approx(wilson(809, 1000))


def test_intervals_of_means_hold_over_seeds_and_images():
    rng, truth, seeds, images = np.random.default_rng(0), 0.7, 4, 200
    covered = 0
    for _ in range(600):
        # What is hard is hard for every seed; what a seed can do differs, too.
        hard = rng.normal(0, 1, images)
        labels = [(hard + skill < 0.0) for skill in rng.normal(stats.norm.ppf(1 - truth), 0.05, seeds)]
        values = np.array([label.mean() for label in labels])
        low, high = mean_interval(values.mean(), values.std(ddof=1), np.array(seeds), np.array(images))
        covered += low <= stats.norm.cdf(-stats.norm.ppf(1 - truth) / np.hypot(1, 0.05)) <= high
    assert covered / 600 >= 0.94


@pytest.mark.parametrize(("of_targets", "of_sources"), [(0.03, 0.0), (0.0, 0.03), (0.02, 0.02)])
def test_intervals_of_means_over_pairs_of_seeds_hold_whichever_model_the_spread_is_of(of_targets, of_sources):
    """Five seeds have twenty pairs, which are no twenty runs."""
    rng, truth, seeds, covered = np.random.default_rng(0), 0.5, 5, 0
    pairs = [(source, target) for source in range(seeds) for target in range(seeds) if source != target]
    assert seeds_of_pairs(len(pairs)) == independent(seeds, seeds) == seeds
    for _ in range(600):
        source, target = (rng.normal(0, spread, seeds) for spread in (of_sources, of_targets))
        values = np.array([truth + source[one] + target[other] for one, other in pairs])
        found = values.mean(), values.std(ddof=1), np.array(len(pairs)), np.array(1e6), np.array(seeds)
        low, high = mean_interval(*found)
        covered += low <= truth <= high
    assert covered / 600 >= 0.94


def test_runs_of_one_source_are_about_that_source():
    assert [independent(*sides) for sides in ((1, 1), (1, 4), (4, 1), (3, 4), (5, 2))] == [1, 4, 4, 3, 2]
    # Of pairs of which some failed the audit there are fewer.
    assert [seeds_of_pairs(runs) for runs in (1, 2, 5, 6, 11, 12, 19, 20)] == [1, 2, 2, 3, 3, 4, 4, 5]


def over_seeds_row(target, attack, eps, mean, threat, relation="same", **others):
    axes = {"architecture": "cnn3", "training": "standard", "compression": "none", "ratio": 0.0, "bits": 32}
    axes |= {"finetuning": "none"}
    side = {f"source_{key}": value for key, value in axes.items()}
    side |= {f"target_{key}": value for key, value in {**axes, "architecture": target}.items()}
    method = "clean" if attack == "clean" else "fgsm"
    row = {
        "dataset": "digits",
        **side,
        "threat": threat,
        "seed_relation": relation,
        "attack": attack,
        "entry": attack.partition("-")[0],
    }
    return (
        row
        | {"method": method, "norm": "linf", "eps": eps, "runs": 2, "mean": mean, "std": 0.01, "min": mean, "max": mean}
        | others
    )


def test_transfer_curves_begin_at_clean_accuracy_and_name_other_seeds():
    rows = [
        over_seeds_row("cnn3", "clean", 0.0, 0.9, "clean"),
        {**over_seeds_row("cnn8", "clean", 0.0, 0.8, "clean"), "source_architecture": "cnn8"},
        over_seeds_row("cnn3", "fgsm-eps0.2", 0.2, 0.1, "white-box"),
        over_seeds_row("cnn3", "fgsm-eps0.1", 0.1, 0.3, "white-box"),
        over_seeds_row("cnn3", "fgsm-eps0.1", 0.1, 0.5, "transfer", "other"),
        over_seeds_row("cnn8", "fgsm-eps0.1", 0.1, 0.7, "transfer"),
        over_seeds_row("cnn8", "fgsm-eps0.2", 0.2, 0.6, "transfer"),
        over_seeds_row("cnn8", "pgd-eps0.2", 0.2, 0.0, "transfer"),
        over_seeds_row("cnn8", "fgsm-eps0.2", 0.2, 0.0, "transfer", source_training="pgd"),
    ]
    names = ["fgsm-eps0.1", "fgsm-eps0.2"]
    figure = transfer(pd.DataFrame(rows), 100, 0.1, "digits", describe(0), names)
    found = {name: line.tolist() for name, line in drawn(figure).items()}
    assert found == {
        "cnn3 base": [[0, 0.1, 0.2], [0.9, 0.3, 0.1]],
        "cnn3 base (other seed)": [[0, 0.1], [0.9, 0.5]],
        "cnn8 base": [[0, 0.1, 0.2], [0.8, 0.7, 0.6]],
    }
    with pytest.raises(InputError, match=r"no set of pgd-eps0\.1"):
        transfer(pd.DataFrame(rows), 100, 0.1, "digits", describe(0), ["pgd-eps0.1"])


def test_the_band_of_surrogates_is_of_as_many_runs_as_there_are_seeds():
    clean = over_seeds_row("cnn3", "clean", 0.0, 0.9, "clean")
    rows = [over_seeds_row("cnn3", f"fgsm-eps0.{eps}", eps / 10, 0.5, "transfer", "other") for eps in (1, 2)]
    rows = [clean | {"runs": 3, "std": 0.05}, *(row | {"runs": 6, "std": 0.05} for row in rows)]
    figure = transfer(pd.DataFrame(rows), 100, 0.1, "digits", describe(0), ["fgsm-eps0.1", "fgsm-eps0.2"])
    (band,) = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    low, high = mean_interval(np.array(0.5), np.array(0.05), np.array(6), np.array(100), np.array(3))
    assert {round(float(bound), 6) for bound in (low, high)} <= {round(height, 6) for height in heights.tolist()}


# The plan

STUDY = """
study: small
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 4}}
compressions: {weight: {ratio: 0.9}}
attacks: {pgd: {eps: 8/255, stop_on_success: false}, deepfool: {}, fgsm: {eps: [0.2, 0.1]}}
evaluations: {all: {}}
sweeps: {rising: {attack: pgd, eps: [2/255, 0.1]}}
"""


def test_a_sweep_runs_its_entry_with_stop_on_success_at_its_own_eps():
    study = Study(changed(STUDY, {}))
    sweep = study.sweeps["rising"]
    assert [attack.name for attack in sweep.attacks] == ["rising-eps2of255", "rising-eps0.1"] and sweep.stops
    assert all(attack.settings["stop_on_success"] for attack in sweep.attacks)
    assert study.curves == [("digits", "cnn3.standard.none.none.s0", "rising")]
    assert not study.attacks["pgd-eps8of255"].settings["stop_on_success"]


def test_a_sweep_without_eps_takes_those_of_the_entry_and_chosen_models():
    changes = {"sweeps.rising": {"attack": "pgd", "stop": "never", "models": ["compressed"]}}
    study = Study(changed(STUDY, changes))
    assert [attack.name for attack in study.sweeps["rising"].attacks] == ["rising-eps8of255"]
    assert not study.sweeps["rising"].stops
    assert study.curves == [("digits", "cnn3.standard.weight-90.none.s0", "rising")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sweeps.rising.attack": "pdg"}, "sweeps.rising.attack: 'pdg' is no entry of attacks, did you mean pgd?"),
        ({"sweeps.rising.eps": [0.2, "8/255"]}, "does not rise; write [8/255, 0.2]"),
        ({"sweeps.rising.eps": [0.2, 2]}, "2 is not in (0, 1]; pixels are in [0, 1], did you mean 2/255?"),
        ({"sweeps.rising": {"attack": "fgsm"}}, "['0.2', '0.1'] does not rise; write [0.1, 0.2]"),
        ({"sweeps.rising": {"attack": "deepfool"}}, "sweeps.rising.eps: missing"),
        ({"sweeps.pgd": {"attack": "pgd"}}, "attacks.pgd has that name"),
        ({"sweeps.rising.models": ["cnn8*"]}, "matches no model that the study builds"),
        ({"sweeps.rising.datasets": ["mnist"]}, "sweeps.rising.datasets: 'mnist' matches none"),
        ({"sweeps.rising.stop": "soon"}, "'soon' is unknown"),
    ],
)
def test_what_no_sweep_can_be_is_told(changes, told):
    with pytest.raises(ConfigError) as caught:
        Study(changed(STUDY, changes))
    assert any(told in problem for problem in caught.value.problems), caught.value.problems


def test_transfer_is_drawn_where_other_models_are_scored_at_two_eps():
    study = Study(changed(STUDY, {}))
    base = "cnn3.standard.none.none"
    assert study.transfers == {("digits", base, "fgsm"): ["fgsm-eps0.1", "fgsm-eps0.2"]}
    assert Study(changed(STUDY, {"evaluations.all.where": ["white-box"]})).transfers == {}
