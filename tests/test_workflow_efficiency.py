"""The real workflow with the section `efficiency`: exports, times, tables, figures and the audit of int8 models."""

import copy

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from conftest import TINY, Workspace
from safetensors.numpy import load_file

from squeezeproof.deployment.plain import run_session
from squeezeproof.models.onnx_sessions import open_session

pytestmark = pytest.mark.slow

BASE = "cnn8.standard.none.none.s0"
INT8 = "cnn8.standard.int-8.standard.s0"
INT4 = "cnn8.standard.int-4.standard.s0"
QUERIES = ["square-eps0.1", "rays-eps0.1"]
EFFICIENCY = {"formats": ["onnx", "torch_export", "int8"], "images": 20, "rounds": 2, "attacks": ["square*", "rays*"]}


def config():
    changed = copy.deepcopy(TINY)
    changed["study"] = "deployed"
    changed["trainings"] = {"standard": {"epochs": 8, "batch_size": 16, "optimizer": "adam", "learning_rate": 0.01}}
    changed["compressions"] = {"weight": {"ratio": 0.5}, "int": {"method": "quantization", "bits": [8, 4]}}
    changed["attacks"] = {
        "fgsm": {"eps": 0.1},
        "square": {"eps": 0.1, "queries": 20, "reference": False, "stop_on_success": True},
        "rays": {"eps": 0.1, "queries": 30},
    }
    own = {"sources": "*", "where": ["white-box"], "attacks": ["fgsm*"]}
    changed["evaluations"] = {"white-box": own, "of-base": {**own, "sources": "base", "where": ["transfer"]}}
    return {**changed, "efficiency": EFFICIENCY}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("deployed") / "study", config())
    workspace.output = workspace.run()
    return workspace


def table(study, name):
    return pd.read_csv(study.results / f"tables/{name}.csv")


def test_every_model_is_exported_and_only_eight_bits_as_int8(deployed):
    names = {path.name for path in (deployed.results / "exports/digits").iterdir()}
    models = [BASE, INT8, INT4, "cnn8.standard.weight-50.standard.s0"]
    files = {f"{model}.{ending}" for model in models for ending in ("onnx", "pt2")} | {f"{INT8}.int8.onnx"}
    assert names == files | {f"{name}.json" for name in files}


def test_the_int8_model_is_scored_on_what_its_twin_is_scored_on(deployed):
    row, of_base = table(deployed, "deployed").query("attack == 'fgsm-eps0.1'").itertuples()
    assert (of_base.model, of_base.source, of_base.made_for) == (INT8, BASE, "its base")
    assert (row.model, row.source, row.made_for) == (INT8, INT8, "its fake-quantized model")
    fake_quantized = table(deployed, "robust_accuracy").set_index(["source", "target"]).loc[INT8, INT8]
    assert (row.fake_quantized_accuracy, row.n) == (fake_quantized["accuracy"], fake_quantized["n"])
    stored = load_file(deployed.results / f"adversarial/digits/{INT8}/fgsm-eps0.1.safetensors")
    session = open_session(deployed.results / f"exports/digits/{INT8}.int8.onnx")
    labels = run_session(session, stored["adversarial"]).argmax(1)
    assert row.int8_accuracy == (labels == stored["labels"]).mean()
    assert row.agreement == (labels == stored["predictions"]).mean() > 0.8


def test_the_int8_model_is_attacked_itself(deployed):
    rows = table(deployed, "deployed").set_index("attack")
    session = open_session(deployed.results / f"exports/digits/{INT8}.int8.onnx")
    names, stands = [path.stem for path in (deployed.results / "adversarial_int8/digits" / INT8).iterdir()], []
    assert sorted(names) == sorted(QUERIES)
    for attack in QUERIES:
        row = rows.loc[attack]
        stored = load_file(deployed.results / f"adversarial_int8/digits/{INT8}/{attack}.safetensors")
        labels = run_session(session, stored["adversarial"]).argmax(1)
        assert (row["source"], row["made_for"]) == (f"{INT8}.int8.onnx", "itself")
        assert row["int8_accuracy"] == (labels == stored["labels"]).mean() < rows.loc["clean", "int8_accuracy"]
        assert 1 < row["queries"] <= {"square-eps0.1": 21, "rays-eps0.1": 31}[attack]
        stands.append(labels == stored["labels"])
    for source in (BASE, INT8):
        stored = load_file(deployed.results / f"adversarial/digits/{source}/fgsm-eps0.1.safetensors")
        stands.append(run_session(session, stored["adversarial"]).argmax(1) == stored["labels"])
    [worst] = set(rows.query("eps == 0.1")["worst"])
    assert worst == np.logical_and.reduce(stands).mean() <= rows.query("eps == 0.1")["int8_accuracy"].min()
    audit = table(deployed, "audit")
    own = audit[audit["source"] == f"{INT8}.int8.onnx"]
    assert set(own["attack"]) == set(QUERIES) and {1, 4} <= set(own["check"]) and "failure" not in set(own["verdict"])
    story = (deployed.results / "story.html").read_text()
    assert "int8 models attacked themselves" in story and f"{100 * worst:.1f} % of" in story
    assert "queries an image" in story and "white-box access to that" in story


def test_an_exported_file_predicts_what_the_study_scored(deployed):
    (split,) = deployed.path.glob("data/prepared/digits.*/test.safetensors")
    pixels = load_file(split)["images"].astype("float32") / 255
    for model in (BASE, INT4):
        session = onnxruntime.InferenceSession(deployed.results / f"exports/digits/{model}.onnx")
        labels = session.run(None, {"pixels": pixels})[0].argmax(1)
        scored = load_file(deployed.results / f"predictions/digits/{model}/{model}.safetensors")["prediction:clean"]
        assert (labels == scored).mean() >= 0.97


def test_the_table_of_efficiency_has_sizes_of_all_and_times_of_what_can_run(deployed):
    rows = table(deployed, "efficiency").set_index("model")
    sizes = table(deployed, "compression").set_index("model")
    assert len(rows) == 4
    for column in ("parameters", "packed_bytes", "macs"):
        assert (rows[column] == sizes[column]).all()
    assert rows.loc[INT8, "int8_bytes"] < rows.loc[INT8, "onnx_bytes"]
    assert rows.loc[INT8, "int8_integer_layers"] == rows.loc[INT8, "int8_layers"] == 8
    assert rows["onnx_agreement"].min() >= 0.99 and rows["torch_export_agreement"].min() >= 0.99
    timed = rows[["eager_ms", "onnxruntime_ms", "int8_ms"]].notna()
    assert list(timed.loc[BASE]) == [True, True, False]
    assert list(timed.loc[INT8]) == [False, False, True]
    assert not timed.loc[INT4].any()


def test_times_are_of_every_round_and_image(deployed):
    raw = pd.read_csv(deployed.results / "latency/digits.csv")
    counts = raw.groupby(["model", "backend", "algorithm"]).size().unstack()
    assert set(counts["in memory"]) == {2 * 20} and set(counts["loaded"]) == {2}
    latency = table(deployed, "latency")
    assert len(latency) == 2 * len(counts)
    assert (latency["median_ms"] > 0).all() and latency["machine_cpu"].notna().all()
    first, second = (list(dict.fromkeys(rows["model"] + rows["backend"])) for _, rows in raw.groupby("round"))
    assert second == first[::-1]


def test_the_int8_model_is_audited(deployed):
    audit = table(deployed, "audit")
    rows = audit[(audit["check"] == 19) & (audit["target"] == INT8)]
    assert {"*"} < set(rows["attack"])
    (row,) = rows[rows["attack"] == "*"].itertuples()
    assert row.source == "*"
    agreement = table(deployed, "efficiency").set_index("model").loc[INT8, "int8_agreement"]
    assert float(row.value) == pytest.approx(agreement, abs=1e-5)
    assert row.verdict == ("pass" if agreement >= 0.99 else "warning")


def test_selections_and_figures_are_there(deployed):
    selected = table(deployed, "selected")
    assert len(selected) == 2 * 2
    assert set(selected["selected"]) <= {"smallest within tolerance", "none within tolerance", "nothing to keep"}
    for name in ("latency", "pareto"):
        for ending in ("svg", "png"):
            assert (deployed.results / f"figures/digits/{name}.{ending}").stat().st_size > 1000


def test_a_second_run_does_nothing_and_without_the_section_nothing_is_deployed(deployed, tmp_path):
    assert deployed.planned() == {}
    workspace = deployed.clone(tmp_path / "study")
    workspace.config["attacks"]["square"]["queries"] = 19
    again = workspace.planned()
    assert again["craft_int8"] == again["score_int8"] == 1
    assert not {"train", "compress", "craft", "predict", "predict_int8", "export_int8"} & again.keys()
    workspace.config["attacks"]["square"]["queries"] = 20
    workspace.config["efficiency"]["rounds"] = 3
    planned = workspace.planned()
    assert {"measure_latency", "write_efficiency", "plot_latency", "plot_pareto"} <= planned.keys()
    assert not {"train", "compress", "craft", "predict", "export", "export_int8", "write_tables"} & planned.keys()
    del workspace.config["efficiency"]
    assert not {"export", "export_int8", "measure_latency", "write_efficiency"} & workspace.planned().keys()
