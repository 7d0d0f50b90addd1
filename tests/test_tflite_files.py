"""TFLite files of other programs as models; the files are TensorFlow's own (tflite/make_files.py)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_examples import digits
from store_examples import run_python

from squeezeproof.attacks.craft import craft
from squeezeproof.errors import InputError
from squeezeproof.models.foreign import open_file
from squeezeproof.models.measure import measure

FILES = Path(__file__).parent / "tflite"
# Of other networks than that of the digits, or without its weights.
OTHERS = ["attention", "variables"]
NAMES = sorted({path.stem for path in FILES.glob("*.tflite")} - set(OTHERS))
FLOATS = ("float", "softmax", "float16")
SHAPE = (1, 8, 8)
LAYERS = 9 * 8 + 9 * 8 + 9 * 8 * 16 + 64 * 10
MACS = 64 * 72 + 16 * 72 + 4 * 9 * 8 * 16 + 640


def opened(name, **options):
    return open_file(FILES / f"{name}.tflite", shape=SHAPE, classes=10, **options)


def held_out(count=50):
    """Images as bytes and their labels; the networks were trained on pixels of 17 levels."""
    images, labels = digits()
    return images[-count:], labels[-count:]


def pixels(count=50):
    """The very pixels that TensorFlow was given."""
    return (held_out(count)[0].float() * 16 / 255).round() / 16


# What a process writes while it reads and asks a file; LiteRT says once per process how it computes.
QUIET = """
import os, torch
from squeezeproof.models import tflite_files
from squeezeproof.models.foreign import open_file

with tflite_files._without_notices():
    os.write(2, b"WARNING: kept\\nINFO: not kept\\nkept, too")
model = open_file({path!r}, shape=(1, 8, 8), classes=10)
model(torch.zeros(2, 1, 8, 8))
"""


def test_nothing_of_how_it_is_computed_reaches_the_terminal():
    done = run_python(QUIET.format(path=str(FILES / "int8.tflite")))
    assert done.returncode == 0 and done.stderr == "WARNING: kept\nkept, too"


def test_there_is_a_file_of_every_kind():
    assert NAMES == ["dynamic", "float", "float16", "int16", "int8", "softmax", "softmax_int8", "uint8"]


def test_a_float_file_gives_the_logits_of_tensorflow():
    model = opened("float")
    assert np.allclose(model(pixels()), np.load(FILES / "logits.npy"), atol=1e-3)
    assert (model.network.reading["layout"], model.network.reading["outputs"]) == ("nhwc", "logits")


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_labels_like_tensorflow(name):
    found = opened(name)(pixels())
    assert torch.isfinite(found).all()
    assert (found.argmax(1).numpy() == np.load(FILES / "logits.npy").argmax(1)).mean() > 0.9


@pytest.mark.parametrize("name", ["softmax", "softmax_int8"])
def test_probabilities_become_their_logarithms(name):
    model = opened(name)
    expected = torch.from_numpy(np.load(FILES / "logits.npy")).log_softmax(1)
    likely = expected > -1
    assert "gives probabilities: their logarithms are taken" in model.notes
    assert (model(pixels()) - expected)[likely].abs().max() < (1e-3 if name == "softmax" else 0.6)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_measured_in_the_file(name):
    found = measure(opened(name), {}, SHAPE)
    assert (found["weights"], found["macs"]) == (LAYERS, MACS)
    assert (found["parameters"], found["channels"], found["convolutions"]) == (LAYERS + 42, 32, 3)
    assert found["nonzeros"] <= found["parameters"] and found["zero_weights"] < 0.2 * LAYERS
    integers = name not in FLOATS
    assert (found["quantized_weights"] > 0.5 * LAYERS) == integers
    assert (found["packed_bytes"] < 0.7 * found["bytes"]) == (integers or name == "float16")
    # The dynamic one leaves its small layers in float.
    bits = found["weight_bits"] / found["weights"]
    expected = 16 if name == "float16" else 8 if integers else 32
    assert bits == expected or (name == "dynamic" and 8 < bits < 20)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_file_takes_any_number_of_images(count):
    model = opened("int8")
    assert torch.equal(model(pixels())[:count], model(pixels()[:count]))


def test_products_of_tokens_are_counted_for_every_token(tmp_path):
    """Linear layers and products of tokens in a transformer, whatever operator a converter writes them in."""
    tokens, width, hidden = 16, 12, 24
    found = measure(opened("attention"), {}, SHAPE)
    projections, attention = 4 * width * width, 2 * tokens * tokens * width
    assert found["weights"] == 4 * width + projections + width * hidden + hidden * 10
    assert found["macs"] == tokens * (4 * width + projections + width * hidden) + attention + hidden * 10


def written(path, numbers, bits=32):
    """A file that scales an image up to 16 x 16 x 3 by a transposed convolution, multiplies its channels by numbers and
    classifies that; by flatbuffers, operator by operator.

    Args:
        numbers: its weights, [3, 3, 3, 1], values in {-1, 0, 1}.
        bits: 8 for weights in integers that are dequantized, 32 for floats.
    """
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    operators, types = schema.BuiltinOperator, schema.TensorType
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [], [graph]
    graph.tensors, graph.operators = [], []

    def tensor(shape, values=None, kind=types.FLOAT32, scale=None):
        one = schema.TensorT()
        one.name, one.shape, one.type, one.buffer = f"t{len(graph.tensors)}", list(shape), kind, 0
        if values is not None:
            one.buffer = len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        if scale:
            one.quantization = schema.QuantizationParametersT()
            one.quantization.scale, one.quantization.zeroPoint = [scale], [0]
        graph.tensors.append(one)
        return len(graph.tensors) - 1

    def layer(code, inputs, shape, options=None):
        opcode, one = schema.OperatorCodeT(), schema.OperatorT()
        opcode.builtinCode, opcode.deprecatedBuiltinCode, opcode.version = code, min(code, 127), 1
        model.operatorCodes.append(opcode)
        one.opcodeIndex, one.inputs, one.outputs = len(model.operatorCodes) - 1, inputs, [tensor(shape)]
        if options is not None:
            one.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            one.builtinOptions = options
        graph.operators.append(one)
        return one.outputs[0]

    image = tensor((1, 8, 8, 1))
    if bits == 8:
        stored = tensor(numbers.shape, numbers.astype(np.int8), types.INT8, 0.5)
        weights = layer(operators.DEQUANTIZE, [stored], numbers.shape, schema.DequantizeOptionsT())
    else:
        weights = tensor(numbers.shape, numbers.astype(np.float32))
    size = tensor((4,), np.array([1, 16, 16, 3], np.int32), types.INT32)
    strides = schema.TransposeConvOptionsT()
    strides.strideW = strides.strideH = 2
    larger = layer(operators.TRANSPOSE_CONV, [size, weights, image], (1, 16, 16, 3), strides)
    classes = np.random.default_rng(0).normal(size=(10, 768)).astype(np.float32)
    if bits == 8:
        # What a scaling left of its numbers, on a grid of their own.
        stored = tensor((3,), np.array([4, 0, -4], np.int8), types.INT8, 0.25)
        slopes = layer(operators.DEQUANTIZE, [stored], (3,), schema.DequantizeOptionsT())
    else:
        slopes = tensor((3,), np.array([1, 0, -1], np.float32))
    larger = layer(operators.MUL, [larger, slopes], (1, 16, 16, 3), schema.MulOptionsT())
    dense = tensor(classes.shape, classes)
    scores = layer(operators.FULLY_CONNECTED, [larger, dense], (1, 10), schema.FullyConnectedOptionsT())
    graph.inputs, graph.outputs = [image], [scores]
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.mark.parametrize("bits", [8, 32])
def test_the_weights_of_a_transposed_convolution_are_measured(tmp_path, bits):
    numbers = np.tile([1, 0, -1], 9).reshape(3, 3, 3, 1)
    found = measure(open_file(written(tmp_path / "a.tflite", numbers, bits), shape=SHAPE, classes=10), {}, SHAPE)
    assert (found["channels"], found["convolutions"]) == (3, 1)
    assert found["weights"] == 27 + 7680 and found["parameters"] == found["weights"] + 3
    assert found["zero_weights"] == 9 and found["nonzeros"] == found["parameters"] - 10
    # Each of the 64 pixels meets the 27 weights.
    assert found["macs"] == 64 * 27 + 7680
    assert found["quantized_weights"] == (27 if bits == 8 else 0)
    assert found["weight_bits"] == 27 * bits + 32 * 7680
    assert found["packed_bytes"] == (27 + 4 + 3 + 4 if bits == 8 else 4 * 30) + 4 * 7680


def test_a_file_whose_weights_are_variables_is_refused():
    """Nobody sets them: they are whatever lies in memory."""
    with pytest.raises(InputError, match=r"keeps its weights in variables, .* convert it by from_keras_model"):
        opened("variables")


def test_square_attacks_an_integer_file():
    images, labels = held_out(20)
    shared = {"eps": 0.3, "norm": "linf", "stop_on_success": False, "stored": "float32", "expectation": 1}
    square = {"method": "square", "restarts": 1, "queries": 60, "p_init": 0.8, "reference": True, "loss": "margin"}
    tensors, _ = craft(opened("uint8"), images, labels, {**square, **shared}, seed=0, batch_size=None)
    clean, attacked = ((tensors[key] == labels).float().mean() for key in ("clean_predictions", "predictions"))
    assert clean > 0.8 and attacked < clean - 0.3


@pytest.mark.parametrize(
    ("shape", "classes", "told"),
    [
        ((1, 16, 16), 10, r"takes inputs of \? x 8 x 8 x 1, an image of the data set is 1 x 16 x 16"),
        (SHAPE, 7, "7 numbers, one per class, are needed"),
    ],
)
def test_another_size_or_number_of_classes_is_told(shape, classes, told):
    with pytest.raises(InputError, match=told):
        open_file(FILES / "int8.tflite", shape=shape, classes=classes)


OPENED = """
import sys
from squeezeproof.errors import InputError
from squeezeproof.models.foreign import open_file
for path in sys.argv[1:]:
    try: open_file(path, shape=(1, 8, 8), classes=10)
    except InputError as error: print(error, flush=True)
"""


def test_a_truncated_file_has_one_message(tmp_path):
    """In a process of their own: what reads the format in C might end it."""
    data, paths = (FILES / "float.tflite").read_bytes(), []
    for share in (0.0, 0.02, 0.3, 0.6, 0.9):
        paths.append(tmp_path / f"{share}.tflite")
        paths[-1].write_bytes(data[: int(share * len(data))])
    folder = Path(__file__).parents[1] / "workflow_scripts"
    done = subprocess.run([sys.executable, "-c", OPENED, *paths], capture_output=True, text=True, cwd=folder)
    messages = done.stdout.splitlines()
    assert done.returncode == 0 and len(messages) == len(paths), done
    for message, path in zip(messages, paths, strict=True):
        assert message.startswith(str(path)), message


def test_an_operator_of_elsewhere_is_refused(tmp_path):
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    model = schema.ModelT.InitFromPackedBuf((FILES / "float.tflite").read_bytes(), 0)
    code = model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, schema.BuiltinOperator.CUSTOM
    code.customCode = "MyOp"
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "a.tflite").write_bytes(bytes(builder.Output()))
    with pytest.raises(InputError, match="has the operator MyOp, which is not LiteRT's own; no code from elsewhere"):
        open_file(tmp_path / "a.tflite", shape=SHAPE, classes=10)
