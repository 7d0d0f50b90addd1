"""Pairs, comparisons and flips: which predictions are set beside each other."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from verdict_examples import PGD, STATISTICS, counted, describe, pair

from squeezeproof.analysis import pairs as paired
from squeezeproof.analysis.accuracy import read_cells
from squeezeproof.analysis.clean_pairs import clean_differences
from squeezeproof.analysis.effects import effects
from squeezeproof.analysis.max_delta import max_delta
from squeezeproof.analysis.pairs import comparisons, flips, read_pairs
from squeezeproof.analysis.verdicts import verdicts
from squeezeproof.audit.findings import EVERY, WARNING, Audit, judge
from squeezeproof.errors import InputError
from squeezeproof.statistics.multiplicity import holm
from squeezeproof.statistics.paired import tango
from squeezeproof.store.predictions import NOT_SCORED, save_predictions
from squeezeproof.tables.files import read_table, write_table

# Comparisons and flips


def test_comparison_counts_tests_and_corrects():
    members = [
        pair(*counted(40, 12, 3, 5), ratio=0.1),
        pair(*counted(30, 5, 5, 20), ratio=0.2),
        pair(*counted(30, 5, 5, 20), attack="fgsm-eps0.1", metadata={**PGD, "entry": "fgsm", "method": "fgsm"}),
    ]
    table = comparisons(members, 0.05)
    first = table.iloc[0]
    assert first[["n", *paired.COUNTS[1:]]].tolist() == [60, 40, 12, 3, 5]
    assert first["difference"] == pytest.approx((3 - 12) / 60)
    assert (first["low"], first["high"]) == pytest.approx(tuple(map(float, tango(3, 12, 60))))
    expected = [stats.binomtest(3, 15).pvalue, stats.binomtest(5, 10).pvalue]
    assert table["p_mcnemar"].tolist() == pytest.approx([*expected, 1])
    assert table["p_holm"].tolist() == pytest.approx([*holm(expected), 1])
    assert table["family_size"].tolist() == [2, 2, 1]


def test_of_no_image_nothing_is_said():
    nothing = pair(*counted(10, 5, 3, 2))
    nothing.scored[:] = False
    control = replace(nothing, against="control")
    assert len(verdicts([nothing], STATISTICS)) == len(effects([nothing, control], 0.05)) == 0


def test_a_broken_control_tells_nothing_apart_and_speaks_for_no_model():
    base, control = pair(*counted(40, 12, 3, 5)), pair(*counted(0, 0, 43, 17), against="control")
    assert len(effects([base, control], 0.05)) == 1
    assert len(effects([base, replace(control, reference_works=False)], 0.05)) == 0


def test_flips_list_at_most_twenty_images():
    base, compressed = np.ones(60, bool), np.arange(60) % 2 == 0
    compressed[1], base[4] = True, False
    [row] = flips([pair(base, compressed)]).itertuples()
    assert (row.broken, row.mended) == (29, 1)
    assert row.broken_examples == " ".join(str(index) for index in range(3, 42, 2))
    assert row.mended_examples == "4"


def test_tables_without_a_compressed_model_have_their_columns(tmp_path):
    tables = {"comparisons": comparisons([], 0.05), "flips": flips([]), "effects": effects([], 0.05)}
    tables |= {"verdicts": verdicts([], STATISTICS), "max_delta": max_delta([], STATISTICS)}
    for name, table in tables.items():
        write_table(tmp_path / f"{name}.csv", table)
        found = read_table(tmp_path / f"{name}.csv")
        assert found.empty and {"dataset", "attack"} <= set(found.columns)


# Reading

N = 30
LABELS = torch.arange(N) % 10


def write(folder, target, source, right, clean="f", weights=None, settings=PGD):
    names = SimpleNamespace(dataset="digits", target=target["name"], source=source["name"])
    predicted = torch.where(torch.as_tensor(right), LABELS, (LABELS + 1) % 10)
    predicted[:4] = NOT_SCORED
    split = {"fingerprint": clean, "classes": [str(digit) for digit in range(10)]}
    checkpoint = {"fingerprint": weights or target["name"]}
    path = folder / f"{target['name']}-{source['name']}.safetensors"
    save_predictions(
        path, LABELS, {"clean": LABELS, "pgd-eps0.1": predicted}, names, {"pgd-eps0.1": settings}, checkpoint, split
    )
    return path


def test_pairs_meet_the_base_of_their_seed_and_leave_out_what_was_not_scored(tmp_path):
    base, target = describe(0), describe(0, "weight", 0.5)
    right = {"base": np.arange(N) < 20, "transfer": np.arange(N) % 2 == 0, "own": np.arange(N) < 10}
    paths = [
        write(tmp_path, base, base, right["base"]),
        write(tmp_path, target, base, right["transfer"]),
        write(tmp_path, target, target, right["own"]),
        write(tmp_path, describe(1), base, right["own"]),
    ]
    same, own = read_pairs(paths, [base, target, describe(1)])
    assert (same.comparison, same.source["name"]) == ("same-source", base["name"])
    assert (own.comparison, own.source["name"]) == ("white-box", target["name"])
    scored = np.arange(N) >= 4
    for found, expected in ((same, right["transfer"]), (own, right["own"])):
        np.testing.assert_array_equal(found.scored, scored)
        np.testing.assert_array_equal(found.reference_right & scored, right["base"] & scored)
        np.testing.assert_array_equal(found.compressed_right & scored, expected & scored)
    table = comparisons([same, own], 0.05)
    assert table["n"].tolist() == [26, 26]
    assert table["only_reference_right"].tolist() == [8, 10]


@pytest.mark.parametrize(
    ("method", "warned", "led"),
    [
        ("pgd", [], True),
        ("fgsm", [], True),
        ("square", [], False),
        ("rays", [], False),
        ("noise", [], False),
        ("substitute", [], False),
        # Of the compressed model: of this attack on it, or of all of its attacks.
        ("pgd", [("target", "target", "pgd-eps0.1", 14)], False),
        ("pgd", [("target", EVERY, EVERY, 9)], False),
        # What runs PGD again says nothing of other attacks.
        ("pgd", [("target", EVERY, EVERY, 18)], False),
        ("apgd", [("target", EVERY, EVERY, 18)], True),
        # Of its base, of another attack, or of something else.
        ("pgd", [("base", "base", "pgd-eps0.1", 14)], True),
        ("pgd", [("target", "target", "fgsm-eps0.1", 14)], True),
        ("pgd", [("target", EVERY, EVERY, 21)], True),
        # A model that knows nothing stands without being robust, and to do better than one proves as little.
        ("pgd", [("target", "target", "pgd-eps0.1", 22)], False),
        ("pgd", [("base", "base", "pgd-eps0.1", 22)], False),
    ],
)
def test_a_pair_knows_whether_gradients_led_its_attack(tmp_path, method, warned, led):
    base, target = describe(0), describe(0, "weight", 0.5)
    names = {"base": base["name"], "target": target["name"], EVERY: EVERY}
    settings = {**PGD, "entry": method, "method": method}
    paths = [write(tmp_path, model, model, np.arange(N) < 20, settings=settings) for model in (base, target)]
    found = [
        judge(("digits", names[source], names[scored], attack), check, 1, 0, "weak", bad=True, verdict=WARNING)
        for source, scored, attack, check in warned
    ]
    [own] = read_pairs(paths, [base, target], Audit(found))
    assert own.led == led


@pytest.mark.parametrize(("of", "attack", "warned"), [
    ("target", "pgd-eps0.1", True), ("base", "pgd-eps0.1", True), ("base", EVERY, True), ("target", "other", False),
])  # fmt: skip
def test_a_pair_knows_whether_the_audit_warns_of_either_model(tmp_path, of, attack, warned):
    described = {"base": describe(0), "target": describe(0, "weight", 0.5)}
    paths = [write(tmp_path, model, model, np.arange(N) < 20) for model in described.values()]
    name = described[of]["name"]
    found = judge(("digits", name, name, attack), 22, 1, 0, "broken", bad=True, verdict=WARNING)
    [own] = read_pairs(paths, [*described.values()], Audit([found]))
    assert own.warned == warned


def test_models_that_are_the_same_bit_for_bit_are_one_row(tmp_path):
    """Quantization-aware training used to be post-training quantization under another name."""
    base, ptq, qat = describe(0), describe(0, "ptq", 0.5), describe(0, "qat", 0.5)
    right = np.arange(N) < 20
    paths = [
        write(tmp_path, base, base, right),
        write(tmp_path, qat, base, right, weights="same"),
        write(tmp_path, qat, qat, right, weights="same"),
        write(tmp_path, ptq, base, right, weights="same"),
        # Sources that are the same have the same images too.
        write(tmp_path, ptq, qat, right, weights="same"),
    ]
    models = [base, ptq, qat]
    assert {member.target["name"] for member in read_pairs(paths, models)} == {ptq["name"]}
    assert set(read_cells(paths, models)["target"]) == {base["name"], ptq["name"]}
    assert set(clean_differences(paths, models, STATISTICS)["compression"]) == {"ptq"}
    # A base that equals another base stays the reference of its own.
    paths = [write(tmp_path, describe(seed), describe(seed), right, weights="same") for seed in (0, 1)]
    assert len(read_cells(paths, [describe(0), describe(1)])) == 4


def test_files_of_different_test_images_are_refused(tmp_path):
    base, target = describe(0), describe(0, "weight", 0.5)
    right = np.arange(N) < 20
    paths = [write(tmp_path, base, base, right), write(tmp_path, target, base, right, clean="g")]
    with pytest.raises(InputError, match=r"other test images than the other predictions on digits; remove results"):
        read_pairs(paths, [base, target])
