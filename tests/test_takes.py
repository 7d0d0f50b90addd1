"""Images and classes that a model does not take are told in words, with what to write, before anything is attacked."""

import copy
import shutil

import pytest
import torch
from conftest import ROOT, TINY
from external_examples import DATASET, SPEC
from onnx import load
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from safetensors.torch import save_file
from torch import nn

import squeezeproof
from squeezeproof.compression.external import read_external
from squeezeproof.deployment.export import onnx_bytes
from squeezeproof.entries.compressions.external import External
from squeezeproof.errors import InputError
from squeezeproof.from_files import known
from squeezeproof.from_files.networks import find_network
from squeezeproof.models.build import build
from squeezeproof.models.takes import Takes, by_input, unlike
from squeezeproof.study import preflight
from squeezeproof.study.plan import Study

ENTRY = External.defaults() | {"file": ""}
COMPARED = "its base takes what the data set has: give a file that was made of this base"


def network(channels=1, side=8, classes=10, **settings):
    """An untrained model: a CNN-8, whose last layers fit one size of images, unless the settings say otherwise."""
    spec = {**SPEC, "in_channels": channels, "image_size": side, "num_classes": classes}
    spec |= {"mean": [0.0] * channels, "std": [1.0] * channels}
    return build({**spec, "architecture": {**SPEC["architecture"], **settings}}, 0).eval()


def weights(path, model):
    save_file({name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}, path)
    return str(path)


def images(channels=1, side=8, classes=10):
    found = torch.zeros(2 * classes, channels, side, side, dtype=torch.uint8)
    # No two are one.
    found[:, 0, -1, -1] = torch.arange(2 * classes)
    return found, torch.arange(classes).repeat(2), classes


@pytest.fixture(autouse=True)
def ours_alone(monkeypatch):
    """To try all other networks, none of which is meant here, takes seconds."""
    monkeypatch.setattr(known, "known", lambda numbers, named: [[{"kind": "cnn8"}]])


# Of the model, and of the images beside it.
UNFIT = [
    ({"channels": 3}, {}, "takes colour images, the data set has grey images"),
    ({}, {"channels": 3}, "takes grey images, the data set has colour images"),
    ({"classes": 7}, {}, "tells 7 classes apart, the data set has 10 classes"),
    ({}, {"classes": 4}, "tells 10 classes apart, the data set has 4 classes"),
    ({"channels": 3, "classes": 7}, {}, "takes colour images and tells 7 classes apart, the data set has grey"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "beside", "told"), UNFIT)
@pytest.mark.parametrize("named", [False, True])
def test_a_base_that_takes_other_images_is_told_and_what_to_write(tmp_path, model, beside, told, named):
    path = weights(tmp_path / "base.safetensors", network(**model, width=32))
    architecture = {"kind": "cnn8", "width": 32} if named else None
    with pytest.raises(InputError) as error:
        find_network(path, *images(**beside), architecture)
    said = str(error.value)
    assert said.startswith(f"BASE={path}: {told}"), said
    if "colour" in told:
        channels = model.get("channels", 1)
        assert f"write channels: {channels} in the entry of `datasets`, or CHANNELS={channels} of make check" in said
    assert ("give images of the classes that it knows" in said) == ("apart" in told)


@pytest.mark.parametrize("named", [False, True])
def test_a_base_of_another_size_is_told(tmp_path, named):
    path = weights(tmp_path / "base.safetensors", network(side=32, width=32))
    with pytest.raises(InputError) as error:
        find_network(path, *images(), {"kind": "cnn8", "width": 32} if named else None)
    # Its weights are of the same shapes for images of 28 pixels.
    told = "takes images of another size, the data set has 8 x 8 pixels; write as size the one that it was trained on"
    assert str(error.value).startswith(f"BASE={path}: {told}"), error.value


def test_a_base_whose_weights_tell_its_size_is_told_that(tmp_path):
    path = weights(tmp_path / "base.safetensors", network(side=64, width=32))
    with pytest.raises(InputError, match=r"takes 64 x 64 pixels, .* write size: 64 in .* SIZE=64 of make check"):
        find_network(path, *images())


def onnx(path, model, shape):
    path.write_bytes(onnx_bytes(model, shape))
    return path


@pytest.mark.parametrize(("model", "beside", "told"), UNFIT)
@pytest.mark.parametrize("ending", ["safetensors", "onnx"])
def test_a_compressed_file_that_takes_other_images_is_told(tmp_path, model, beside, told, ending):
    made, path = network(**model), tmp_path / f"small.{ending}"
    if ending == "onnx":
        onnx(path, made, (model.get("channels", 1), 8, 8))
    else:
        weights(path, made)
    side = {"channels": 1, "classes": 10} | beside
    dataset = {"shape": [side["channels"], 8, 8], "classes": [*map(str, range(side["classes"]))]}
    dataset |= {"mean": [0.0] * side["channels"], "std": [1.0] * side["channels"]}
    base = {**SPEC, "in_channels": side["channels"], "num_classes": side["classes"]}
    base |= {"mean": dataset["mean"], "std": dataset["std"]}
    with pytest.raises(InputError) as error:
        read_external(path, ENTRY, base, dataset)
    assert str(error.value).startswith(f"{path}: {told}") and str(error.value).endswith(COMPARED), error.value


def test_an_onnx_file_of_another_size_is_told_and_what_to_write(tmp_path):
    path = onnx(tmp_path / "small.onnx", network(side=16), (1, 16, 16))
    told = (
        r"takes 16 x 16 pixels, the data set has 8 x 8 pixels; export it for images of 8 x 8 pixels, or, where its base"
    )
    with pytest.raises(InputError, match=f"^{path}: {told} takes others too, write size: 16 .* SIZE=16 of make check$"):
        read_external(path, ENTRY, SPEC, DATASET)


@pytest.mark.parametrize(
    ("shape", "classes", "told"),
    [
        ([3, 8, 8], 10, "takes grey images of 8 x 8 pixels, the data set has colour images of"),
        ([1, 9, 9], 10, "takes 8 x 8 pixels, the data set has 9 x 9 pixels"),
        ([1, 8, 8], 7, "tells 10 classes apart, the data set has 7 classes"),
    ],
)
def test_a_tflite_file_that_takes_other_images_is_told(tmp_path, shape, classes, told):
    shutil.copy(ROOT / "tests/tflite/int8.tflite", tmp_path / "small.tflite")
    dataset = {
        "shape": shape,
        "classes": [*map(str, range(classes))],
        "mean": [0.0] * shape[0],
        "std": [1.0] * shape[0],
    }
    told = told.partition(" of 8 x 8")[0]
    with pytest.raises(InputError, match=f"small.tflite: {told}"):
        read_external(tmp_path / "small.tflite", ENTRY, SPEC, dataset)


def test_operators_of_a_quantizer_that_are_not_run_are_told_with_how_to_quantize(tmp_path):
    """ONNX Runtime's own quantizer writes them, for signed inputs."""
    path = onnx(tmp_path / "small.onnx", network(), (1, 8, 8))
    pixels = torch.rand(8, 1, 8, 8).numpy()

    class Reader(CalibrationDataReader):
        batches = iter([{load(path).graph.input[0].name: pixels}])

        def get_next(self):
            return next(self.batches, None)

    quantize_static(path, path, Reader(), quant_format=QuantFormat.QOperator, activation_type=QuantType.QInt8)
    with pytest.raises(
        InputError, match=r"quantized in operators \(Q\w+\) .* quantize it by quant_format=QuantFormat.QDQ"
    ):
        read_external(path, ENTRY, SPEC, DATASET)


@pytest.mark.parametrize(
    ("shape", "outputs", "takes"),
    [
        ([None, 3, 32, 32], {"a": [None, 10]}, Takes(3, (32, 32), 10)),
        ([1, 32, 32, 3], {"a": [1, 10]}, Takes(3, (32, 32), 10)),
        ([None, 1, None, None], {"a": [None, 10]}, Takes(None, None, 10)),
        ([None, 8, 8, 1], {"a": [None, None]}, Takes()),
        ([None] * 4, {"a": "seq(map(int64,tensor(float)))"}, Takes()),
        ([1, 64], {"a": [1, 10, 1, 1]}, Takes(None, None, 10)),
        ([1, 3, 4, 4], {"a": [1, 10], "b": [1, 20]}, Takes(3, (4, 4), None)),
    ],
)
def test_what_an_input_tells(shape, outputs, takes):
    assert by_input(shape, outputs, DATASET) == takes


def test_what_fits_is_not_told():
    assert unlike(Takes(1, (8, 8), 10), DATASET) == "" and unlike(Takes(), DATASET) == ""


# --- in memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ({"channels": 3}, "base: fails .*; its first convolution takes 3 channels, the images have 1: repeat the grey"),
        (
            {"side": 32},
            "base: fails .*; its linear layers are made for images of another size than 8 x 8: give them in",
        ),
        ({"classes": 5}, "labels: 9 is among them, the base has 5 classes"),
    ],
)
def test_models_in_memory_that_take_other_images_are_told(base, told):
    pixels, labels, _ = images()
    pixels[:, :, 0] = 255
    with pytest.raises(squeezeproof.InputError, match=told):
        # Without what lays their normalisation before them, which repeats a grey channel.
        squeezeproof.check(network(**base).network, network(), pixels, labels, eps=0.1)


def test_grey_models_of_colour_images_are_told():
    pixels, labels, _ = images(channels=3)
    pixels[:, :, 0] = 255
    with pytest.raises(squeezeproof.InputError, match="takes 1 channels, the images have 3: give them in grey"):
        squeezeproof.check(nn.Sequential(network(channels=3)), network(), pixels, labels, eps=0.1)


# --- a study ----------------------------------------------------------------------------------------------------------


def test_files_of_a_study_that_take_other_images_end_it_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [size] = [settings.get("size", 8) for settings in TINY["datasets"].values()]
    weights(tmp_path / "base.safetensors", network(channels=3, width=8))
    onnx(tmp_path / "small.onnx", network(channels=3, side=size), (3, size, size))
    weights(tmp_path / "other.safetensors", network(classes=7, width=8))
    weights(tmp_path / "sound.safetensors", network(width=8))
    config = copy.deepcopy(TINY) | {"architectures": {"cnn8": {"width": 8, "checkpoint": "base.safetensors"}}}
    files = {"small": "small.onnx", "other": "other.safetensors", "sound": "sound.safetensors"}
    config["compressions"] = {name: {"method": "external", "file": file} for name, file in files.items()}
    found = preflight.problems(Study(config))
    told = {
        "architectures.cnn8.checkpoint: base.safetensors: takes colour images, the data set has grey images; write",
        "compressions.small.file: small.onnx: takes colour images, the data set has grey images; its base takes what",
        "compressions.other.file: other.safetensors: tells 7 classes apart, the data set has 10 classes; its base",
    }
    assert len(found) == 3 and all(any(one.startswith(text) for one in found) for text in told), found
    assert preflight.problems(Study(config), looks=False) == []
    config["architectures"]["cnn8"]["checkpoint"] = "sound.safetensors"
    del config["compressions"]["small"], config["compressions"]["other"]
    assert preflight.problems(Study(config)) == []
