"""ONNX files of other programs as models: what is read from them, what is refused, with one message each."""

import copy
import re

import numpy as np
import onnx
import pytest
import torch
from external_examples import DATASET, SPEC, held_out, trained, write_onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from squeezeproof.attacks.craft import craft
from squeezeproof.compression.compared import compare
from squeezeproof.compression.external import read_external
from squeezeproof.deployment.export import onnx_bytes
from squeezeproof.deployment.latency import contenders
from squeezeproof.entries.compressions.external import External
from squeezeproof.errors import InputError
from squeezeproof.models.checkpoints import check_rebuilds, load_model, save_model
from squeezeproof.models.foreign import open_file
from squeezeproof.models.measure import measure
from squeezeproof.study.plan import Study

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Name -> path of a real file: of torch's exporter, and of ONNX Runtime's own quantizer."""
    return write_onnx(tmp_path_factory.mktemp("onnx"))


def opened(path, **options):
    return open_file(path, shape=SHAPE, classes=10, **options)


def edited(source, target, edit):
    model = onnx.load(source)
    edit(model)
    target.write_bytes(model.SerializeToString())
    return target


def images():
    return held_out()[0].float() / 255


def test_a_float_file_gives_the_logits_of_its_network(files):
    model = opened(files["float"])
    assert torch.allclose(model(images()), trained()(images()), atol=1e-4)
    assert model.notes == ["ONNX Runtime runs it; inputs nchw, float32"]


@pytest.mark.parametrize("name", ["float", "qdq", "qoperator", "dynamic"])
def test_what_a_file_says_of_an_image_does_not_depend_on_the_others(files, name):
    """A dynamic file rounds by the range of all images that it is given: the audit found other labels again."""
    model, pixels = opened(files[name]), held_out(40)[0].float() / 255
    assert torch.allclose(model(pixels), torch.cat([model(image[None]) for image in pixels]), atol=1e-4)
    assert torch.allclose(model(pixels.flip(0)), model(pixels).flip(0), atol=1e-4)
    assert any("image by image, as it rounds" in note for note in model.notes) == (name == "dynamic")


def test_a_dynamic_file_of_a_fixed_batch_is_refused(files, tmp_path):
    model = onnx.load(files["dynamic"])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "four.onnx")
    with pytest.raises(
        InputError, match="rounds by the range of a batch of 4, so that what it says of an image depends"
    ):
        opened(tmp_path / "four.onnx")


@pytest.mark.parametrize("name", ["qdq", "qoperator", "dynamic"])
def test_an_int8_file_labels_like_its_network(files, name):
    agreed = (opened(files[name])(images()).argmax(1) == trained()(images()).argmax(1)).float().mean()
    assert agreed > 0.9


def test_sizes_are_measured_in_the_file(files):
    own = measure(trained(), {}, SHAPE)
    found = {name: measure(opened(path), {}, SHAPE) for name, path in files.items()}
    keys = ("parameters", "channels", "convolutions", "weights", "macs", "bytes", "packed_bytes")
    # The file holds the mean and the std of its normalisation too.
    more = {"parameters": 2, "bytes": 8, "packed_bytes": 8}
    assert {key: found["float"][key] for key in keys} == {key: own[key] + more.get(key, 0) for key in keys}
    assert found["float"]["weight_bits"] == own["weight_bits"] == 32 * own["weights"]
    for name in ("qdq", "qoperator", "dynamic"):
        assert {key: found[name][key] for key in ("weights", "macs")} == {key: own[key] for key in ("weights", "macs")}
        assert found[name]["quantized_weights"] == own["weights"]
        assert found[name]["weight_bits"] == 8 * own["weights"]
        assert 0.25 < found[name]["packed_bytes"] / own["packed_bytes"] < 0.45


def test_zeros_are_counted_whatever_stands_for_them(files, tmp_path):
    model = trained()
    model.network.conv2.weight.data[:, 0] = 0
    (tmp_path / "zeros.onnx").write_bytes(onnx_bytes(model, SHAPE))
    quantize_dynamic(tmp_path / "zeros.onnx", tmp_path / "uint8.onnx", weight_type=QuantType.QUInt8)
    for name in ("zeros", "uint8"):
        assert measure(opened(tmp_path / f"{name}.onnx"), {}, SHAPE)["zero_weights"] >= 6 * 9


def test_a_checkpoint_holds_the_file_and_rebuilds_it(files, tmp_path):
    model, spec, masks, _ = read_external(files["qdq"], entry(), SPEC, DATASET)
    save_model(tmp_path / "model", model, spec, masks)
    check_rebuilds(tmp_path / "model", model)
    loaded = copy.deepcopy(load_model(tmp_path / "model")[0])
    assert torch.equal(loaded(images()), model(images()))


def test_a_file_is_timed_in_its_own_runtime_from_its_checkpoint(files, tmp_path):
    model, spec, masks, _ = read_external(files["qdq"], entry(), SPEC, DATASET)
    save_model(tmp_path / "model.safetensors", model, spec, masks)
    [timed] = contenders([("mine", "onnxruntime")], [tmp_path / "model.safetensors"], [1], torch.device("cpu"))
    timed.set_up()
    assert (timed.model, timed.backend, timed.threads) == ("mine", "onnxruntime", 1)
    assert np.array_equal(timed.forward(images()[:3]), model(images()[:3]))


def entry(**settings):
    return External.defaults() | {"file": ""} | settings


def test_square_attacks_a_file_and_gradients_are_refused(files):
    model, (pixels, labels) = opened(files["qdq"]), held_out(30)
    shared = {"eps": 0.3, "norm": "linf", "stop_on_success": False, "stored": "float32", "expectation": 1}
    square = {"method": "square", "restarts": 1, "queries": 60, "p_init": 0.8, "reference": True, "loss": "margin"}
    tensors, _ = craft(model, pixels, labels, {**square, **shared}, seed=0, batch_size=None)
    clean = (tensors["clean_predictions"] == labels).float().mean()
    assert (tensors["predictions"] == labels).float().mean() < clean - 0.3
    fgsm = {"method": "fgsm", "loss": "cross_entropy", "gradient": "straight-through"}
    with pytest.raises(InputError, match="gradient"):
        craft(model, pixels, labels, {**fgsm, **shared}, seed=0, batch_size=None)


def test_a_decision_based_attack_of_a_library_fools_a_file(files):
    images, labels = held_out(6)
    attack = {"method": "foolbox.HopSkipJumpAttack", "norm": "linf", "steps": 3, "eps": 0.3}
    config = {
        **{"study": "s", "datasets": {"digits": {"size": 8}}, "architectures": {"cnn8": {}}},
        **{"trainings": {"t": {"epochs": 0}}, "attacks": {"hop": attack}, "evaluations": {"all": {}}},
    }
    settings = Study(config).attacks["hop-eps0.3"].settings
    tensors, metadata = craft(opened(files["qdq"]), images, labels, settings, seed=0, batch_size=None)
    assert (tensors["predictions"] == labels).float().mean() < 0.7 and metadata["backwards_per_example"] == 0


def test_an_attack_that_finds_no_point_to_start_from_names_those_that_need_none(files):
    """Foolbox's HopSkipJump begins at noise; a model that gives noise the image's own class leaves it none."""
    images, _ = held_out(6)
    model = opened(files["float"])
    constant = nn.Sequential(model, Constant()).eval()
    attack = {"method": "foolbox.HopSkipJumpAttack", "norm": "linf", "steps": 3, "eps": 0.3}
    config = {
        **{"study": "s", "datasets": {"digits": {"size": 8}}, "architectures": {"cnn8": {}}},
        **{"trainings": {"t": {"epochs": 0}}, "attacks": {"hop": attack}, "evaluations": {"all": {}}},
    }
    settings = Study(config).attacks["hop-eps0.3"].settings
    labels = torch.zeros(6, dtype=torch.int64)
    _, metadata = craft(constant, images, labels, settings, seed=0, batch_size=None)
    assert "square and rays begin at the image itself" in metadata["failed"]


class Constant(nn.Module):
    """The first class, whatever the logits."""

    def forward(self, logits):
        return torch.eye(10)[torch.zeros(len(logits), dtype=torch.int64)] + 0 * logits


class Around(nn.Module):
    """What other programs put around a network: inputs that lie channels last, in bytes, and a softmax."""

    def __init__(self, last=False, scale=1.0, softmax=None):
        super().__init__()
        self.network, self.last, self.scale, self.softmax = trained(), last, scale, softmax

    def forward(self, pixels):
        pixels = pixels.permute(0, 3, 1, 2) if self.last else pixels
        logits = self.network(pixels * self.scale)
        if self.softmax == "softmax":
            return torch.softmax(logits, 1)
        if self.softmax == "by hand":
            exponentials = (logits - logits.amax(1, keepdim=True)).exp()
            return exponentials / exponentials.sum(1, keepdim=True)
        return logits


def exported(path, module, shape=SHAPE):
    path.write_bytes(onnx_bytes(module.eval(), shape))
    return path


def test_channels_last_is_read_from_the_file(tmp_path):
    model = opened(exported(tmp_path / "a.onnx", Around(last=True), (8, 8, 1)))
    assert model.network.reading["layout"] == "nhwc"
    assert torch.allclose(model(images()), trained()(images()), atol=1e-4)


@pytest.mark.parametrize("softmax", ["softmax", "by hand"])
def test_probabilities_become_their_logarithms(tmp_path, softmax):
    path = exported(tmp_path / "a.onnx", Around(softmax=softmax))
    model = opened(path)
    assert torch.allclose(model(images()), trained()(images()).log_softmax(1), atol=1e-3)
    assert any("probabilities" in note for note in model.notes)
    with pytest.raises(InputError, match="write outputs: probabilities"):
        opened(path, outputs="logits")


def test_logits_are_not_taken_for_probabilities(files):
    with pytest.raises(InputError, match="no probabilities"):
        opened(files["float"], outputs="probabilities")


def test_pixels_in_bytes_are_found_by_the_comparison_with_the_base(tmp_path):
    path = exported(tmp_path / "a.onnx", Around(scale=1 / 255))
    read = read_external(path, entry(normalization="bytes"), SPEC, DATASET)[0]
    assert compare(path, read, trained(), *held_out(), DATASET)[0]["agreement"] > 0.99
    with pytest.raises(InputError, match="Most likely the right one: normalization: bytes"):
        compare(path, read_external(path, entry(), SPEC, DATASET)[0], trained(), *held_out(), DATASET)


def test_of_a_file_that_ends_in_sigmoids_the_log_odds_are_taken(files, tmp_path):
    def edit(model):
        added(model, helper.make_node("Sigmoid", [model.graph.output[0].name], ["sigmoids"]))

    model = opened(edited(files["float"], tmp_path / "a.onnx", edit))
    assert "ends in a sigmoid of every class: their log-odds are taken" in model.notes
    found, expected = model(images()), trained()(images())
    # Beyond 17 a sigmoid is 1 in float32, and rounded long before.
    near = expected.abs() < 8
    assert near.any() and (found - expected)[near].abs().max() < 0.01
    assert found[expected > 17].min() > 15 and found[expected < -17].max() < -15


def test_a_file_that_takes_signed_bytes_gets_pixels_around_zero(files, tmp_path):
    def edit(model):
        given = model.graph.input[0]
        model.graph.node.insert(0, helper.make_node("Cast", [given.name], ["as.float"], to=TensorProto.FLOAT))
        constants = {"zero": np.float32(128), "scale": np.float32(1 / 255)}
        model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
        model.graph.node.insert(1, helper.make_node("Add", ["as.float", "zero"], ["moved"]))
        model.graph.node.insert(2, helper.make_node("Mul", ["moved", "scale"], ["scaled"]))
        for node in model.graph.node[3:]:
            node.input[:] = ["scaled" if name == given.name else name for name in node.input]
        given.type.tensor_type.elem_type = TensorProto.INT8

    model = opened(edited(files["float"], tmp_path / "a.onnx", edit))
    assert torch.allclose(model(images()), trained()(images()), atol=1e-3)
    assert "takes signed bytes: pixels in [0, 255] less 128" in model.notes


def test_a_file_that_takes_uint8_gets_pixels_in_bytes(files, tmp_path):
    def edit(model):
        given = model.graph.input[0]
        model.graph.node.insert(0, helper.make_node("Cast", [given.name], ["as.float"], to=TensorProto.FLOAT))
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1 / 255), "scale"))
        model.graph.node.insert(1, helper.make_node("Mul", ["as.float", "scale"], ["scaled"]))
        for node in model.graph.node[2:]:
            node.input[:] = ["scaled" if name == given.name else name for name in node.input]
        given.type.tensor_type.elem_type = TensorProto.UINT8

    model = opened(edited(files["float"], tmp_path / "a.onnx", edit))
    assert torch.allclose(model(images()), trained()(images()), atol=1e-3)


def fixed(size):
    def edit(model):
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size

    return edit


@pytest.mark.parametrize(("size", "told"), [(1, "it is run image by image"), (7, "takes 7 images at a time")])
def test_a_fixed_batch_is_kept_to(files, tmp_path, size, told):
    model = opened(edited(files["float"], tmp_path / "a.onnx", fixed(size)))
    assert told in model.notes[1]
    # The work for one image, whatever the batch.
    assert measure(model, {}, SHAPE)["macs"] == measure(trained(), {}, SHAPE)["macs"]
    assert torch.allclose(model(images()[:9]), trained()(images()[:9]), atol=1e-4)


def renamed_operator(model):
    model.graph.node[0].op_type, model.graph.node[0].domain = "MyConv", "my.company"
    model.opset_import.append(helper.make_opsetid("my.company", 1))


def another_opset(model):
    model.opset_import[0].version = 999


def not_a_number(model):
    tensor = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    tensor.CopyFrom(numpy_helper.from_array(np.full(tuple(tensor.dims), np.nan, np.float32), tensor.name))


def outside(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def outside_of_nowhere(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL


def outside_within_a_node(model):
    """Weights of which ONNX Runtime would look for the file itself."""
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "more")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["more"], value=tensor))
    added(model, helper.make_node("Add", [model.graph.output[0].name, "more"], ["sum"]))


def added(model, node):
    """A node that makes the output of the model."""
    model.graph.node.append(node)
    model.graph.output[0].name = node.output[0]


def in_double(model):
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    del model.graph.value_info[:]
    return model


def an_old_opset(model):
    model.opset_import[0].version = 5


def a_new_format(model):
    model.ir_version = 99


def map_of_classes(model):
    """As scikit-learn's models are exported: a label, and a mapping of classes to probabilities."""
    logits = model.graph.output[0].name
    made = helper.make_node("ZipMap", [logits], ["maps"], domain="ai.onnx.ml", classlabels_int64s=list(range(10)))
    model.graph.node.append(made)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    del model.graph.output[:]
    model.graph.output.append(helper.make_value_info("maps", helper.make_sequence_type_proto(kind)))


def two_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (renamed_operator, "has the operator MyConv of my.company, which is not ONNX's; no code"),
        (another_opset, "opset_version=17"),
        (not_a_number, "gives numbers that are not finite"),
        (outside, "keeps its weights in another file, '../../etc/passwd'"),
        (outside_of_nowhere, "keeps its weights in another file, ''"),
        (outside_within_a_node, "keeps its weights in another file, 'secret.bin'"),
        (an_old_opset, "its version is none that this ONNX Runtime runs"),
        (in_double, "or not in its type of numbers, such as double"),
        (a_new_format, "its version is none that this ONNX Runtime runs"),
        (map_of_classes, "export it with options={'zipmap': False}"),
        (two_inputs, "has 2 inputs (pixels, mask)"),
    ],
)
def test_what_cannot_be_read_has_one_message(files, tmp_path, edit, told):
    path = edited(files["float"], tmp_path / "a.onnx", edit)
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*{re.escape(told)}"):
        opened(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_has_one_message(files, tmp_path, share):
    data = files["float"].read_bytes()
    (tmp_path / "a.onnx").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="not a readable ONNX file"):
        opened(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("shape", "classes", "told"),
    [
        ((1, 16, 16), 10, r"takes inputs of \? x 1 x 8 x 8, an image of the data set is 1 x 16 x 16"),
        ((3, 8, 8), 10, r"an image of the data set is 3 x 8 x 8"),
        (SHAPE, 7, "7 numbers, one per class, are needed"),
    ],
)
def test_another_size_or_number_of_classes_is_told(files, shape, classes, told):
    with pytest.raises(InputError, match=told):
        open_file(files["float"], shape=shape, classes=classes)


def test_of_several_outputs_one_is_named(files, tmp_path):
    def edit(model):
        name = model.graph.output[0].name
        model.graph.node.append(helper.make_node("Neg", [name], ["worse"]))
        model.graph.output.append(helper.make_tensor_value_info("worse", TensorProto.FLOAT, ["n", 10]))

    path = edited(files["float"], tmp_path / "a.onnx", edit)
    with pytest.raises(InputError, match="several outputs may be meant"):
        opened(path)
    assert torch.allclose(opened(path, output="worse")(images()), -trained()(images()), atol=1e-4)
    with pytest.raises(InputError, match="has no output 'nothing'"):
        opened(path, output="nothing")


def test_an_input_without_a_shape_is_read_where_the_layout_is_said(files, tmp_path):
    path = edited(
        files["float"], tmp_path / "a.onnx", lambda model: model.graph.input[0].type.tensor_type.ClearField("shape")
    )
    with pytest.raises(InputError, match="may be of both layouts; write layout: nchw"):
        opened(path)
    assert torch.allclose(opened(path, layout="nchw")(images()), trained()(images()), atol=1e-4)


def test_a_file_that_draws_random_numbers_says_so(files, tmp_path):
    def edit(model):
        values = [numpy_helper.from_array(np.float32(0.5), "ratio"), numpy_helper.from_array(np.array(True), "trains")]
        model.graph.initializer.extend(values)
        added(model, helper.make_node("Dropout", [model.graph.output[0].name, "ratio", "trains"], ["dropped"]))

    told = "gives other numbers whenever it is asked"
    assert any(told in note for note in opened(edited(files["float"], tmp_path / "a.onnx", edit)).notes)
    assert not any(told in note for note in opened(files["float"]).notes)
