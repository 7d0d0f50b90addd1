"""The table of deployed int8 models under attack, from invented predictions."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from squeezeproof.analysis.deployed import deployed
from squeezeproof.audit.deployed import audit_attacked
from squeezeproof.audit.findings import FAILURE, NOT_APPLICABLE, WARNING, Audit, Finding
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.statistics.paired import tango
from squeezeproof.store.predictions import CLEAN, NOT_SCORED, save_predictions

LABELS = np.arange(100) % 4
TARGET, BASE = "cnn8.standard.int-8.standard.s0", "cnn8.standard.none.none.s0"
AXES = {"architecture": "cnn8", "training": "standard", "finetuning": "standard", "seed": 0}
MODELS = [{"dataset": "d", "name": TARGET, "compression": "int", "ratio": 0.75, "bits": 8, **AXES}]
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
