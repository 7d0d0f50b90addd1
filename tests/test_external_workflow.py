"""Files of every format that were compressed elsewhere, in the real workflow beside one base and another network."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from external_examples import trained, write_onnx
from model_examples import digits
from safetensors.torch import save_file
from test_external import STUDY, study
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from squeezeproof.study.errors import ConfigError
from squeezeproof.study.paths import Paths
from squeezeproof.study.plan import Study

STUDENT = """
from torch import nn


def student(in_channels, num_classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))
"""
BASE = "cnn8.as-is.none.none.s0"
# What gives no gradients is attacked by queries alone.
DEPLOYED, WEIGHTS = ("qdq", "phone"), ("masked", "student", "other")
NAMES = {kind: f"cnn8.as-is.{kind}.none.s0" for kind in (*DEPLOYED, *WEIGHTS)}


def save(path, network):
    save_file({name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}, path)


def masked():
    network = trained().network
    for module in network:
        if hasattr(module, "weight"):
            prune.l1_unstructured(module, "weight", 0.3)
    return network


def linear():
    """A linear network, fitted in a few steps."""
    images, labels = digits()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(images / 255), labels).backward()
        optimizer.step()
    return model


def configured(fresh):
    """The study of the tiny digits with its files in place."""
    mine = fresh.path / "mine"
    mine.mkdir()
    save(mine / "base.safetensors", trained().network)
    save(mine / "masked.safetensors", masked())
    save(mine / "student.safetensors", linear())
    shutil.copy(write_onnx(mine)["qdq"], mine / "small.onnx")
    shutil.copy(Path(__file__).parent / "tflite/int8.tflite", mine / "phone.tflite")
    (fresh.path / "networks_of_mine.py").write_text(STUDENT)
    linear_network = {"kind": "custom", "factory": "networks_of_mine:student", "normalization": "none"}
    files = {
        "masked": {"file": "mine/masked.safetensors"},
        "student": {"file": "mine/student.safetensors", "architecture": linear_network},
        "qdq": {"file": "mine/small.onnx"},
        "phone": {"file": "mine/phone.tflite"},
        # Another uncompressed model of the study.
        "other": {
            "file": "results/tiny/models/digits/second.standard.none.none.s0.safetensors",
            "architecture": {"kind": "cnn8", "width": 4},
        },
    }
    fresh.config |= {
        "architectures": {
            "cnn8": {"width": 6, "normalization": "none", "checkpoint": "mine/base.safetensors"},
            "second": {"kind": "cnn8", "width": 4},
        },
        "trainings": {"as-is": {"epochs": 0}, **fresh.config["trainings"]},
        "finetunings": {},
        "variants": [{"finetunings": ["none"]}],
        "compressions": {name: {"method": "external", "of": BASE, **entry} for name, entry in files.items()},
        "attacks": {"fgsm": {"eps": 0.1}, "square": {"eps": 0.1, "queries": 60}, "rays": {"eps": 0.1, "queries": 60}},
        "evaluations": {
            "own": {"sources": [BASE, *NAMES.values()], "where": ["white-box"]},
            "of-base": {"sources": BASE, "targets": [BASE, *NAMES.values()]},
        },
        "efficiency": {"formats": ["onnx"], "images": 20, "rounds": 2},
    }


def table(study, name):
    return pd.read_csv(study.results / f"tables/{name}.csv", keep_default_na=False)


@pytest.mark.slow
def test_files_of_every_format_and_another_network_have_verdicts_answers_sizes_and_cards(fresh):
    configured(fresh)
    fresh.run("write_cards", "write_efficiency", "check_audit")
    audit = table(fresh, "audit")
    assert not audit["verdict"].eq("failure").any(), audit[audit["verdict"] == "failure"].to_string()
    every = set(NAMES)
    for name in ("verdicts", "answers"):
        assert set(table(fresh, name)["compression"]) == every, name
    assert {*NAMES.values(), BASE} <= set(table(fresh, "efficiency")["model"])
    cards = {path.name for path in fresh.results.glob("models/digits/*.model_card.md")}
    assert cards == {f"{name}.model_card.md" for name in NAMES.values()}
    rows = table(fresh, "robust_accuracy")
    own = rows[rows["source"] == rows["target"]].groupby("target")["attack"].agg(set)
    queries = {"square-eps0.1", "rays-eps0.1"}
    for kind, name in NAMES.items():
        assert own[name] == (queries if kind in DEPLOYED else {*queries, "fgsm-eps0.1"}), kind


def test_of_names_an_uncompressed_model_and_what_to_write_is_told():
    mine = {**STUDY["compressions"]["mine"], "of": "cnn8.standard.int-8.short.s0"}
    with pytest.raises(ConfigError) as error:
        Study({**STUDY, "compressions": {"int": {"method": "quantization", "bits": 8}, "mine": mine}})
    (told,) = error.value.problems
    assert told.startswith("compressions.mine.of: 'cnn8.standard.int-8.short.s0' is no base model of the study")
    assert told.count("write of: cnn8.standard.none.none.s0, with which both are compared then") == 1


def test_another_uncompressed_model_of_the_study_is_compared_by_its_checkpoint():
    checkpoint = "results/external/models/digits/cnn3.standard.none.none.s0.safetensors"
    planned = study(file=checkpoint, of="cnn8.*", architecture={"kind": "cnn3"})
    (other,) = [model for model in planned.models.values() if not model.is_base]
    assert (
        planned.file_of(other) == checkpoint
        and planned.describe("digits", other.name)["base"] == "cnn8.standard.none.none.s0"
    )
    assert checkpoint == Paths("external").model("digits", "cnn3.standard.none.none.s0")
