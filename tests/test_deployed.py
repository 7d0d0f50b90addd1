"""The table of deployed int8 models under attack, from invented predictions."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from squeezeproof.analysis.deployed import deployed
from squeezeproof.audit.deployed import audit_attacked
from squeezeproof.audit.findings import FAILURE, NOT_APPLICABLE, NOTHING_FOUND, WARNING, Audit, Finding
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.pages.deployed import deployed_sentences
from squeezeproof.statistics.paired import tango
from squeezeproof.store.adversarial import KIND
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, save_predictions
from squeezeproof.store.tensors import write_tensors
from squeezeproof.study.efficiency import int8_name

LABELS = np.arange(100) % 4
TARGET, BASE = "cnn8.standard.int-8.standard.s0", "cnn8.standard.none.none.s0"
AXES = {"architecture": "cnn8", "training": "standard", "finetuning": "standard", "seed": 0}
MODELS = [{"dataset": "d", "name": TARGET, "base": BASE, "compression": "int", "ratio": 0.75, "bits": 8, **AXES}]
SETTINGS = {"bim-eps0.1": {"entry": "bim", "method": "bim", "norm": "linf", "eps": 0.1}}


def wrong(*indices):
    labels = LABELS.copy()
    labels[list(indices)] = (labels[list(indices)] + 1) % 4
    return labels


def stored(path, source, clean, attacked, fingerprint="weights", images="images"):
    predictions = {CLEAN: torch.from_numpy(clean), "bim-eps0.1": torch.from_numpy(attacked)}
    names = SimpleNamespace(dataset="d", target=TARGET, source=source)
    split = {"fingerprint": images, "classes": list("abcd")}
    checkpoint = {"fingerprint": fingerprint}
    path.parent.mkdir(exist_ok=True)
    save_predictions(path, torch.from_numpy(LABELS), predictions, names, SETTINGS, checkpoint, split)
    return path


@pytest.fixture
def files(tmp_path):
    def pair(source, integer, fake_quantized):
        return [
            stored(tmp_path / folder / source, source, *found)
            for folder, found in (("8", integer), ("32", fake_quantized))
        ]

    unseen = wrong(*range(50, 90))
    unseen[:10] = NOT_SCORED
    own = pair(TARGET, (wrong(0), wrong(*range(30))), (wrong(0, 1), wrong(*range(10, 50))))
    base = pair(BASE, (wrong(0), unseen), (wrong(0, 1), unseen))
    return [list(paths) for paths in zip(own, base, strict=True)]


def test_rows_compare_the_same_examples(files):
    rows = deployed(*files, MODELS, 0.05).set_index(["source", "attack"])
    assert list(rows.index) == [("", CLEAN), (TARGET, "bim-eps0.1"), (BASE, "bim-eps0.1")]
    clean, own, transferred = (rows.loc[index] for index in rows.index)
    assert (clean["fake_quantized_accuracy"], clean["int8_accuracy"], clean["agreement"]) == (0.98, 0.99, 0.99)
    assert (own["fake_quantized_accuracy"], own["int8_accuracy"], own["n"]) == (0.6, 0.7, 100)
    # Both are wrong on 10 to 29 and give them one label, on 0 to 9 and 30 to 49 one of them is.
    assert own["agreement"] == 0.7 and own["difference"] == pytest.approx(0.1)
    assert (own["low"], own["high"]) == tuple(map(float, tango(20, 10, 100)))
    assert transferred["n"] == 90 and transferred["fake_quantized_accuracy"] == pytest.approx(50 / 90)
    assert transferred["difference"] == 0 and transferred["agreement"] == 1
    assert list(own[["method", "norm", "eps", "bits", "seed"]]) == ["bim", "linf", 0.1, 8, 0]
    assert list(rows["made_for"]) == ["", "its fake-quantized model", "its base"] and rows["queries"].isna().all()
    # Of the images of either source and the clean ones, 0 to 29 fall to the first, 50 to 89 to the other.
    assert list(rows["worst"].fillna(-1)) == [-1, pytest.approx(0.3), pytest.approx(27 / 90)]


def test_cells_of_twins_that_failed_the_audit_are_left_out(files):
    failed = Finding("d", TARGET, TARGET, "bim-eps0.1", 1, "inside the ball", 1, 0, FAILURE, "")
    rows = deployed(*files, MODELS, 0.05, Audit([failed]))
    assert list(zip(rows["source"], rows["attack"], strict=True)) == [("", CLEAN), (BASE, "bim-eps0.1")]


@pytest.mark.parametrize("other", [{"fingerprint": "other"}, {"images": "other"}])
def test_predictions_of_other_weights_or_images_are_refused(files, other):
    stored(files[1][0], TARGET, LABELS, LABELS, **other)
    with pytest.raises(InputError, match="is not of the same model, images and attacks"):
        deployed(*files, MODELS, 0.05)


def test_the_audit_warns_where_attacked_images_part_the_two(files):
    own, base = (audit_attacked(*pair)[0] for pair in zip(*files, strict=True))
    assert (own.verdict, own.value, own.check) == (WARNING, 0.7, 19)
    assert (own.source, own.target, own.attack) == (TARGET, TARGET, "bim-eps0.1")
    # What the attacker has seen does not count.
    assert (base.verdict, base.value) == ("pass", 1.0)


def test_images_at_the_boundary_of_the_simulated_model_are_no_ground_for_a_warning(files, monkeypatch):
    monkeypatch.setattr(registry.attacks()["bim"], "minimum_norm", True)
    assert audit_attacked(files[0][0], files[1][0])[0].verdict == NOT_APPLICABLE


# --- attacked itself --------------------------------------------------------------------------------------------------


def itself(tmp_path, fooled=range(20, 60)):
    """Files of an int8 model on what two attacks by queries crafted on it, and the sets' metadata."""
    source = int8_name(TARGET)
    predictions = {CLEAN: wrong(0), "square-eps0.1": wrong(0, *fooled), "rays-eps0.2": wrong(0, 1)}
    settings = {
        name: {"entry": name.split("-")[0], "method": name.split("-")[0], "norm": "linf", "eps": eps}
        for name, eps in (("square-eps0.1", 0.1), ("rays-eps0.2", 0.2))
    }
    names = SimpleNamespace(dataset="d", target=TARGET, source=source)
    tensors = {name: torch.from_numpy(values) for name, values in predictions.items()}
    split = {"fingerprint": "images", "classes": list("abcd")}
    save_predictions(
        tmp_path / "itself", torch.from_numpy(LABELS), tensors, names, settings, {"fingerprint": "weights"}, split
    )
    sets = [tmp_path / f"{attack}.safetensors" for attack in settings]
    for path, queries in zip(sets, (61.5, 200), strict=True):
        found = {"kind": KIND, "dataset": "d", "source": source, "attack": path.stem, "forwards_per_example": queries}
        write_tensors(path, {}, found)
    return [tmp_path / "itself"], sets


def test_an_int8_model_that_was_attacked_itself_has_rows_and_the_worst_of_all(files, tmp_path):
    table = deployed(*files, MODELS, 0.05, NOTHING_FOUND, *itself(tmp_path))
    rows = table.set_index("attack")[lambda found: found["made_for"] == "itself"]
    square, rays = rows.loc["square-eps0.1"], rows.loc["rays-eps0.2"]
    assert (square["source"], square["queries"], square["n"]) == (f"{TARGET}.int8.onnx", 61.5, 100)
    assert square["int8_accuracy"] == pytest.approx(0.59) and rays["int8_accuracy"] == pytest.approx(0.98)
    empty = ["fake_quantized_accuracy", "difference", "low", "high", "agreement"]
    assert rows[empty].isna().all(axis=None)
    # With bim at the same budget: 0 to 29 of its twin's, 50 to 89 of its base's, 20 to 59 of its own fall.
    assert square["worst"] == pytest.approx(10 / 100) and rays["worst"] == pytest.approx(0.98)
    assert set(table.query("eps == 0.1")["worst"]) == {square["worst"]} and (table["attack"] == CLEAN).sum() == 1


def test_a_set_that_failed_the_audit_breaks_nothing(files, tmp_path):
    failed = Finding("d", int8_name(TARGET), "*", "square-eps0.1", 1, "inside the ball", 1, 0, FAILURE, "")
    table = deployed(*files, MODELS, 0.05, Audit([failed]), *itself(tmp_path))
    assert "square-eps0.1" not in set(table["attack"])
    assert table.query("eps == 0.1")["worst"].tolist() == pytest.approx([0.3, 27 / 90])


def test_the_story_tells_the_worst_the_queries_and_what_gradients_add(files, tmp_path):
    table = deployed(*files, MODELS, 0.05, NOTHING_FOUND, *itself(tmp_path))
    first, second = deployed_sentences(table)
    assert first.startswith(f"{TARGET} (d), Linf, eps 0.1: all attacks together leave its int8 model 10.0 % of 100 ")
    assert "99.0 % without any. Queries of the int8 model itself leave it 59.0 % (Square, eps 0.1; 62 " in first
    assert "gradients of its base, a float one, leave it 55.6 % (BIM, eps 0.1): white-box access to that adds" in first
    assert "of its fake-quantized model leave it 70.0 % (BIM, eps 0.1): white-box access to that adds nothing" in first
    assert "eps 0.2" in second and "No image was made by the gradients" in second
    assert deployed_sentences(deployed(*files, MODELS, 0.05)) == []
