"""Tables and figures from predictions that the tests write."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from model_examples import EXAMPLES, model_of

from squeezeproof.analysis import accuracy as tables
from squeezeproof.analysis.efficiency import compression_table
from squeezeproof.analysis.names import MODEL
from squeezeproof.audit.findings import EVERY, Audit, judge
from squeezeproof.errors import InputError
from squeezeproof.figures.accuracy_against_ratio import accuracy_against_ratio
from squeezeproof.figures.heatmap import heatmap, warnings
from squeezeproof.models.checkpoints import save_model
from squeezeproof.store.predictions import save_predictions

N = 20
LABELS = torch.arange(N) % 10
ATTACKS = {"fgsm-eps0.1": {"entry": "fgsm", "method": "fgsm", "norm": "linf", "eps": 0.1}}


def describe(seed, compression="none", ratio=0.0):
    instance = "none" if compression == "none" else f"{compression}-{100 * ratio:g}"
    finetuning = "none" if compression == "none" else "standard"
    return {
        "dataset": "digits",
        "name": f"cnn3.standard.{instance}.{finetuning}.s{seed}",
        "variant": f"cnn3.standard.{instance}.{finetuning}",
        "architecture": "cnn3",
        "training": "standard",
        "compression": compression,
        "ratio": ratio,
        "bits": 32,
        "finetuning": finetuning,
        "seed": seed,
        "base": f"cnn3.standard.none.none.s{seed}",
    }


MODELS = [describe(seed, *axes) for seed in (0, 1) for axes in ((), ("weight", 0.9))]
CORRECT = {  # (compression, seed) -> correct on clean images, white-box, from the base of the same seed
    ("none", 0): (20, 4, 4),
    ("none", 1): (18, 6, 6),
    ("weight", 0): (19, 2, 10),
    ("weight", 1): (17, 4, 14),
}


def first_right(count):
    """Predictions of which exactly the first `count` are right."""
    return torch.where(torch.arange(N) < count, LABELS, (LABELS + 1) % 10)


def write(folder, target, source, clean, attacked, times=1):
    names = SimpleNamespace(dataset="digits", target=target["name"], source=source["name"])
    path = folder / f"{target['name']}-{source['name']}.safetensors"
    predictions = {"clean": first_right(clean), "fgsm-eps0.1": first_right(attacked)}
    # More images, of which no more are wrong.
    predictions = {name: torch.cat([found, *[LABELS] * (times - 1)]) for name, found in predictions.items()}
    split = {"fingerprint": "f", "classes": [str(digit) for digit in range(10)]}
    labels = LABELS.repeat(times)
    save_predictions(path, labels, predictions, names, ATTACKS, {"fingerprint": target["name"]}, split)
    return path


@pytest.fixture
def cells(tmp_path):
    paths = []
    for model in MODELS:
        clean, own, from_base = CORRECT[model["compression"], model["seed"]]
        base = next(other for other in MODELS if other["name"] == model["base"])
        paths.append(write(tmp_path, model, model, clean, own))
        if base is not model:
            paths.append(write(tmp_path, model, base, clean, from_base))
    return tables.read_cells(paths, MODELS)


def test_a_model_that_is_not_what_it_is_called_is_warned_of(tmp_path):
    size = dict.fromkeys(("channels", "parameters", "nonzeros", "macs", "bytes", "packed_bytes"), 1)
    asked = {"method": "admm", "ratio": 0.9}
    model, spec = model_of(EXAMPLES["cnn3"]), EXAMPLES["cnn3"]

    def save(place, after):
        path = tmp_path / str(place)
        projection = {"unprojected_accuracy": 0.947, "projected_accuracy": after, "images": "validation"}
        told = {"compression": asked, "finetuning": {"projection": projection}} if after else {}
        save_model(path, model, spec, size=size, dense=size, **told)
        return path

    paths = [save(0, None), save(1, 0.2)]
    # Another model, whose projection cost little.
    with torch.no_grad():
        next(model.parameters()).add_(1)
    paths.append(save(2, 0.94))
    warnings = compression_table(MODELS[:3], paths).set_index("model")["warning"]
    assert warnings[MODELS[0]["name"]] == warnings[MODELS[2]["name"]] == ""
    assert warnings[MODELS[1]["name"]] == (
        f"the same model as {MODELS[0]['name']}, bit for bit: one result under two names; ADMM had not converged: its "
        f"last projection took the validation accuracy from 94.7 to 20.0 %; train for more epochs, or raise rho"
    )


def test_clean_accuracy_has_one_row_per_model(cells):
    table = tables.clean_accuracy(cells).set_index("model")
    assert len(table) == 4
    assert table.loc["cnn3.standard.weight-90.standard.s1", "accuracy"] == 17 / 20


def test_robust_accuracy_names_the_threat(cells):
    table = tables.robust_accuracy(cells)
    assert len(table) == 6
    assert (
        table.loc[table["threat"] == "white-box", "source"] == table.loc[table["threat"] == "white-box", "target"]
    ).all()
    assert (table["low"] < table["accuracy"]).all() and (table["accuracy"] < table["high"]).all()


def test_means_and_spread_over_seeds(cells):
    table = tables.over_seeds(cells)
    row = table[(table["threat"] == "transfer") & (table["attack"] == "fgsm-eps0.1")].iloc[0]
    assert (row["runs"], row["mean"]) == (2, pytest.approx((10 + 14) / 40))
    assert row["std"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert table.iloc[0]["target_compression"] == "none" and table.iloc[0]["attack"] == "clean"
    # However many sources a model is scored on, its clean images count once a seed.
    clean = table[table["attack"] == "clean"].set_index("target_compression")
    assert list(clean.index) == ["none", "weight"]
    assert list(clean["runs"]) == [2, 2] and list(clean["threat"]) == ["clean", "clean"]
    assert clean.loc["weight", "mean"] == pytest.approx((19 + 17) / 40)


def test_disagreeing_clean_predictions_are_refused(tmp_path):
    paths = [write(tmp_path, MODELS[1], MODELS[1], 19, 2), write(tmp_path, MODELS[1], MODELS[0], 18, 2)]
    with pytest.raises(InputError, match=r"clean predictions of cnn3.standard.weight-90.standard.s0 differ"):
        tables.read_cells(paths, MODELS)


def test_clean_predictions_that_another_machine_rounds_otherwise_are_taken(tmp_path):
    """A network that rounds itself turns its last digit into a whole step; the audit takes a hundredth, too."""
    several = [
        write(tmp_path, MODELS[1], source, clean, 2, times=5) for source, clean in ((MODELS[1], 19), (MODELS[0], 18))
    ]
    cells = tables.read_cells(several, MODELS)
    assert tables.clean_accuracy(cells)["accuracy"].tolist() == [0.98]


def test_where_no_cell_is_left_the_check_that_failed_on_most_models_is_named(tmp_path):
    def failed(check, target, message, attack=EVERY):
        return judge(("digits", EVERY, target, attack), check, 1, 0, message, bad=True)

    names = [model["name"] for model in MODELS]
    findings = [
        *(failed(22, name, "the model is broken") for name in names[:1]),
        # Two attacks on one model are one model.
        *(failed(4, names[0], "other labels", attack) for attack in ("a", "b", "c")),
        *(failed(6, name, f"passes of {name}\ndiffer") for name in names[:2]),
        judge(("digits", EVERY, names[2], EVERY), 14, 1, 0, "weak", bad=True),
        judge(("digits", EVERY, names[3], EVERY), 14, 1, 0, "weak", bad=True),
        judge(("digits", EVERY, names[0], EVERY), 14, 1, 0, "weak", bad=True),
    ]
    paths = [write(tmp_path, model, model, 19, 2) for model in MODELS[:2]]
    with pytest.raises(InputError) as told:
        tables.read_cells(paths, MODELS, Audit(findings), findings)
    assert str(told.value) == (
        f"no cell is supported and passed the audit: check 6 (two forward passes agree) failed on {names[0]} and 1 "
        f"more: passes of {names[0]} differ; tables/unsupported.csv and tables/audit.csv say why"
    )
    with pytest.raises(InputError, match=r"^no cell is supported and passed the audit; tables/unsupported"):
        tables.read_cells([], MODELS)


# Figures


def text_of(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_heatmap_shows_the_means(cells):
    figure = heatmap(tables.over_seeds(cells), "digits", "fgsm-eps0.1")
    # Clean row: base 95, pruned 90; base row: white-box 25, transfer 60; pruned row: nothing on the base, 15 on itself.
    assert text_of(figure) == ["95.0", "90.0", "25.0", "60.0", "15.0"]
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["base", "weight 90 %"]


def test_heatmap_says_how_many_seeds_a_cell_averages(cells):
    def title(cells):
        return heatmap(tables.over_seeds(cells), "digits", "fgsm-eps0.1").axes[0].get_title(loc="left")

    assert "(mean of 2 seeds; framed" in title(cells)
    # What one seed does not support, or the audit refuses of it, is in no mean.
    lacking = cells["target"].eq(MODELS[1]["name"]) & cells["source"].eq(MODELS[1]["name"])
    assert "(mean of 1 to 2 seeds; framed" in title(cells[~lacking | cells["attack"].eq("clean")])


def test_heatmap_marks_what_the_audit_warns_of(cells):
    models = pd.DataFrame([{**{axis: model[axis] for axis in ("dataset", *MODEL, "seed")}, "model": model["name"]}
                           for model in MODELS])  # fmt: skip
    base, pruned = (model["name"] for model in MODELS[:2])
    cells = cells.assign(warnings="")
    cells.loc[cells["source"].eq(base) & cells["target"].eq(base) & cells["attack"].ne("clean"), "warnings"] = "14 17"

    def drawn(cells):
        robust = tables.robust_accuracy(cells)
        return heatmap(tables.over_seeds(cells), "digits", "fgsm-eps0.1", warned=warnings(robust, models))

    figure = drawn(cells)
    assert text_of(figure) == ["95.0", "90.0", "25.0†", "60.0", "15.0"]
    said = " ".join(figure.axes[0].get_xlabel().split())
    assert "† the audit warns of this cell (what may not hold: check 14: white-box at least as strong as" in said
    assert "; 17: the loss has converged)" in said
    # A broken model is marked in all of its cells, those of clean images too.
    cells.loc[cells["target"].eq(pruned), "warnings"] = "22"
    assert text_of(drawn(cells)) == ["95.0", "90.0†", "25.0†", "60.0†", "15.0†"]
    assert "†" not in drawn(cells.assign(warnings="")).axes[0].get_xlabel()


def test_ratio_curves_start_at_the_base(cells):
    figure = accuracy_against_ratio(tables.over_seeds(cells), "digits", "cnn3")
    curves = [line.get_xydata().tolist() for line in figure.axes[0].get_lines() if len(line.get_xydata()) == 2]
    assert [[0.0, pytest.approx(0.95)], [0.9, pytest.approx(0.9)]] in curves
    assert [[0.0, pytest.approx(0.25)], [0.9, pytest.approx(0.15)]] in curves
    assert [[0.0, pytest.approx(0.25)], [0.9, pytest.approx(0.6)]] in curves
