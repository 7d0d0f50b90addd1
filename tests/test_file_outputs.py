"""What the outputs of a file are taken for: logits, and what is none of them is turned into some, or refused."""

import math

import numpy as np
import onnx
import pytest
import torch
from external_examples import DATASET, SPEC, held_out, trained
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from squeezeproof.compression.compared import compare
from squeezeproof.compression.external import read_external
from squeezeproof.deployment.export import onnx_bytes
from squeezeproof.entries.compressions.external import External
from squeezeproof.errors import InputError
from squeezeproof.models.foreign import open_file
from squeezeproof.models.outputs import meaning_of

SHAPE = (1, 8, 8)


class Ending(nn.Module):
    """The trained network, and what another program makes of its logits."""

    def __init__(self, ending):
        super().__init__()
        self.network, self.ending = trained(), ending

    def forward(self, pixels):
        return self.ending(self.network(pixels))


def written(folder, ending):
    path = folder / "a.onnx"
    path.write_bytes(onnx_bytes(Ending(ending).eval(), SHAPE))
    return path


def opened(path, **options):
    return open_file(path, shape=SHAPE, classes=10, **options)


def images():
    return held_out()[0].float() / 255


def expected():
    return trained()(images()).log_softmax(1)


ENDINGS = {
    "per cent": (lambda logits: 100 * logits.softmax(1), "probabilities by their values of sum 100"),
    "of 255": (lambda logits: 255 * logits.softmax(1), "of sum 255"),
    "rounded per cent": (lambda logits: (logits.softmax(1) * 1e4).round() / 100, "of sum 100"),
    "base 10": (lambda logits: logits.log_softmax(1) / math.log(10), "gives log-probabilities to base 10"),
    "base 2": (lambda logits: logits.log_softmax(1) / math.log(2), "gives log-probabilities to base 2"),
    "losses": (lambda logits: -logits.log_softmax(1), "gives negative log-probabilities: they are turned"),
    "bits": (lambda logits: -logits.log_softmax(1) / math.log(2), "gives negative log-probabilities to base 2"),
    "log-softmax": (lambda logits: logits.log_softmax(1), None),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_what_is_no_logits_is_recognised_by_its_values(tmp_path, name):
    ending, told = ENDINGS[name]
    model = opened(written(tmp_path, ending))
    likely = expected() > -5
    found = model(images()).log_softmax(1)
    assert (found - expected())[likely].abs().max() < (0.6 if name.startswith("rounded") else 1e-2)
    assert (told is None and len(model.notes) == 1) or any(told in note for note in model.notes)


def test_labels_alone_are_told(tmp_path):
    model = opened(written(tmp_path, lambda logits: (logits >= logits.amax(1, keepdim=True)).float()))
    assert torch.equal(model(images()).argmax(1), expected().argmax(1))
    assert any("attacks that ask for scores (square) have nothing to climb; rays asks" in note for note in model.notes)


def test_energies_are_negated_where_they_are_declared(tmp_path):
    path = written(tmp_path, lambda logits: 5 - logits)
    assert torch.allclose(opened(path, outputs="energies")(images()), trained()(images()) - 5, atol=1e-3)


def test_energies_that_nobody_declared_are_found_by_the_comparison_with_the_base(tmp_path):
    path = written(tmp_path, lambda logits: 5 - logits)
    settings = External.defaults() | {"file": str(path)}
    with pytest.raises(InputError, match="Most likely the right one: outputs: energies"):
        compare(path, read_external(path, settings, SPEC, DATASET)[0], trained(), *held_out(), DATASET)
    model = read_external(path, settings | {"outputs": "energies"}, SPEC, DATASET)[0]
    assert compare(path, model, trained(), *held_out(), DATASET)[0]["agreement"] == 1


@pytest.mark.parametrize(
    ("ending", "declared", "told"),
    [
        ("per cent", "logits", "gives probabilities .not negative, of sum 100.; write outputs: probabilities"),
        ("losses", "logits", "the smallest is the class; write outputs: energies"),
        ("log-softmax", "energies", "the largest is the class; write outputs: logits"),
        ("base 2", "probabilities", "no probabilities"),
    ],
)
def test_what_is_declared_wrongly_is_refused(tmp_path, ending, declared, told):
    with pytest.raises(InputError, match=told):
        opened(written(tmp_path, ENDINGS[ending][0]), outputs=declared)


@pytest.mark.parametrize("made", ["topk", "sort"])
def test_outputs_in_the_order_of_their_size_are_refused(tmp_path, made):
    """The first of the ten best is at the first place on every image."""
    ending = (lambda logits: logits.topk(10, 1)[0]) if made == "topk" else (lambda logits: logits.topk(10, 1)[0] + 1.0)
    with pytest.raises(InputError, match="in the order of their size, or are the classes in this order"):
        opened(written(tmp_path, ending))


def test_the_best_classes_are_no_numbers_of_classes(tmp_path):
    with pytest.raises(InputError, match="as its only output, before TopK or sort"):
        opened(written(tmp_path, lambda logits: logits.topk(10, 1)[1].float() * 1.0))


def with_argmax(path):
    """The file with the class of each image in the place of its numbers."""
    model = onnx.load(path)
    name = model.graph.output[0].name
    model.graph.node.append(helper.make_node("ArgMax", [name], ["class"], axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("class", TensorProto.INT64, ["n"]))
    path.write_bytes(model.SerializeToString())
    return path


def test_a_class_alone_and_one_score_of_two_classes_are_told_how_to_be_exported(tmp_path):
    path = with_argmax(written(tmp_path, lambda logits: logits))
    told = r"; export the network again with the scores \(logits\) as its only output, before any argmax"
    with pytest.raises(InputError, match=f"{told}$"):
        opened(path)
    score = written(tmp_path, lambda logits: logits[:, :1])
    with pytest.raises(InputError, match=rf"{told}; where that is one score z for two classes, export \[-z, z\]"):
        open_file(score, shape=SHAPE, classes=2)


def many(rows, classes=10):
    return np.random.default_rng(0).normal(size=(rows, classes))


def test_logits_that_happen_to_be_positive_are_logits():
    found = np.maximum(many(8), 0)
    for values in (found, many(8), abs(many(8)), np.full((8, 10), 0.3), np.zeros((8, 10))):
        meaning = meaning_of(values.astype(np.float32), "gemm", None, 0.0)
        assert (meaning.kind, meaning.factor, meaning.note) == ("logits", 1.0, None)


def test_probabilities_of_many_classes_in_few_levels_are_probabilities():
    """Of 1,000 classes in steps of 1/256 an even distribution rounds to zeros."""
    for values in (np.zeros((8, 1000)), np.where(np.arange(1000) == 3, 0.7, 0) * np.ones((8, 1))):
        assert meaning_of(values.astype(np.float32), "softmax", None, 1 / 256).kind == "probabilities"


def test_the_levels_of_an_output_are_those_of_its_integers(tmp_path):
    """A probability below half a level is stored as 0, whose logarithm is that of half a level."""
    path = written(tmp_path, lambda logits: logits.softmax(1))
    model = onnx.load(path)
    name = model.graph.output[0].name
    for constant, value in (("scale", np.float32(1 / 16)), ("zero", np.uint8(0))):
        model.graph.initializer.append(numpy_helper.from_array(value, constant))
    model.graph.node.append(helper.make_node("QuantizeLinear", [name, "scale", "zero"], ["levels"]))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["levels", "scale", "zero"], ["rounded"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("rounded", TensorProto.FLOAT, ["n", 10]))
    path.write_bytes(model.SerializeToString())
    assert opened(path)(images()).min().item() == pytest.approx(math.log(1 / 32))
