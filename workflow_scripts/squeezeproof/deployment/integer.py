"""The deployed int8 model of a fake-quantized model: ONNX Runtime's integer kernels on the same grids.

QuantizeLinear and DequantizeLinear carry the fake-quantized model's scales and zero points.
onnxruntime.quantization.quantize_static would calibrate anew, with another grid for weights (a step of max / 127
instead of 2 max / 255), and so would be a model that nobody attacked. Three things differ from the fake-quantized model
and are measured: biases are rounded to int32; where a convolution's result does not go straight into the next layer's
rounding (sums, concatenations, pools), an integer kernel needs it in 8 bits too, and its range is found on training
images; and roundings at ties.
"""

import io
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from squeezeproof.atomic import replacing
from squeezeproof.compression.calibration import draw
from squeezeproof.deployment.export import compare, onnx_bytes
from squeezeproof.deployment.plain import logits_of_session, plain, told_of_runtime
from squeezeproof.errors import NotSupported, OfModel
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.models.quantized import SMALLEST_SCALE, Quantizer, quantized_layers
from squeezeproof.store.datasets import to_pixels
from squeezeproof.types import Images

BITS = 8
TOP = 2**BITS - 1
# Rounding before or after them gives the same; of Clip because ranges were found behind it.
COMMUTING = ("Relu", "Clip", "MaxPool", "Flatten", "Reshape", "Identity")
LAYERS = ("Conv", "Gemm", "MatMul")
INTEGER_KERNELS = ("QLinearConv", "QGemm", "MatMulIntegerToFloat", "QLinearMatMul")
# int32 biases keep a factor of two free for the sums they are added to.
LARGEST_BIAS = 2**30
CALIBRATION_BATCH = 128


def has_integer_kernels(layers: Mapping[str, dict[str, Any]]) -> bool:
    """Whether every quantized layer (of `quantized_layers`) has weights and inputs of 8 bits."""
    grids = [grid for layer in layers.values() for grid in (layer["weight"], layer["input"])]
    return bool(grids) and all(grid and grid["bits"] == BITS for grid in grids)


def export_integer(
    path: str | Path, model: nn.Module, images: Images, labels: torch.Tensor, train: torch.Tensor, count: int, seed: int
) -> dict[str, Any]:
    """Write the int8 model of a fake-quantized model; returns how the two compare on the test images.

    Args:
        model: the fake-quantized model, all its weights and inputs of 8 bits.
        images, labels: the test split, uint8 [N, C, H, W] and int64 [N].
        train: uint8 training images, of which `count` (or all, where there are fewer) are drawn by `seed`, the same
            that `compression.quantization.quantize` draws, for the ranges that the fake-quantized model does not have.

    Returns the metadata of `deployment.export.compare` and `accuracy` of the int8 model, `layers`, `integer_layers`:
    how many of them ONNX Runtime computes in integers here, and `added_ranges`. Raises InputError where the
    fake-quantized model has other widths than 8 bits, or its graph cannot be built.
    """
    chosen, _ = draw(train, count, seed)
    graph, layers, added = integer_graph(model, images.shape[1:], chosen)
    with replacing(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())
        with told_of_runtime(len(images)):
            session = open_session(temporary)
        found = _finite_logits(session, images)
        return {
            **compare(model, images, found),
            "accuracy": float((found.argmax(1) == labels.numpy()).mean()),
            "layers": layers,
            "integer_layers": integer_layers(temporary),
            "added_ranges": added,
        }


def predict_integer(session: Any, images: Images) -> torch.Tensor:
    """Labels int64 [N] that an int8 model (of `models.onnx_sessions.open_session`) gives to uint8 or float images.

    Raises InputError where a logit is not finite.
    """
    return torch.from_numpy(_finite_logits(session, images).argmax(1))


def _finite_logits(session: Any, images: Images) -> np.ndarray:
    logits = logits_of_session(session, images)
    if not np.isfinite(logits).all():
        raise OfModel("the int8 model's logits are not finite: the fake-quantized model's scales or weights are broken")
    return logits


def integer_graph(
    model: nn.Module, shape: Sequence[int], calibration: torch.Tensor
) -> tuple[onnx.ModelProto, int, int]:
    """(ONNX model with integer weights, number of layers, number of added ranges) of a fake-quantized model."""
    if not has_integer_kernels(quantized_layers(model)):
        raise NotSupported("int8 needs a quantization of 8 bits, weights and inputs; other widths are only simulated")
    graph = onnx.load_model_from_string(onnx_bytes(plain(model, QuantizeDequantize), shape))
    calls = _calls(model, shape)
    _integer_weights(graph, calls)
    return graph, len(calls), _integer_outputs(graph, calibration)


def integer_layers(path: str | Path) -> int:
    """How many nodes of an ONNX file run as integer kernels in ONNX Runtime on this machine."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()  # ty: ignore[possibly-missing-attribute]
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        optimized = onnx.load_model(io.BytesIO((Path(folder) / "optimized.onnx").read_bytes()))
    kinds = Counter(node.op_type for node in optimized.graph.node)
    return sum(kinds[kernel] for kernel in INTEGER_KERNELS)


class QuantizeDequantize(nn.Module):
    """An 8-bit Quantizer of inputs, exported as QuantizeLinear and DequantizeLinear."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.scale = max(quantizer.scale.item(), SMALLEST_SCALE)
        self.zero_point = int(quantizer.zero_point)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, 0, TOP)


def _calls(model: nn.Module, shape: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(layer's weight scales, largest rounded weights), both [channels], of every pass through a quantized layer."""
    copied, calls, hooks = plain(model), [], []
    for name in quantized_layers(model):
        quantizer: Any = model.get_submodule(f"{name}.weight_quantizer")
        scale = quantizer.scale.detach().cpu().clamp_min(SMALLEST_SCALE)
        layer = copied.get_submodule(name)
        peak = copied.get_parameter(f"{name}.weight").flatten(1).abs().amax(1)
        call = (scale.numpy().astype(np.float64), peak.numpy().astype(np.float64))
        hooks.append(layer.register_forward_hook(lambda *_, call=call: calls.append(call)))
    with torch.no_grad():
        copied(torch.zeros(2, *shape))
    return calls


def _integer_weights(model: onnx.ModelProto, calls: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Turn the weights of every quantized layer into int8 and the biases into int32, in place.

    A folded batch normalisation multiplies every channel by a factor, which the largest weight of the channel tells.
    """
    graph, values = model.graph, _constants(model.graph)
    makers = {output: node for node in graph.node for output in node.output}
    nodes = [
        node for node in graph.node
        if node.op_type in LAYERS and getattr(makers.get(node.input[0]), "op_type", "") == "DequantizeLinear"
    ]  # fmt: skip
    if len(nodes) != len(calls) or any(node.input[1] not in values for node in nodes):
        raise NotSupported(
            f"int8: the exported network has {len(nodes)} layers with rounded inputs, the model {len(calls)}; its "
            f"layers cannot be told apart, leave int8 out of efficiency.formats"
        )
    for index, (node, (scale, peak)) in enumerate(zip(nodes, calls, strict=True)):
        axis = 1 if node.op_type == "MatMul" else 0
        weight = values[node.input[1]].astype(np.float64)
        others = tuple(place for place in range(weight.ndim) if place != axis)
        if weight.shape[axis] != len(scale):
            raise NotSupported(f"int8: {node.name} has {weight.shape[axis]} channels, the model's layer {len(scale)}")
        factor = np.divide(np.abs(weight).max(others), peak, out=np.ones_like(peak), where=peak > 0)
        step = np.where(factor > 0, scale * factor, scale)
        input_step = float(values[makers[node.input[0]].input[1]])
        bias = values[node.input[2]].astype(np.float64) if len(node.input) > 2 else None
        if bias is not None:
            step = np.maximum(step, np.abs(bias) / (input_step * LARGEST_BIAS))
            levels = np.round(bias / (input_step * step)).astype(np.int32)
            node.input[2] = _dequantized(graph, f"integer_bias.{index}", levels, input_step * step, 0)
        along = step.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
        levels = np.clip(np.round(weight / along), -128, 127).astype(np.int8)
        node.input[1] = _dequantized(graph, f"integer_weight.{index}", levels, step, axis)
    _tidy(graph)


def _constants(graph: Any) -> dict[str, np.ndarray]:
    """Name -> array of everything in a graph that depends on no input."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        # The exporter stores equal tensors once.
        if node.op_type == "Identity" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
    return values


def _dequantized(graph: Any, name: str, levels: np.ndarray, step: np.ndarray, axis: int) -> str:
    """Add integers and the node that dequantizes them per channel; the name of its output."""
    arrays = {
        name: levels,
        f"{name}.scale": step.astype(np.float32),
        f"{name}.zero_point": np.zeros(len(step), levels.dtype),
    }
    graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in arrays.items())
    node = onnx.helper.make_node("DequantizeLinear", list(arrays), [f"{name}.float"], name=f"{name}.dequantize")
    node.attribute.append(onnx.helper.make_attribute("axis", axis))
    graph.node.insert(0, node)
    return node.output[0]


def _integer_outputs(model: onnx.ModelProto, calibration: torch.Tensor) -> int:
    """Round, in place, the results of convolutions that do not go straight into a rounding.

    A ReLU that follows alone is part of the convolution's kernel, and the rounding comes after it. A rounding further
    on is made here already where only what commutes with it lies between; returns how many others needed a range of
    their own.
    """
    graph, grids, unknown = model.graph, {}, []
    values = _constants(graph)
    for node in graph.node:
        if node.op_type == "Conv" and "integer_weight" in node.input[1]:
            name, users = _through(graph, node.output[0], ["Relu"], once=True)
            if [user.op_type for user in users] == ["QuantizeLinear"]:
                continue
            _, later = _through(graph, name, COMMUTING)
            quantized = bool(later) and all(user.op_type == "QuantizeLinear" for user in later)
            found = {tuple(float(values[key]) for key in user.input[1:]) for user in later} if quantized else ()
            if len(found) == 1:
                grids[name] = found.pop()
            else:
                unknown.append(name)
    for name, (low, high) in _ranges(model, unknown, calibration).items():
        step = max((high - low) / TOP, SMALLEST_SCALE)
        grids[name] = step, np.clip(np.round(-low / step), 0, TOP)
    for name, grid in grids.items():
        _insert_rounding(graph, name, *grid)
    return len(unknown)


def _through(graph: Any, name: str, kinds: Collection[str], once: bool = False) -> tuple[str, list[Any]]:
    """The tensor at the end of a chain of such nodes, each the only user of the one before, and its users."""
    users = _users(graph, name)
    while len(users) == 1 and users[0].op_type in kinds:
        name = users[0].output[0]
        users = _users(graph, name)
        if once:
            break
    return name, users


def _users(graph: Any, name: str) -> list[Any]:
    return [node for node in graph.node if name in node.input]


def _ranges(model: onnx.ModelProto, names: Sequence[str], calibration: torch.Tensor) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of named tensors over images, zero included."""
    if not names:
        return {}
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    del seen.graph.output[:]
    seen.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    ranges = dict.fromkeys(names, (0.0, 0.0))
    with told_of_runtime(CALIBRATION_BATCH):
        session = open_session(seen.SerializeToString())
        for batch in calibration.split(CALIBRATION_BATCH):
            found = session.run(names, {session.get_inputs()[0].name: to_pixels(batch, "cpu").numpy()})
            for name, values in zip(names, found, strict=True):
                ranges[name] = (min(ranges[name][0], values.min()), max(ranges[name][1], values.max()))
    return ranges


def _insert_rounding(graph: Any, name: str, step: float, zero_point: float) -> None:
    grid = [f"{name}.scale", f"{name}.zero_point"]
    for key, value in zip(grid, (np.float32(step), np.uint8(zero_point)), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), key))
    users = _users(graph, name)
    levels, rounded = f"{name}.levels", f"{name}.rounded"
    for user in users:
        user.input[:] = [rounded if taken == name else taken for taken in user.input]
    maker = next(index for index, node in enumerate(graph.node) if name in node.output)
    quantize = onnx.helper.make_node("QuantizeLinear", [name, *grid], [levels], name=levels)
    dequantize = onnx.helper.make_node("DequantizeLinear", [levels, *grid], [rounded], name=rounded)
    graph.node.insert(maker + 1, dequantize)
    graph.node.insert(maker + 1, quantize)
    for output in graph.output:
        if output.name == name:
            dequantize.output[0] = name


def _tidy(graph: Any) -> None:
    """Drop initializers that no node takes any more."""
    taken = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in taken]
    del graph.initializer[:]
    graph.initializer.extend(kept)
