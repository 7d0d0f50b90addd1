"""The audit in the real workflow: a sound study passes, a spoilt set leaves the tables and turns the run red."""

import numpy as np
import pandas as pd
from conftest import TABLES
from safetensors.numpy import load_file

from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors

BASE = "cnn8.standard.none.none.s0"
PGD, FGSM = "pgd-eps0.1", "fgsm-eps0.1"


def table(study, name):
    return pd.read_csv(study.results / f"tables/{name}.csv", keep_default_na=False)


def test_a_sound_study_passes(finished):
    audit = table(finished, "audit")
    assert "failure" not in set(audit["verdict"])
    assert {*range(1, 8), 9, 10, *range(12, 16), *range(20, 34), *range(35, 44)} == set(audit["check"])
    # Made again with the seed and the settings that rule craft takes.
    assert set(audit.loc[audit["check"] == 32, "verdict"]) == {"pass"}
    assert "pass: " in (finished.results / "audit/passed.txt").read_text()
    warned = audit.loc[(audit["verdict"] == "warning") & (audit["target"] == BASE), "check"]
    marks = table(finished, "robust_accuracy").set_index("target").loc[BASE, "warnings"]
    assert {int(number) for mark in marks for number in str(mark).split()} >= set(warned)


def test_a_spoilt_set_leaves_the_tables_and_fails_the_run(study):
    before = study.tables()
    path = study.results / f"adversarial/digits/{BASE}/{PGD}.safetensors"
    (split,) = study.path.glob("data/prepared/digits.*/test.safetensors")
    arrays, metadata = read_arrays(path), read_metadata(path)
    arrays["adversarial"] = load_file(split)["images"].astype(np.float32) / 255
    write_tensors(path, arrays, metadata)
    matrices = [f"results/tiny/figures/digits/heatmap.{attack}.svg" for attack in (FGSM, PGD)]
    output = study.run(TABLES, "check_audit", *matrices, ok=False)
    assert "check 3 (no example left as it was)" in output and f"--forcerun {path.relative_to(study.path)}" in output
    assert f"{PGD} of {BASE} on *" in output and "Traceback" not in output
    assert not (study.results / "audit/passed.txt").exists()
    for name in ("robust_accuracy", "over_seeds", "comparisons"):
        assert set(table(study, name)["attack"]) - {"clean"} == {FGSM}, name
    assert (study.results / f"figures/digits/heatmap.{FGSM}.svg").exists()
    # In the place of a matrix stands why there is none.
    words = (study.results / f"figures/digits/heatmap.{PGD}.svg").read_text()
    assert "passed the audit" in words and "<image" not in words
    study.run(TABLES, "--forcerun", str(path.relative_to(study.path)))
    assert study.tables() == before


def test_the_deep_probe_is_one_job_per_source_and_joins_the_audit(study):
    study.config["audit"] = {"probe": True, "images": 20}
    planned = study.planned()
    assert planned["probe"] == 1 and not {"train", "craft", "predict", "audit_sets"} & planned.keys()
    study.run("write_tables", "check_audit")
    audit = table(study, "audit")
    probed = audit[(audit["attack"] == "*") & (audit["target"] == "*") & (audit["source"] != "*")]
    assert {6, 7, 9, 11, 16, 17, 18} == set(probed["check"]) and set(probed["source"]) == {BASE}
    warned = {str(number) for number in probed.loc[probed["verdict"] == "warning", "check"]}
    assert all(warned <= set(str(mark).split()) for mark in table(study, "robust_accuracy")["warnings"])
