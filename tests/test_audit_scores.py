"""Check 23: a compressed model that labels all images as its base does, by the base's own logits, is noted."""

import numpy as np
import torch
from attack_fixtures import held_out, network

from squeezeproof.analysis.evidence import counted
from squeezeproof.audit.findings import NOTE, WARNING, Finding
from squeezeproof.audit.models import Models
from squeezeproof.evaluation.again import ask_again
from squeezeproof.pages.story import audited, worst_findings
from squeezeproof.store.tensors import write_tensors

LABELS = np.arange(200) % 10
PARENTS = {("digits", "base"): None, ("digits", "small"): "base"}


def of_models(scores, weights=("a", "b")):
    """The findings of check 23 on a base and a compressed model of one labels, by digests of their logits."""
    models, predicted = Models(), np.where(np.arange(200) < 30, (LABELS + 1) % 10, LABELS)
    for (_, name), digest in zip(PARENTS, scores, strict=True):
        models.add("digits", "base", name, LABELS, {"clean": predicted, "pgd": predicted}, {}, digest)
    found = models.findings(dict(zip(PARENTS, weights, strict=True)), PARENTS, models.lossless(PARENTS))
    return [finding for finding in found if finding.check == 23 and finding.verdict != "pass"]


def test_the_base_s_predictions_in_the_place_of_a_compressed_model_s_are_noted():
    """They have valid digests, and without cells of its own no other check sees them."""
    [noted] = of_models(["x", "x"])
    assert (noted.verdict, noted.target, noted.value) == (NOTE, "small", 1)
    assert "other weights than base and gives clean images the same logits, bit for bit" in noted.message
    # A compression that moves no label moves logits.
    assert of_models(["x", "y"]) == of_models([None, None]) == of_models([None, "x"]) == []
    assert {one.verdict for one in of_models(["x", "x"], weights=("a", "a"))} == {WARNING, "failure"}


def test_a_note_is_shown_and_lowers_no_answer():
    noted = of_models(["x", "x"])
    assert counted(noted, WARNING) == counted(noted, "failure") == []
    warned = Finding("digits", "a", "a", "pgd", 14, "name", 1, 0, WARNING, "strengthen it")
    shown = worst_findings([*noted, warned])
    assert [row[0] for row in shown.rows] == [WARNING, NOTE] and "bit for bit" in shown.rows[1][-1]
    assert audited(noted).startswith("0 checks passed. No cell failed. No cell has a warning.")


def test_a_target_is_asked_for_logits_that_tell_it_from_others(tmp_path):
    images, labels = held_out(40)
    write_tensors(tmp_path / "test", {"images": images.numpy(), "labels": labels.numpy()}, {"kind": "dataset"})
    scaled = network()
    with torch.no_grad():
        scaled[-1].weight *= 3.1
        scaled[-1].bias *= 3.1
    told = [ask_again(model, tmp_path / "test", [], {"clean": labels}, 20)["clean"] for model in (network(), scaled)]
    again = ask_again(network(), tmp_path / "test", [], {"clean": labels}, 20)["clean"]
    assert told[0]["other"] == told[1]["other"] and told[0]["scores"] == again["scores"] != told[1]["scores"]
