"""The verdict on two models: it says no more than its images show."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from squeezeproof.analysis.answers import CARE, KEEP, STOP, UNKNOWN, Evidence, Loss, remedies
from squeezeproof.analysis.answers import answer as the_rule
from squeezeproof.analysis.faced import Faced
from squeezeproof.analysis.replacement import TOGETHER, replacement, wider
from squeezeproof.analysis.replacement_files import read_faced
from squeezeproof.analysis.tried import not_tried, tried
from squeezeproof.audit.findings import EVERY, WARNING, judge
from squeezeproof.errors import InputError
from squeezeproof.pages import answer_page
from squeezeproof.pages.sizes import sizes
from squeezeproof.store.predictions import save_predictions
from squeezeproof.tables.words import TESTED

STATISTICS = {"alpha": 0.05, "margin": 0.02}


def outcomes(count, wrong):
    """Whether each of `count` images is right, the first `wrong` are not."""
    return np.arange(count) >= wrong


def faced(source, base, compressed, *, attack="pgd", eps=0.1, entry=None):
    settings = {"entry": entry or attack, "method": attack, "norm": "linf", "eps": eps, "steps": 20}
    right = {"base": base, "compressed": compressed}
    return Faced(source, settings, right, np.ones(len(base), bool))


def answer(*faced, clean=(0, 0), count=2000, **changes):
    right = {name: outcomes(count, wrong) for name, wrong in zip(("base", "compressed"), clean, strict=True)}
    return replacement(right, list(faced), 10, STATISTICS, **changes)


def test_an_image_stands_where_it_stands_against_everything():
    first, second = outcomes(2000, 400), outcomes(2000, 500)[::-1]
    found = answer(
        faced("base", first, first), faced("compressed", second, outcomes(2000, 0)), clean=(0, 100)
    ).together.iloc[0]
    assert found["base_accuracy"] == (first & second).mean() == 0.55
    assert found["compressed_accuracy"] == (first & outcomes(2000, 100)).mean()


@pytest.mark.parametrize(
    ("followed", "lost", "verdict"),
    [
        (("base", "compressed"), 0, KEEP),
        (("base", "compressed"), 120, STOP),
        (("base", "compressed"), -120, KEEP),
        # A loss of 1.5 to 2.5 points: shown, and small.
        (("base", "compressed"), 40, CARE),
        # Attacked by other means than its base, the compressed model has nothing proved in its favour.
        (("base",), 0, UNKNOWN),
        (("base",), -120, UNKNOWN),
        (("base",), 120, STOP),
        # The images of the compressed model prove nothing against it.
        (("compressed",), 120, UNKNOWN),
        (("compressed",), 0, KEEP),
        # Nobody has followed the gradients of either.
        ((), 0, UNKNOWN),
    ],
)
def test_a_verdict_says_no_more_than_its_images(followed, lost, verdict):
    base, compressed = outcomes(2000, 800), outcomes(2000, 800 + lost)
    methods = {source: "pgd" if source in followed else "square" for source in ("base", "compressed")}
    both = [faced(source, base, compressed, attack=method) for source, method in methods.items()]
    assert answer(*both).verdict == verdict


@pytest.mark.parametrize(
    ("method", "warned", "word", "together"),
    [
        ("pgd", None, "more robust", "more robust"),
        # One step is an attack, and not all that gradients lead to.
        ("fgsm", None, "more robust", "found less"),
        ("square", None, "found less", "found less"),
        ("pgd", 9, "found less", "found less"),
        ("pgd", 21, "more robust", "more robust"),
    ],
)
def test_a_word_in_favour_needs_an_attack_that_could_prove_it(method, warned, word, together):
    base, compressed = outcomes(2000, 1200), outcomes(2000, 1000)
    both = [faced(source, base, compressed, attack=method) for source in ("base", "compressed")]
    key = "d", "compressed", EVERY, EVERY
    audit = [judge(key, warned, 1, 0, "it", verdict=WARNING)] if warned else []
    found = answer(*both, audit=audit)
    rows = found.table.set_index(["attack", "crafted_on"])["verdict"]
    assert rows[method, "itself"] == word and rows[TOGETHER, "both"] == together
    proved = together == "more robust"
    page = answer_page.page(found, [], [], audit, {}, 0.02)
    for text in (found.sentences[0], page):
        assert ("proves nothing in its favour" in text) == (not proved)
    # What is alike proves as little.
    alike = answer(*[faced(one.source, base, base, attack=method) for one in both], audit=audit)
    assert "equivalent" in alike.sentences[0]
    assert ("proves nothing in its favour" in alike.sentences[0]) == (not proved)


def test_each_budget_needs_an_attack_of_its_own():
    base, compressed = outcomes(2000, 1200), outcomes(2000, 1000)
    both = [faced(source, base, compressed, eps=0.1) for source in ("base", "compressed")]
    both += [faced(source, base, compressed, attack="square", eps=0.2) for source in ("base", "compressed")]
    assert answer(*both).together["verdict"].tolist() == ["more robust", "found less"]


def test_differences_in_both_directions_show_nothing():
    base, compressed = outcomes(1000, 400), np.roll(outcomes(1000, 400), 400)
    found = answer(*[faced(source, base, compressed) for source in ("base", "compressed")], count=1000)
    assert found.verdict == UNKNOWN and "could not be shown with 1000 images" in found.sentences[0]


def test_one_budget_at_which_it_is_less_robust_decides():
    same, less = outcomes(2000, 400), outcomes(2000, 700)
    both = [faced(source, same, same, eps=0.1) for source in ("base", "compressed")]
    both += [faced(source, same, less, eps=0.2) for source in ("base", "compressed")]
    assert answer(*both).verdict == STOP


def test_a_budget_at_which_the_base_keeps_nothing_decides_nothing():
    same, fallen = outcomes(2000, 400), outcomes(2000, 2000)
    both = [faced(source, same, same, eps=0.1) for source in ("base", "compressed")]
    both += [faced(source, outcomes(2000, 1980), fallen, eps=0.2) for source in ("base", "compressed")]
    assert answer(*both).verdict == KEEP


def test_what_clean_images_lose_counts():
    same = outcomes(2000, 800)
    both = [faced(source, same, same) for source in ("base", "compressed")]
    assert answer(*both).verdict == KEEP
    found = answer(*both, clean=(0, 200))
    assert found.verdict == STOP and "points on clean images" in found.headline


def test_a_few_steps_are_no_steps():
    same = outcomes(2000, 800)
    both = [faced(source, same, same) for source in ("base", "compressed")]
    for one in both:
        one.settings["steps"] = 2
    assert answer(*both).verdict == UNKNOWN


def test_the_answer_is_that_of_the_rule_on_the_same_numbers():
    """What a study's story says of two models and what `check` says of them is one rule's."""
    base, compressed = outcomes(2000, 800), outcomes(2000, 840)
    found = answer(*[faced(source, base, compressed) for source in ("base", "compressed")])
    row = found.together.iloc[0]
    loss = Loss(
        "all attacks together (Linf, eps 0.1)", row["verdict"], row["difference"], row["low"], row["high"], 2000,
        kept=row["base_accuracy"],
    )  # fmt: skip
    clean = Loss("clean images", "", 0.0, found.clean["low"], found.clean["high"], 2000)
    weighed = Evidence(clean, [loss])
    verdict, reasons = the_rule(weighed, STATISTICS["margin"])
    assert (found.verdict, found.headline) == (verdict, f"{verdict.capitalize()}: {'; '.join(reasons)}.")
    assert found.changes.lower() == f"{'; '.join(remedies(weighed, STATISTICS['margin'], None))}.".lower()


def test_the_page_shows_the_intervals_that_the_answer_rests_on():
    """Of several budgets they are wider than each would be by itself."""
    base, compressed = outcomes(1000, 400), np.roll(outcomes(1000, 400), 200)
    one = [faced(source, base, compressed) for source in ("base", "compressed")]
    several = [*one, *(faced(source, base, compressed, eps=0.2) for source in ("base", "compressed"))]
    widths = []
    for shown in (one, several):
        found = answer(*shown, count=1000)
        row = found.together.iloc[0]
        assert f"one of {-100 * row['low']:.1f} points is not excluded" in found.headline
        assert f"[{100 * row['low']:+.1f}".replace("-", "−") in found.sentences[0]
        widths.append(row["high"] - row["low"])
        page = answer_page.page(found, [], [], [], {}, 0.02)
        assert (
            page.count("the intervals that the answer rests on")
            == page.count("corrected for the number of budgets of an attack")
            == 1
        )
    assert widths[0] < widths[1]


@pytest.mark.parametrize(("lost", "wide"), [(20, True), (22, False)])
def test_a_verdict_beside_an_interval_that_holds_0_says_why(lost, wide):
    """Holm's second step tells the loss at one of two budgets from 0, and an interval for both at once does not."""
    kept, faces = outcomes(200, 8), []
    for eps, wrong in ((0.1, lost), (0.2, 90)):
        place = np.arange(200)
        fallen = (place < 8) | (place >= 8 + wrong)
        faces += [faced(source, kept, fallen | (place < 8), eps=eps) for source in ("base", "compressed")]
    found = answer(*faces, count=200)
    row = found.together.iloc[0]
    assert row["verdict"] == "less robust" and (row["low"] < 0 < row["high"]) == wide == wider(row)
    page = answer_page.page(found, [], [], [], {}, 0.02)
    assert (f"less robust; {TESTED}" in page) == (TESTED in found.sentences[0]) == wide


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_a_handful_of_images_no_loss_is_shown(count):
    """That all of them fall to one side is chance as often as alpha, or more often."""
    kept, lost = outcomes(count, 0), outcomes(count, count)
    found = answer(*[faced(source, kept, lost) for source in ("base", "compressed")], count=count)
    assert found.verdict == UNKNOWN and set(found.table["verdict"]) == {"no difference shown"}
    assert (
        answer(*[faced(source, kept, kept) for source in ("base", "compressed")], clean=(0, count), count=count).verdict
        == UNKNOWN
    )
    assert f"with {count} image{'s' * (count > 1)}." in found.sentences[0]


def test_more_images_are_no_remedy_where_they_were_made_for_one_of_the_two():
    base, compressed = outcomes(500, 200), outcomes(500, 120)
    assert "test images" not in answer(faced("base", base, compressed), count=500).changes
    found = answer(faced("compressed", compressed, base), count=500)
    assert found.verdict == UNKNOWN and "attacks on the base itself" in found.changes.lower()


def test_attacks_stand_by_budget_and_strength():
    same, found = outcomes(200, 80), []
    lengths = {"apgd": {"steps": 25}, "noise": {"samples": 5}, "pgd": {"steps": 10}, "square": {"queries": 80}}
    for eps in (0.2, 0.1):
        for method, length in lengths.items():
            one = faced("base", same, same, attack=method, eps=eps)
            del one.settings["steps"]
            one.settings.update(length)
            found += [one, Faced("compressed", one.settings, one.right, one.scored)]
    page = answer_page.page(answer(*found, count=200), [], [], [], {}, 0.02)
    rows = re.findall(r'<th scope="row">([^<]*)</th>', page)
    assert rows == [f"{name}, eps {eps}" for eps in (0.1, 0.2) for name in ("Noise", "Square", "PGD", "APGD")]


def size(parameters, zeros=0, bits=32):
    counts = {"parameters": parameters, "nonzeros": parameters - zeros, "macs": 9000}
    return counts | {"weights": 1000, "weight_bits": 1000 * bits, "packed_bytes": parameters * bits // 8}


def test_the_page_shows_what_both_models_take_and_how_their_files_were_read():
    same = outcomes(2000, 800)
    found = answer(*[faced(source, same, same) for source in ("base", "compressed")])
    beside = sizes(size(1234), size(1234, zeros=617, bits=8))
    assert beside[:3] == [
        ["parameters", "1,234", "1,234", "100.0 %"],
        ["of these zero", "0.0 %", "50.0 %", ""],
        ["bits of a weight", "32", "8", "25.0 %"],
    ]
    notes = {"Base": [], "Compressed": ["gives <probabilities>"]}
    page = answer_page.page(found, [], [], [], {}, 0.02, sizes=beside, notes=notes)
    for text in ("1,234", "50.0 %", "Compressed: how its file was read", "gives &lt;probabilities&gt;"):
        assert text in page, text
    assert "Base: how" not in page
    # A network without layers that multiply by weights has no bits of one.
    assert sizes(size(10), {**size(10), "weights": 0})[2][2:] == ["–", "–"]
    assert sizes(size(100000), size(100000, zeros=1))[1][2] == "under 0.1 %"


def test_the_page_says_beside_its_answer_what_is_in_doubt():
    same = outcomes(2000, 800)
    found = answer(*[faced(source, same, same) for source in ("base", "compressed")])
    page = answer_page.page(found, [], [], [], {}, 0.02, doubts=["half or <none>", "of two classes"])
    [said] = re.findall(r'<section class="answer.*?</section>', page, re.DOTALL)
    assert said.count("In doubt: ") == 2 and "In doubt: half or &lt;none&gt;" in said
    assert "In doubt" not in answer_page.page(found, [], [], [], {}, 0.02)


def test_the_page_places_an_interval_on_its_scale():
    assert answer_page._place(0.05, 10) == 75 and answer_page._place(-1, 10) == 0
    same = outcomes(2000, 800)
    found = answer(*[faced(source, same, same, entry="<b>") for source in ("base", "compressed")])
    page = answer_page.page(found, ["<i>tried"], [], [], {"a": "&"}, 0.02)
    assert "<b>, eps" not in page and "&lt;i&gt;tried" in page and "+5 points" in page
    assert TOGETHER.capitalize() not in page


# --- attacks that end where they succeed, of which each model is scored on its own alone ------------------------------


def own_files(folder, on_base, on_compressed, count=100):
    """Files of two models, each scored on what Square made of it itself and broken in so many images; None is not
    attacked. PGD is crafted on both and breaks none."""
    labels, paths = torch.zeros(count, dtype=torch.long), []
    right = {"base": on_base, "small": on_compressed}
    for source, wrong in right.items():
        for target in right:
            predictions, attacks = {"clean": labels, "pgd": labels}, ["pgd"]
            if source == target and wrong is not None:
                attacks.append("square")
                predictions["square"] = torch.arange(count).lt(wrong).long()
            settings = {"norm": "linf", "eps": 0.1, "steps": 20, "queries": 80}
            settings = {name: {**settings, "entry": name, "method": name} for name in attacks}
            names = SimpleNamespace(dataset="d", target=target, source=source)
            paths.append(folder / f"{target}-{source}")
            split = {"fingerprint": "images", "classes": ["a", "b"]}
            save_predictions(paths[-1], labels, predictions, names, settings, {"fingerprint": target}, split)
    return paths


def test_what_an_attack_that_ends_where_it_succeeds_broke_is_told_and_counts(tmp_path):
    clean, faced, classes = read_faced(own_files(tmp_path, 30, 70), "base", "small")
    found = replacement(clean, faced, classes, STATISTICS)
    together = found.together.iloc[0]
    assert (together["base_accuracy"], together["compressed_accuracy"]) == (0.7, pytest.approx(0.3))
    assert found.verdict == STOP
    page = answer_page.page(found, tried(faced), not_tried(faced), [], {}, 0.02)
    [row] = [line for line in page.split("<tr") if 'row">Square' in line]
    assert "70.0" in row and "30.0" in row and row.count(answer_page.ABSENT) == 2 and "less robust" in row
    told = [sentence for sentence in tried(faced) if sentence.startswith("Square")]
    assert told == [
        "Square, 80 queries, eps 0.1 (Linf): crafted on base and compressed, each scored on its own; it ends where it "
        "succeeds."
    ]
    assert not any("Square" in sentence for sentence in not_tried(faced))


def test_what_was_not_tried_is_true_of_what_was():
    same = outcomes(100, 40)
    plain = [faced(source, same, same, eps=eps) for source in ("base", "compressed") for eps in (0.1, 0.2)]
    said = not_tried(plain)
    assert "Perturbations larger than Linf, eps 0.2." in said
    assert "Perturbations that are small in L2: none was looked for." in said
    [further] = [one for one in said if one.startswith("Further attacks")]
    assert "AutoAttack, APGD-T, FAB-T, Square, and others" in further
    # A suite runs several of them.
    suite = [faced(source, same, same, attack="autoattack") for source in ("base", "compressed")]
    [further] = [one for one in not_tried(suite) if one.startswith("Further attacks")]
    assert not any(name in further for name in ("AutoAttack", "APGD-T", "FAB-T", "Square"))
    assert not any("Gradients of" in one for one in said)


@pytest.mark.parametrize(("sources", "moved", "stood"), [
    (("base", "compressed"), True, "images made for the other model and attacks without gradients stand in for that"),
    (("base",), True, "images made for the other model stand in for that"),
    (("compressed",), False, "attacks without gradients stand in for that"),
])  # fmt: skip
def test_what_stands_in_for_gradients_is_what_was_run(sources, moved, stood):
    same = outcomes(100, 40)
    made = [faced(source, same, same, attack="pgd" if source == "base" else "square") for source in sources]
    if not moved:
        made = [replace(one, right={one.source: same}) for one in made]
    [told] = [one for one in not_tried(made) if one.startswith("Gradients of the compressed")]
    assert told.endswith(f"{stood}.")


@pytest.mark.parametrize("wrong", [(30, None), (None, 70)])
def test_an_attack_that_one_of_the_models_alone_faced_does_not_count(tmp_path, wrong):
    clean, faced, classes = read_faced(own_files(tmp_path, *wrong), "base", "small")
    assert {one.settings["entry"] for one in faced} == {"pgd"}
    together = replacement(clean, faced, classes, STATISTICS).together.iloc[0]
    assert together["base_accuracy"] == together["compressed_accuracy"] == 1


def test_two_models_that_faced_nothing_together_are_told(tmp_path):
    paths = own_files(tmp_path, 30, 70)
    with pytest.raises(InputError, match="are scored together on no attack with a budget"):
        read_faced([path for path in paths if path.name == "base-base"], "base", "small")
