"""Keep, keep with care, do not ship, cannot tell: an answer is never stronger than its verdicts."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from table_examples import AXES, MODELS, name, variant, whole

from squeezeproof.analysis import answer_table
from squeezeproof.analysis.answer_table import answers, milder
from squeezeproof.analysis.answers import (
    ANSWERS,
    CARE,
    KEEP,
    STOP,
    TOLERATED,
    UNKNOWN,
    Evidence,
    Loss,
    answer,
    remedies,
    strength_of,
)
from squeezeproof.analysis.ways import Ways
from squeezeproof.audit.findings import EVERY, FAILURE, WARNING, Finding
from squeezeproof.entries import registry
from squeezeproof.pages.answer_cards import cards
from squeezeproof.tables.words import TESTED, Verdict

MARGIN = 0.02
CLEAN = Loss("clean images", "", 0.0, -0.01, 0.01)
SAME = Loss("PGD, eps 0.1", Verdict.EQUIVALENT, 0.0, -0.015, 0.015, kept=0.9)
LESS_ROBUST = Loss("PGD, eps 0.1", Verdict.LESS, -0.1, -0.13, -0.07)
SOUND = Evidence(CLEAN, [SAME])


def said(**changes):
    return answer(replace(SOUND, **changes), MARGIN)[0]


def test_a_model_that_was_shown_to_lose_nothing_is_kept():
    assert answer(SOUND, MARGIN) == (KEEP, ["no loss beyond 2 points on clean images and PGD, eps 0.1"])
    assert said(attacks=[replace(SAME, verdict=Verdict.MORE, low=0.01, high=0.05)]) == KEEP


def test_what_was_shown_to_lose_is_not_shipped():
    assert answer(replace(SOUND, attacks=[SAME, LESS_ROBUST]), MARGIN) == (
        STOP,
        ["it loses 7 to 13 points under PGD, eps 0.1"],
    )
    assert said(clean=replace(CLEAN, low=-0.05, high=-0.03)) == STOP
    assert said(attacks=[SAME, replace(LESS_ROBUST, own=False)]) == STOP
    assert said(attacks=[], broken="predicts one class for every image") == STOP


def test_of_many_losses_the_greatest_of_each_kind_is_told():
    less = replace(LESS_ROBUST, name="FGSM", difference=-0.05, low=-0.08, high=-0.02)
    elsewhere = [replace(loss, own=False) for loss in (less, LESS_ROBUST, less)]
    told = answer(Evidence(replace(CLEAN, low=-0.05, high=-0.03), [less, LESS_ROBUST, SAME, *elsewhere]), MARGIN)[1]
    assert told == [
        "it loses 3 to 5 points on clean images",
        "it loses 7 to 13 points under PGD, eps 0.1, and under 1 more attack on itself",
        "it loses 7 to 13 points under PGD, eps 0.1, though these images were not made for it, and on 2 more such sets",
    ]


def test_a_loss_that_the_interval_does_not_tell_from_none_has_no_lower_bound():
    nearly = replace(LESS_ROBUST, difference=-0.09, low=-0.177, high=0.0004)
    told = f"it loses up to 17.7 points under PGD, eps 0.1 ({TESTED})"
    assert answer(replace(SOUND, attacks=[nearly]), MARGIN) == (STOP, [told])
    assert answer(replace(SOUND, attacks=[replace(nearly, high=-0.0001)]), MARGIN)[1] == [
        "it loses up to 17.7 points under PGD, eps 0.1"
    ]


def test_a_loss_of_a_few_points_is_for_the_reader_to_weigh():
    small = replace(LESS_ROBUST, difference=-0.025, low=-TOLERATED * MARGIN, high=-0.01)
    assert said(attacks=[small]) == CARE
    assert said(attacks=[replace(small, low=-0.041)]) == STOP
    assert said(attacks=[replace(small, high=-0.021)]) == STOP
    assert said(attacks=[replace(small, verdict=Verdict.NOT_SHOWN)]) == CARE
    assert said(clean=replace(CLEAN, low=-0.03)) == CARE


def test_no_difference_shown_is_no_evidence_of_equality():
    wide = Loss("PGD, eps 0.1", Verdict.NOT_SHOWN, 0.0, -0.06, 0.06)
    assert answer(replace(SOUND, attacks=[wide]), MARGIN) == (
        UNKNOWN,
        ["under PGD, eps 0.1 no loss is shown, but one of 6 points is not excluded"],
    )
    # No model loses more than its base has.
    unbounded = replace(wide, low=-2.6, high=2.6, kept=0.4)
    on_clean = replace(CLEAN, low=-1.2, kept=0.9)
    assert answer(Evidence(on_clean, [unbounded]), MARGIN)[1] == [
        "on clean images no loss is shown, but one of 90 points is not excluded",
        "under PGD, eps 0.1 no loss is shown, but one of 40 points is not excluded",
    ]
    assert answer(replace(SOUND, attacks=[replace(LESS_ROBUST, low=-2, kept=0.6)]), MARGIN)[1] == [
        "it loses 7 to 60 points under PGD, eps 0.1"
    ]
    # However narrow the interval, it takes the verdict.
    assert said(attacks=[replace(wide, low=-0.001, high=0.001)]) == CARE


def test_a_loss_on_clean_images_that_is_shown_is_called_so():
    shown = replace(CLEAN, difference=-0.015, low=-0.025, high=-0.005)
    assert answer(replace(SOUND, clean=shown), MARGIN) == (
        CARE,
        ["on clean images a loss is shown and one of 2.5 points is not excluded"],
    )


def test_attacks_that_do_nothing_are_told():
    """Their budget may be too small to say anything."""
    nothing = replace(SOUND, attacks=[replace(SAME, kept=CLEAN.kept)])
    said_, reasons = answer(nothing, MARGIN)
    assert said_ == KEEP and "no attack of several steps broke an image of its base" in reasons[-1]
    assert any("a larger eps" in change for change in remedies(nothing, MARGIN, None))
    some = replace(nothing, attacks=[*nothing.attacks, SAME])
    assert len(answer(some, MARGIN)[1]) == 1 and not any("larger eps" in one for one in remedies(some, MARGIN, None))


def test_what_the_audit_says_stands_beside_a_loss():
    """An attack that was weak on the base makes a loss of what is none."""
    warned = replace(SOUND, attacks=[LESS_ROBUST], warnings=["check 14, a", "check 17, b"], failures=["check 1, c"])
    said_, reasons = answer(warned, MARGIN)
    assert said_ == STOP and reasons[1:] == [
        "what the audit doubts: check 14, a and check 17, b",
        "the audit refuses other results: check 1, c",
    ]  # fmt: skip


def test_a_remedy_names_what_the_compression_has():
    lost = replace(SOUND, attacks=[LESS_ROBUST])
    axes = dict(zip(AXES, MODELS[0.5], strict=True))
    assert milder({**axes, "compression": "weight"}) == "a lower ratio, or more fine-tuning"
    assert milder({**axes, "ratio": 0.0, "bits": 4, "finetuning": "none"}) == "more bits, or a fine-tuning"
    assert milder({**axes, "bits": 8}) == "a lower ratio or more bits, or more fine-tuning"
    # A file that was made elsewhere.
    file = {**axes, "ratio": 0.0, "finetuning": "none"}
    assert "bits" not in milder(file) and "ratio" not in milder(file)
    assert remedies(lost, MARGIN, 1, "x") == ["x", "more images cannot undo a loss that was shown"]
    assert remedies(replace(SOUND, broken="it"), MARGIN, 1, "x") == ["x"]


def test_something_would_always_change_an_answer():
    suite = replace(SOUND, attacks=[replace(SAME, strength=3)])
    assert answer(suite, MARGIN)[0] == KEEP
    assert remedies(suite, MARGIN, None) == ["an attack that is designed for this very model could find a loss"]
    assert "on clean images" in remedies(replace(suite, clean=None), MARGIN, None)[0]


def test_transfer_alone_never_speaks_for_a_model():
    for verdict in (Verdict.EQUIVALENT, Verdict.MORE, Verdict.TRANSFERS_WORSE, Verdict.NOT_SHOWN):
        assert said(attacks=[replace(SAME, own=False, verdict=verdict)]) == UNKNOWN


def test_weak_attacks_and_lost_causes_never_speak_for_a_model():
    assert said(attacks=[replace(SAME, strength=1)]) == UNKNOWN
    assert said(attacks=[replace(SAME, strength=1), replace(SAME, kept=MARGIN)]) == UNKNOWN
    assert "nothing to lose" in answer(replace(SOUND, attacks=[replace(SAME, kept=0.0)]), MARGIN)[1][0]
    assert said(attacks=[SAME, replace(SAME, kept=0.0, verdict=Verdict.NOT_SHOWN, low=-0.5)]) == KEEP


def test_a_base_that_keeps_nothing_is_told_before_gradients_that_nobody_followed():
    """To follow them would tell no more: the file of a base that falls to anything falls with it."""
    queries = replace(SAME, name="queries", strength=0)
    fallen = replace(SOUND, attacks=[replace(queries, kept=0.0)])
    assert "keeps less than 2 % under queries, so there is nothing to lose" in answer(fallen, MARGIN)[1][0]
    assert "a smaller eps" in remedies(fallen, MARGIN, None)[0]
    standing = replace(SOUND, attacks=[queries])
    assert "no attack followed its gradients" in answer(standing, MARGIN)[1][0]
    [how] = remedies(standing, MARGIN, None)
    assert "COMPRESSED_FACTORY=" in how and "the network that it was made of, fake-quantized" in how
    ways = Ways(follow="follow them", audited="ask again")
    assert remedies(standing, MARGIN, None, ways=ways) == ["follow them"]
    assert remedies(replace(standing, failures=["check 2"]), MARGIN, None, ways=ways) == ["ask again"]
    # What keeps the base's accuracy is not named among what takes it.
    weak = replace(SOUND, attacks=[replace(SAME, name="PGD", kept=0.0), replace(queries, name="noise")])
    assert "under PGD, so" in answer(weak, MARGIN)[1][0]


def test_the_audit_has_the_last_word_in_favour_of_a_model():
    assert said(failures=["check 1, inside ball and box"]) == UNKNOWN
    assert said(warnings=["check 14, white-box at least as strong as transfer"]) == CARE
    # What sound cells show stands.
    assert said(failures=["check 1, inside ball and box"], attacks=[LESS_ROBUST]) == STOP
    assert said(clean=None) == UNKNOWN
    assert said(same="a.s0") == UNKNOWN


SMALL = (Verdict.EQUIVALENT, Verdict.MORE, Verdict.FOUND_LESS)
shares = st.floats(-1, 1, allow_nan=False)
losses = st.builds(
    lambda ends, **fields: Loss("a", low=min(ends), high=max(ends), difference=sum(ends) / 2, **fields),
    st.tuples(shares, shares),
    verdict=st.sampled_from(Verdict),
    own=st.booleans(),
    strength=st.integers(0, 3),
    kept=st.floats(0, 1),
)
found = st.builds(
    Evidence,
    clean=st.none() | losses.map(lambda loss: replace(loss, verdict="", own=True)),
    attacks=st.lists(losses, max_size=4),
    failures=st.sampled_from([[], ["check 1"]]),
    warnings=st.sampled_from([[], ["check 14"]]),
)


@given(found)
def test_no_answer_is_stronger_than_its_verdicts(found):
    given_answer, reasons = answer(found, MARGIN)
    own = [loss for loss in found.attacks if loss.own and loss.kept > MARGIN]
    assert given_answer in ANSWERS and all(reasons)
    assert remedies(found, MARGIN, 1) and remedies(found, MARGIN, None)
    if given_answer == KEEP:
        assert own and all(loss.verdict in SMALL for loss in own)
        assert not found.failures and not found.warnings and found.clean.low >= -MARGIN
        assert any(loss.strength >= 2 for loss in own)
        assert all(loss.verdict != Verdict.LESS or loss.low >= -TOLERATED * MARGIN for loss in found.attacks)
    if given_answer == CARE:
        assert own and all(loss.verdict in SMALL or loss.low >= -TOLERATED * MARGIN for loss in own)
    if given_answer == STOP:
        assert any(loss.verdict == Verdict.LESS for loss in found.attacks) or found.clean.high < -MARGIN


@given(found, st.integers(0, 3))
def test_an_attack_less_never_makes_an_answer_worse_but_by_taking_evidence(found, place):
    """More attacks can only find more: none of them turns `do not ship` into anything else."""
    if answer(found, MARGIN)[0] != STOP and len(found.attacks) > place:
        fewer = [loss for index, loss in enumerate(found.attacks) if index != place]
        assert answer(replace(found, attacks=fewer), MARGIN)[0] != STOP


def test_every_attack_has_a_strength_and_only_iterated_gradients_are_strong():
    strong = {method for method in registry.attacks() if strength_of(method) >= 2}
    assert {"pgd", "apgd", "autoattack", "suite", "cw", "deepfool", "fab"} <= strong
    assert not strong & {"noise", "fgsm", "square", "substitute", "uap"}
    assert strength_of("of another library") == 0
    # By the names of other libraries, and by the gradients that were really taken.
    assert strength_of("torchattacks.PGD") == 2 and strength_of("torchattacks.FGSM") == 0
    assert strength_of("pgd", gradients=1) == 1 and strength_of("autoattack", gradients=4) == 1


def test_where_what_takes_several_steps_leaves_nothing_a_smaller_budget_would_tell():
    """One-step attacks and queries leave the base something; they are not enough."""
    fallen, asked = replace(SAME, kept=0.0), replace(SAME, name="Square, eps 0.1", strength=0)
    two = replace(fallen, name="PGD, eps 0.2")
    found = replace(SOUND, attacks=[fallen, two, asked])
    said_, reasons = answer(found, MARGIN)
    assert said_ == UNKNOWN and "less than 2 % under PGD, eps 0.1 and PGD, eps 0.2, so there is" in reasons[0]
    assert remedies(found, MARGIN, None)[0] == "a smaller eps, at which the base resists an attack of several steps"


def test_the_images_that_would_do_are_those_of_the_interval():
    wide = Loss("PGD, eps 0.1", Verdict.NOT_SHOWN, 0.0, -0.06, 0.06, images=1000)
    assert remedies(replace(SOUND, attacks=[wide]), MARGIN, 2)[0] == "more seeds, and then more images"
    assert remedies(replace(SOUND, attacks=[wide]), MARGIN, 1)[0].startswith("about 9,000 test images")
    first = remedies(replace(SOUND, attacks=[]), MARGIN, 1)[0]
    assert first.startswith("an attack on the model itself") and "of a file that gives no gradients, on the" in first
    assert "AutoAttack" in remedies(SOUND, MARGIN, 1)[0]
    assert "AutoAttack" not in remedies(replace(SOUND, attacks=[replace(SAME, strength=3)]), MARGIN, 1)[0]


# The table


def compression():
    rows = [
        {"dataset": "digits", "model": name(ratio), "variant": variant(ratio), **_axes(ratio), "warning": ""}
        for ratio in MODELS
    ]
    return whole("compression", rows)


def _axes(ratio):
    return dict(zip(AXES, MODELS[ratio], strict=True))


def tables(verdict=Verdict.LESS, difference=-0.1, n=2000, gradients=20):
    own = [("white-box", "itself"), ("same-source", variant(0.0))]
    common = {"dataset": "digits", "against": "base", "about": "these models", "seeds": 1, "n": n, "std": float("nan")}
    parts = {key: value for key, value in common.items() if key not in ("against", "std")}
    attack = {"attack": "pgd-eps0.1", "entry": "pgd", "method": "pgd", "norm": "linf", "eps": 0.1}
    compared = {"difference": difference, "low": difference - 0.02, "high": difference + 0.02, "mean_square": 0.1}
    clean = {"difference": 0.0, "low": -0.01, "high": 0.01, "mean_square": 0.02}
    scored = [(ratio, ratio, 0.4 + difference * (ratio > 0)) for ratio in MODELS] + [(0.0, r, 0.9) for r in (0.25, 0.5)]
    return {
        "compression": compression(),
        "clean_accuracy": whole("clean_accuracy", [
            {"dataset": "digits", "model": name(ratio), **_axes(ratio), "n": n, "accuracy": 0.9} for ratio in MODELS
        ]),
        "crafting": whole("crafting", [
            {"dataset": "digits", "source": name(ratio), **attack, "stop_on_success": False,
             "backwards_per_example": gradients} for ratio in MODELS
        ]),
        "robust_accuracy": whole("robust_accuracy", [
            {"dataset": "digits", "source": name(source), "target": name(target), **attack, "n": n,
             "accuracy": accuracy}
            for source, target, accuracy in scored
        ]),
        "verdicts": whole("verdicts", [
            {**common, **_axes(ratio), **attack, **compared, "comparison": comparison, "source": source,
             "verdict": verdict if source == "itself" else Verdict.TRANSFERS_WORSE, "family_size": 2,
             "seed_relation": "same"}
            for ratio in (0.25, 0.5) for comparison, source in own
        ]),
        "clean_differences": whole("clean_differences", [{**common, **_axes(r), **clean} for r in (0.25, 0.5)]),
        "effects": whole("effects", [
            {**parts, **_axes(ratio), **attack, "comparison": "white-box", "source": "itself", "seed_relation": "same",
             "total": difference,
             "by_training": -0.03, "by_compression": difference + 0.03} for ratio in (0.25, 0.5)
        ]),
    }  # fmt: skip


def test_the_largest_loss_is_at_most_what_the_base_has():
    found = tables(Verdict.NOT_SHOWN, 0.0)
    for key, most in (("verdicts", 0.4), ("clean_differences", 0.9)):
        square = {**found, key: found[key].assign(mean_square=1000.0)}
        assert answers(square, [], STATISTICS)["largest_loss"].tolist() == pytest.approx([most, most])


def finding(verdict, ratio=0.5, check=14, message=""):
    return Finding("digits", EVERY, name(ratio), EVERY, check, "a check", "1", "0", verdict, message)


STATISTICS = {"alpha": 0.05, "margin": MARGIN}


def test_a_row_has_the_numbers_of_the_tables():
    [row, other] = answers(tables(), [], STATISTICS).to_dict("records")
    assert (row["ratio"], other["ratio"]) == (0.25, 0.5)
    assert row["answer"] == STOP and "under PGD, eps 0.1" in row["reasons"]
    assert row["threat"] == "white-box, Linf up to 0.1" and row["no_stake"] == ""
    assert (row["attack"], row["crafted_on"]) == ("pgd-eps0.1", "itself")
    assert (row["clean_accuracy"], row["base_clean_accuracy"]) == (0.9, 0.9)
    assert row["robust_accuracy"] == pytest.approx(0.3) and row["base_robust_accuracy"] == 0.4
    assert row["robust_low"] < 0.3 < row["robust_high"]
    assert (row["least_attack"], row["least_accuracy"]) == (row["attack"], row["robust_accuracy"])
    assert row["by_training"] + row["by_compression"] == pytest.approx(row["robust_difference"])


def test_what_the_worst_attack_of_all_leaves_is_told_where_its_base_has_nothing_to_lose():
    """PGD leaves neither model anything, Square leaves some: that was taken for the robustness."""
    found, square = tables(), {"attack": "square-eps0.1", "entry": "square", "method": "square"}
    robust = found["robust_accuracy"]
    robust = robust.assign(accuracy=robust["accuracy"].mask(robust["attack"] == "pgd-eps0.1", 0.0))
    found["robust_accuracy"] = pd.concat([robust, robust.assign(**square, accuracy=0.2)], ignore_index=True)
    for name_of in ("verdicts", "effects"):
        table = found[name_of]
        found[name_of] = pd.concat([table, table.assign(**square)], ignore_index=True)
    answered = answers(found, [], STATISTICS)
    row = answered.iloc[0]
    assert (row["attack"], row["robust_accuracy"]) == ("square-eps0.1", pytest.approx(0.2))
    assert (row["least_attack"], row["least_accuracy"], row["base_least_accuracy"]) == ("pgd-eps0.1", 0.0, 0.0)
    told = re.sub("<[^>]+>", "", str(cards(answered, found["robust_accuracy"])[0].sentences[0][1]))
    assert told.startswith("under PGD, eps 0.1, the worst attack, 0.0") and "; under Square" in told


def test_the_differences_of_an_answer_have_the_intervals_that_decide_it():
    """One difference is never shown with two intervals."""
    found = tables(Verdict.NOT_SHOWN, 0.0, n=60)
    row = answers(found, [], STATISTICS).iloc[0]
    for kind in ("clean", "robust"):
        [open_loss] = [part for part in row["reasons"].split("; ") if ("clean" in part) == (kind == "clean")]
        assert f"one of {-100 * row[f'{kind}_difference_low']:.1f} points is not excluded" in open_loss
        assert row[f"{kind}_difference_low"] == pytest.approx(-row[f"{kind}_difference_high"])
    alone = {key: table.assign(family_size=1) if key == "verdicts" else table for key, table in found.items()}
    narrower = answers(alone, [], STATISTICS).iloc[0]
    assert row["robust_difference_low"] < narrower["robust_difference_low"]


def test_a_threat_model_tells_what_led_its_attacks():
    found = tables(Verdict.EQUIVALENT, 0.0, n=100_000)
    both = dict(found)
    asked = {"attack": "square-eps0.3", "entry": "square", "method": "square", "eps": 0.3}
    for key in ("robust_accuracy", "crafting", "verdicts", "effects"):
        both[key] = pd.concat([found[key], found[key].assign(**asked)], ignore_index=True)
    row = answers(both, [], STATISTICS).iloc[0]
    assert row["threat"] == "white-box, Linf up to 0.1 and queries of scores, Linf up to 0.3"


def test_more_seeds_tell_nothing_more_of_these_very_models():
    found = tables(Verdict.NOT_SHOWN, 0.0, n=300)
    for key in ("verdicts", "clean_differences", "effects"):
        rows = found[key].assign(seeds=3, std=0.03)
        found[key] = pd.concat([rows, rows.assign(about="trainings")], ignore_index=True)
    changes = answers(found, [], STATISTICS).set_index("about")["changes"]
    assert all("more seeds" not in text and "test images" in text for text in changes["these models"])
    assert all("more seeds, and then more images" in text for text in changes["trainings"])


def test_models_that_nothing_speaks_against_are_kept_and_warnings_are_named():
    table = answers(tables(Verdict.EQUIVALENT, 0.0, n=100_000), [finding(WARNING)], STATISTICS)
    assert list(table["answer"]) == [KEEP, CARE]
    assert list(table["warnings"]) == ["", "check 14, a check"]


def test_an_attack_of_a_single_step_speaks_for_no_model_whatever_its_name():
    weak = tables(Verdict.EQUIVALENT, 0.0, n=100_000, gradients=1)
    assert set(answers(weak, [], STATISTICS)["answer"]) == {UNKNOWN}
    # One that stops at its first success may need a single step for most; the 40 % that stand got all its steps.
    for gradients, said in ((1.0, UNKNOWN), (2.5, KEEP)):
        weak["crafting"] = weak["crafting"].assign(stop_on_success=True, backwards_per_example=gradients)
        assert set(answers(weak, [], STATISTICS)["answer"]) == {said}


def test_a_model_that_failed_or_is_broken_has_no_answer_in_its_favour():
    sound = tables(Verdict.EQUIVALENT, 0.0, n=100_000)
    assert list(answers(sound, [finding(FAILURE)], STATISTICS)["answer"]) == [KEEP, UNKNOWN]
    message = "the model is broken: it predicts one class for every image; standing under attack is no robustness"
    broken = answers(sound, [finding(FAILURE, check=22, message=message)], STATISTICS).iloc[1]
    assert broken["answer"] == STOP
    assert broken["reasons"] == "it is broken: predicts one class for every image"
    # Where compressing broke it, that is a result, and its cells stay in the tables.
    warned = answers(sound, [finding(WARNING, check=22, message=message)], STATISTICS).iloc[1]
    assert (warned["answer"], warned["reasons"]) == (broken["answer"], broken["reasons"])
    # A base that fails takes its compressed models with it.
    assert set(answers(sound, [finding(FAILURE, 0.0)], STATISTICS)["answer"]) == {UNKNOWN}


def of_seeds(count=3):
    """The tables of a study of so many seeds, its compressed models attacked alike."""
    one = tables(Verdict.EQUIVALENT, 0.0, n=100_000)
    models = [one["compression"].assign(seed=seed, model=[name(r, seed) for r in MODELS]) for seed in range(count)]
    found = {**one, "compression": pd.concat(models, ignore_index=True)}
    for key in ("verdicts", "clean_differences", "effects"):
        found[key] = one[key].assign(seeds=count, std=0.01)
    return found


def test_where_some_seeds_are_broken_they_are_named():
    message = "the model is broken: it predicts one class for every image; standing under attack is no robustness"
    other = message.replace("predicts one class for every image", "labels 9.8% of the clean images right")

    def reasons(*seeds):
        found = [replace(finding(WARNING, check=22, message=text), target=name(0.5, seed)) for seed, text in seeds]
        table = answers(of_seeds(), found, STATISTICS)
        return table[table["about"].eq("these models")].iloc[1]["reasons"]

    assert reasons((1, message)) == "it is broken: with seed 1, of 3, it predicts one class for every image"
    assert reasons((0, message), (2, message)).startswith("it is broken: with seeds 0 and 2, of 3, it predicts")
    assert reasons(*((seed, message) for seed in range(3))).startswith("it is broken: with all 3 seeds it predicts")
    assert reasons((0, message), (1, other)) == (
        "it is broken: with seed 0, of 3, it predicts one class for every image, and with seed 1, of 3, it labels 9.8% "
        "of the clean images right"
    )


def test_a_warning_on_some_seeds_names_them():
    found = of_seeds()
    models = found["compression"]
    models.loc[models["model"].eq(name(0.5, 1)), "warning"] = "ADMM had not converged"
    table = answers(found, [], STATISTICS)
    table = table[table["about"].eq("these models")]
    assert table["warnings"].tolist() == ["", "with seed 1, of 3, ADMM had not converged"]
    assert table["reasons"].tolist()[1] == "with seed 1, of 3, ADMM had not converged"


def test_a_model_without_a_verdict_has_an_answer():
    nothing = {key: table[:0] if key in ("verdicts", "clean_differences", "effects") else table
               for key, table in tables().items()}  # fmt: skip
    table = answers(nothing, [], STATISTICS)
    assert list(table["answer"]) == [UNKNOWN, UNKNOWN]
    by_transfer = tables(Verdict.EQUIVALENT, 0.0, n=100_000)
    scored, judged = by_transfer["robust_accuracy"], by_transfer["verdicts"]
    by_transfer |= {
        "robust_accuracy": scored[scored["source"] != scored["target"]],
        "verdicts": judged[judged["source"] != "itself"],
    }
    table = answers(by_transfer, [], STATISTICS)
    assert list(table["answer"]) == [UNKNOWN, UNKNOWN]
    assert set(table["crafted_on"]) == {variant(0.0)} and set(table["robust_accuracy"]) == {0.9}


def test_what_is_left_and_what_is_lost_are_of_the_same_images():
    """Of a model that was not attacked itself: images of its own base, and those of another seed's, are not mixed."""
    found = tables(Verdict.NOT_SHOWN, -0.02)
    scored, judged = found["robust_accuracy"], found["verdicts"]
    scored, judged = scored[scored["source"] != scored["target"]], judged[judged["source"] != "itself"]
    named = {"source": name(0.0, 1)}
    bases = scored.drop_duplicates(["attack"]).assign(target=name(0.0), source=name(0.0, 1), accuracy=0.6)
    others = [scored.assign(accuracy=0.5, **named), bases, bases.assign(source=name(0.0), accuracy=0.4)]
    models = found["compression"]
    found |= {
        "robust_accuracy": pd.concat([scored, *others], ignore_index=True),
        "verdicts": pd.concat([judged.assign(difference=0.5), judged.assign(seed_relation="other", difference=-0.1)]),
        "compression": pd.concat([models, models[models["ratio"] == 0].assign(model=name(0.0, 1), seed=1)]),
    }
    for row in answers(found, [], STATISTICS).to_dict("records"):
        assert row["robust_difference"] == pytest.approx(row["robust_accuracy"] - row["base_robust_accuracy"])
        assert row["robust_accuracy"] == 0.5


def test_the_interval_under_surrogates_is_of_as_many_runs_as_there_are_seeds():
    pairs = [(source, target) for source in "012" for target in "012" if source != target]
    scored = pd.DataFrame(
        {"source": [f"base.s{one}" for one, _ in pairs], "target": [f"small.s{two}" for _, two in pairs]}
    )
    scored = scored.assign(accuracy=[0.5, 0.6] * 3, n=10**6)
    # Student's t with two degrees of freedom is 4.3027; the variance is that of three values, each of them twice.
    half = 4.3027 * (5 / 4 * scored["accuracy"].var() / 3) ** 0.5
    told = answer_table._accuracy(scored)
    assert (told["low"], told["high"]) == pytest.approx((0.55 - half, 0.55 + half), abs=1e-4)


def test_the_definition_in_the_docs_names_every_answer():
    text = (ROOT / "docs/answers.md").read_text()
    assert all(f"**{one}**" in text for one in ANSWERS)
    assert f"{TOLERATED} times the margin" in text.replace("twice", "2 times")


def test_a_model_that_is_another_bit_for_bit_is_named():
    found = tables(Verdict.EQUIVALENT, 0.0, n=100_000)
    told = f"the same model as {name(0.25)}, bit for bit: one result under two names"
    found["compression"].loc[2, "warning"] = told
    nothing = {key: found[key][found[key]["ratio"] != 0.5] for key in ("verdicts", "clean_differences", "effects")}
    row = answers({**found, **nothing}, [], STATISTICS).iloc[1]
    assert (row["answer"], row["reasons"]) == (UNKNOWN, f"it is {told}")


def test_kinds_of_verdict_have_their_own_answers():
    one = tables(Verdict.EQUIVALENT, 0.0, n=100_000)
    for key in ("verdicts", "clean_differences", "effects"):
        rows = one[key].assign(seeds=3, std=0.03)
        one[key] = pd.concat([rows, rows.assign(about="trainings")], ignore_index=True)
    judged = one["verdicts"]
    judged.loc[judged["about"].eq("trainings") & judged["source"].eq("itself"), "verdict"] = Verdict.NOT_SHOWN
    table = answers(one, [], STATISTICS)
    assert dict(zip(zip(table["ratio"], table["about"], strict=True), table["answer"], strict=True)) == {
        (0.25, "these models"): KEEP, (0.25, "trainings"): UNKNOWN,
        (0.5, "these models"): KEEP, (0.5, "trainings"): UNKNOWN,
    }  # fmt: skip


def test_what_white_box_access_to_the_base_adds_to_queries_is_told():
    found = tables()
    assert answers(found, [], STATISTICS)["queries_attack"].isna().all()
    robust = found["robust_accuracy"]
    # Of the first compressed model nobody has the gradients: it was asked for scores, and shown its base's images.
    file, base = name(0.25), name(0.0)
    robust = robust[~(robust["source"].eq(file) & robust["target"].eq(file))]
    row = {**robust.iloc[0].to_dict(), "source": file, "target": file, "entry": "square", "method": "square"}
    asked = pd.DataFrame([{**row, "attack": "square-eps0.1", "accuracy": 0.5}])
    shown = robust["source"].eq(base) & robust["target"].eq(file)
    robust = robust.assign(accuracy=robust["accuracy"].mask(shown, 0.4))
    found["robust_accuracy"] = pd.concat([robust, asked], ignore_index=True)
    rows = answers(found, [], STATISTICS)
    told = rows[rows["queries_attack"].notna()].iloc[0]
    assert (told["queries_attack"], told["queries_accuracy"]) == ("square-eps0.1", 0.5)
    assert (told["gradients_attack"], told["gradients_accuracy"]) == ("pgd-eps0.1", 0.4)
    shown = cards(rows.assign(attack=""), found["robust_accuracy"])
    [card] = [card for card in shown if any("Queries" in note for note in card.notes)]
    [note] = [note for note in card.notes if "Queries" in note]
    text = re.sub("<[^>]+>", "", note)
    assert "leave it 50.0 % at worst (Square, eps 0.1)" in text and "access to its base adds 10.0 points." in text
