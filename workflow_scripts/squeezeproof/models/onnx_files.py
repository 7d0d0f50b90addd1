"""ONNX files of other programs, run by ONNX Runtime on the CPU."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from squeezeproof.errors import InputError, pass_on
from squeezeproof.mistaken import mistaken
from squeezeproof.models.onnx_sessions import open_session

# What passes values on, or only scales them.
FORWARDING = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "QuantizeLinear", "DequantizeLinear")
# Operator -> the places of its weight and of its bias among its inputs.
LAYERS = {
    **{"Conv": (1, 2), "ConvTranspose": (1, 2), "ConvInteger": (1, None), "QLinearConv": (3, 8)},
    **{"Gemm": (1, 2), "MatMul": (1, None), "MatMulInteger": (1, None), "QLinearMatMul": (3, None)},
    **{"QGemm": (3, 6), "DynamicQuantizeMatMul": (1, 4), "MatMulIntegerToFloat": (1, 6)},
}
# Operator -> the place of its weight's zero point.
ZERO_POINTS = {
    **{"ConvInteger": 3, "QLinearConv": 5, "MatMulInteger": 3, "QLinearMatMul": 5, "QGemm": 5},
    **{"DynamicQuantizeMatMul": 3, "MatMulIntegerToFloat": 5},
}
UNPACKED = {"int4": 4, "uint4": 4}
# Begins the names of operators that round by the range of all that they are given.
DYNAMIC = "DynamicQuantize"


class OnnxFile:
    """An opened file.

    Attributes:
        shape: of its input, None for what any number may be.
        dtype: numpy's name of the input's type.
        outputs: name -> shape.
        ends_in: the operator that makes an output, by name.
    """

    runtime = "ONNX Runtime"
    dependency = None

    def __init__(self, data: bytes, path: str | Path = "the file", threads: int = 1) -> None:
        self.model = _parsed(data, path)
        try:
            self.session = open_session(data, threads)
        except Exception as error:
            pass_on(error)
            raise InputError(f"{path}: {_refusal(str(error))}") from None
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(given.name for given in inputs)
            raise InputError(f"{path}: has {len(inputs)} inputs ({names}), a classifier of images has one")
        # Of a shape that the file leaves out nothing is known.
        self.name, self.shape = inputs[0].name, _dimensions(inputs[0].shape) or [None] * 4
        self.dtype = {"float": "float32", "double": "float64"}.get(kind := _kind(inputs[0].type), kind)
        self.alone = any(node.op_type.startswith(DYNAMIC) for node in self.model.graph.node)
        if self.alone:
            self._check_alone(path)
            self.runtime = f"{self.runtime}, image by image, as it rounds by the range of all that it is given,"
        self.outputs = {
            given.name: _dimensions(given.shape) if given.type.startswith("tensor") else given.type
            for given in self.session.get_outputs()
        }

    def _check_alone(self, path: str | Path) -> None:
        batch = self.shape[0]
        if batch is not None and batch > 1:
            raise InputError(
                f"{path}: rounds by the range of a batch of {batch}, so that what it says of an image depends on the "
                f"others; export it with a batch of any size, or quantize it statically"
            )

    def ends_in(self, output: str) -> str:
        """The operator that makes an output, before what only passes its values on."""
        makers = {name: node for node in self.model.graph.node for name in node.output}
        while (node := makers.get(output)) is not None and node.op_type in FORWARDING:
            output = node.input[0]
        return node.op_type if node is not None else ""

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Inputs, float32, in the type that the file takes."""
        if self.dtype.startswith(("int", "uint")):
            limits = np.iinfo(self.dtype)
            return np.clip(np.rint(values), limits.min, limits.max).astype(self.dtype)
        return values.astype(self.dtype, copy=False)

    def run(self, values: np.ndarray, output: str) -> np.ndarray:
        """One output, float32, of inputs of the file's own layout, float32.

        A file that rounds by the range of a batch gets one image at a time: its labels are those of the image alone.
        """
        if self.alone and len(values) > 1:
            return np.concatenate([self.run(values[row : row + 1], output) for row in range(len(values))])
        return self.session.run([output], {self.name: self.encode(values)})[0].astype(np.float32, copy=False)

    def step(self, output: str) -> float:
        """The distance of two neighbouring values of an output that is made of integers, 0 for another."""
        makers = {name: node for node in self.model.graph.node for name in node.output}
        node = makers.get(output)
        if node is None or node.op_type != "DequantizeLinear":
            return 0.0
        scale = _constants(self.model.graph).get(node.input[1])
        return float(scale.max()) if scale is not None else 0.0

    def size(self, image: np.ndarray) -> dict[str, int]:
        """What `models.measure.measure` tells, of an input of one image in the file's own layout."""
        values = _constants(self.model.graph)
        layers = [node for node in self.model.graph.node if node.op_type in LAYERS]
        shapes = self._shapes(layers, image)
        parameters = _parameters(self.model.graph, values)
        counts = "channels", "convolutions", "weights", "zero_weights", "quantized_weights", "weight_bits", "macs"
        found = dict.fromkeys(counts, 0)
        counted = set()
        for node in layers:
            place, _ = LAYERS[node.op_type]
            key = _origin(self.model.graph, node.input[place])
            out, convolution = shapes[node.output[0]], "Conv" in node.op_type
            if key not in values:
                # Both factors depend on the image.
                found["macs"] += int(np.prod(out)) * shapes[node.input[0]][-1]
                continue
            weight = values[key]
            channels = out[1] if convolution else out[-1]
            found["macs"] += weight.size * int(np.prod(out)) // channels
            if key not in counted:
                counted.add(key)
                found["channels"] += channels * convolution
                found["convolutions"] += int(convolution)
                found["weights"] += weight.size
                found["zero_weights"] += self._zeros(node, key, values)
                found["quantized_weights"] += weight.size * (bits_of(weight.dtype) <= 8)
                found["weight_bits"] += weight.size * bits_of(weight.dtype)
        count = sum(array.size for array in parameters.values())
        zeros = sum(int((array == 0).sum()) for name, array in parameters.items() if name not in counted)
        scales = [name for name in values if name not in parameters and values[name].dtype == np.float32]
        packed = sum((array.size * bits_of(array.dtype) + 7) // 8 for array in parameters.values())
        return {
            "parameters": count,
            "nonzeros": count - zeros - found["zero_weights"],
            **found,
            # A file of a fixed batch takes no single image.
            "macs": found["macs"] // len(image),
            "bytes": 4 * count,
            "packed_bytes": packed + sum(4 * values[name].size for name in scales),
        }

    def _shapes(self, layers: Iterable[onnx.NodeProto], image: np.ndarray) -> dict[str, tuple[int, ...]]:
        """Name -> shape of the first inputs and the outputs of nodes for one image."""
        seen = onnx.ModelProto()
        seen.CopyFrom(self.model)
        made = {name for node in seen.graph.node for name in node.output}
        names = list(dict.fromkeys(name for node in layers for name in (node.input[0], node.output[0])))
        wanted = [name for name in names if name in made]
        del seen.graph.output[:]
        seen.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
        session = open_session(seen.SerializeToString())
        found = session.run(wanted, {self.name: self.encode(image)})
        return {self.name: image.shape} | {name: array.shape for name, array in zip(wanted, found, strict=True)}

    def _zeros(self, node: onnx.NodeProto, key: str, values: Mapping[str, np.ndarray]) -> int:
        """How many weights of a layer stand for zero."""
        weight, point = values[key], 0
        maker = next((made for made in self.model.graph.node if key in made.input[:1]), None)
        if node.op_type in ZERO_POINTS and len(node.input) > ZERO_POINTS[node.op_type]:
            point = values.get(node.input[ZERO_POINTS[node.op_type]], 0)
        elif maker is not None and maker.op_type == "DequantizeLinear" and len(maker.input) > 2:
            point = values.get(maker.input[2], 0)
        point = np.asarray(point)
        if point.ndim == 1 and point.size > 1:
            axis = next(axis for axis, count in enumerate(weight.shape) if count == point.size)
            point = point.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
        return int((weight == point).sum())


def bits_of(dtype: np.dtype) -> int:
    """Bits that one value of a numpy type takes in a file."""
    return UNPACKED.get(str(dtype), 8 * np.dtype(dtype).itemsize)


def _parsed(data: bytes, path: str | Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        pass_on(error)
        words = mistaken(data, ".onnx") or "not a readable ONNX file, truncated or altered; export it again"
        raise InputError(f"{path}: {words}") from None
    if not model.graph.node:
        words = mistaken(data, ".onnx") or "not a readable ONNX file: it has no operators; export it again"
        raise InputError(f"{path}: {words}")
    tensors = (tensor for part in (model.graph, *model.functions) for tensor in _tensors(part))
    outside = [tensor for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        place = next((entry.value for entry in outside[0].external_data if entry.key == "location"), "")
        raise InputError(
            f"{path}: keeps its weights in another file, {place!r:.100}; make one file of them: "
            f"python -c \"import onnx; onnx.save(onnx.load('{path}'), 'one.onnx')\""
        )
    return model


def _tensors(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a graph or a function holds, in its nodes and in the graphs within them, too."""
    if isinstance(graph, onnx.GraphProto):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _refusal(text: str) -> str:
    """What ONNX Runtime says when it does not open a file, in words."""
    # The signatures of its C++ functions say nothing to a person.
    text = re.sub(r"/onnxruntime_src/\S+ .*?\) (?=[A-Z])", "", text)
    if unknown := re.search(r"([\w.]+):(\w+)\(-?\d+\) is not a registered function/op", text):
        return (
            f"has the operator {unknown[2]} of {unknown[1]}, which is not ONNX's; no code from elsewhere is loaded: "
            f"export it in standard operators"
        )
    if re.search("opset|Could not find an implementation|Failed to find kernel|IR version", text, re.IGNORECASE):
        return (
            f"its version is none that this ONNX Runtime runs, or not in its type of numbers, such as double "
            f"({text.strip():.300}); export it in float32 with opset_version=17"
        )
    return f"ONNX Runtime does not open it ({text.strip():.300}); it is altered, or needs another version"


def _dimensions(shape: Iterable[int | str | None]) -> list[int | None]:
    return [size if isinstance(size, int) and size > 0 else None for size in shape]


def _kind(text: str) -> str:
    """`float16` of `tensor(float16)`."""
    return text.removeprefix("tensor(").removesuffix(")")


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Name -> array of the initializers and constants of a graph."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return values


def _origin(graph: onnx.GraphProto, name: str) -> str:
    """The tensor that a weight is made of: before it is dequantized, cast or turned."""
    makers = {output: node for node in graph.node for output in node.output}
    while (node := makers.get(name)) is not None and node.op_type in (*FORWARDING, "Transpose"):
        name = node.input[0]
    return name


def _parameters(graph: onnx.GraphProto, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name -> array of what was learned: neither scales and zero points, nor shapes and single numbers."""
    grids = set()
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            grids.update(node.input[1:])
        elif node.op_type in LAYERS and node.op_type in ZERO_POINTS:
            grids.update(
                set(node.input)
                - {node.input[place] for place in LAYERS[node.op_type] if place is not None and place < len(node.input)}
            )
    kinds = ("float", "int8", "uint8", "int32", "int4", "uint4", "bfloat")
    return {
        name: array
        for name, array in values.items()
        if name not in grids and array.ndim and str(array.dtype).startswith(kinds)
    }
