"""TFLite files of other programs, run by LiteRT on the CPU."""

import os
import re
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from squeezeproof.errors import InputError, pass_on
from squeezeproof.mistaken import mistaken

# What passes values on, or only scales them.
FORWARDING = ("DEQUANTIZE", "QUANTIZE", "RESHAPE", "CAST", "SQUEEZE")
# Operators that multiply their input by a weight, their second input -> the places of their input and of a bias.
FORWARD, BACKWARD = (0, 2), (2, 3)
CONVOLUTIONS = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D"), FORWARD),
    # Their first input is the shape of what they give.
    **dict.fromkeys(("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"), BACKWARD),
}
PRODUCT = "BATCH_MATMUL"
LAYERS = {**CONVOLUTIONS, "FULLY_CONNECTED": FORWARD, PRODUCT: FORWARD}
# What asks for values that a file sets in another graph, which only its own program runs.
VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
# TFLite's numbers of types -> (numpy's name, bits of a value); those of other types are no weights.
TYPES = {
    **{0: ("float32", 32), 1: ("float16", 16), 2: ("int32", 32), 3: ("uint8", 8), 4: ("int64", 64)},
    **{9: ("int8", 8), 17: ("int4", 4)},
}
FLOATS = (0, 1)


class TfliteFile:
    """An opened file; attributes as of `onnx_files.OnnxFile`."""

    runtime = "LiteRT"

    def __init__(self, data: bytes, path: str | Path = "the file", threads: int = 1) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise InputError(f"{path}: LiteRT runs it, which is not installed; pip install ai-edge-litert") from None
        self.graph = _Graph(data, path)
        try:
            with _without_notices():
                self.interpreter = Interpreter(model_content=data, num_threads=threads)
                self.interpreter.allocate_tensors()
        except Exception as error:
            pass_on(error)
            raise InputError(f"{path}: {_refusal(str(error))}") from None
        inputs = self.interpreter.get_input_details()
        if len(inputs) != 1:
            names = ", ".join(given["name"] for given in inputs)
            raise InputError(f"{path}: has {len(inputs)} inputs ({names}), a classifier of images has one")
        self.input, self.given = inputs[0], {each["name"]: each for each in self.interpreter.get_output_details()}
        self.shape, self.dtype = _dimensions(self.input), np.dtype(self.input["dtype"]).name
        # Inputs on a grid of their own are made from floats here; integers without one are levels of grey.
        if self.input["quantization"][0]:
            self.dtype = f"float32 as {self.dtype}"
        self.outputs = {name: _dimensions(each) for name, each in self.given.items()}
        self.count = self.input["shape"][0]

    def ends_in(self, output: str) -> str:
        """The operator that makes an output, before what only passes its values on."""
        return self.graph.maker(self.given[output]["index"])

    def step(self, output: str) -> float:
        """The distance of two neighbouring values of an output that is stored in integers, 0 for another."""
        return float(self.given[output]["quantization"][0])

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Inputs, float32, in the type that the file takes."""
        scale, zero = self.input["quantization"]
        kind: np.dtype[Any] = np.dtype(self.input["dtype"])
        if kind.kind not in "iu":
            return values.astype(kind, copy=False)
        limits = np.iinfo(kind)
        return np.clip(np.rint(values / scale if scale else values) + zero, limits.min, limits.max).astype(kind)

    def run(self, values: np.ndarray, output: str) -> np.ndarray:
        """One output, float32, of inputs of the file's own layout, float32."""
        self._ask(values)
        scale, zero = self.given[output]["quantization"]
        found = self.interpreter.get_tensor(self.given[output]["index"])
        return (found.astype(np.float32) - zero) * np.float32(scale) if scale else found.astype(np.float32)

    def _ask(self, values: np.ndarray) -> None:
        self._resize(len(values))
        self.interpreter.set_tensor(self.input["index"], self.encode(values))
        self.interpreter.invoke()

    def _resize(self, count: int) -> None:
        if count != self.count:
            self.interpreter.resize_tensor_input(self.input["index"], [count, *self.input["shape"][1:]])
            self.interpreter.allocate_tensors()
            self.count = count

    def size(self, image: np.ndarray) -> dict[str, int]:
        """What `models.measure.measure` tells, of an input of one image in the file's own layout."""
        # Shapes that are computed on the way are those of the last images.
        self._ask(image)
        shapes = {each["index"]: each["shape"] for each in self.interpreter.get_tensor_details()}
        return self.graph.size(shapes, len(image))


class _Graph:
    """The operators and constants that a file's first graph has, read from its bytes."""

    def __init__(self, data: bytes, path: str | Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        try:
            model = schema.ModelT.InitFromPackedBuf(data, 0)
            names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
            codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
            graph = model.subgraphs[0]
            self.tensors = graph.tensors
            self.nodes = [(names[codes[node.opcodeIndex]], node.inputs, node.outputs) for node in graph.operators]
            self.buffers = [model.buffers[tensor.buffer].data for tensor in graph.tensors]
        except Exception as error:
            pass_on(error)
            # The reader of the format trusts every offset in a file.
            words = mistaken(data, ".tflite") or "not a readable TFLite file, truncated or altered; convert it again"
            raise InputError(f"{path}: {words}") from None
        if data[4:8] != b"TFL3" or not self.nodes:
            words = mistaken(data, ".tflite") or "not a readable TFLite file; convert it again"
            raise InputError(f"{path}: {words}")
        if any(kind in VARIABLES for kind, *_ in self.nodes):
            raise InputError(
                f"{path}: keeps its weights in variables, which have no values until its own program sets them; "
                f"convert it by from_keras_model or from_saved_model, which make constants of them"
            )

    def maker(self, tensor: int) -> str:
        """The operator that makes a tensor, before what only passes its values on."""
        made = {output: node for node in self.nodes for output in node[2]}
        while (node := made.get(tensor)) is not None and node[0] in FORWARDING:
            tensor = node[1][0]
        return node[0] if node is not None else ""

    def size(self, shapes: Mapping[int, Sequence[int]], images: int) -> dict[str, int]:
        """The counts of the layers, by the shapes of all tensors for some images."""
        counts = "channels", "convolutions", "weights", "zero_weights", "quantized_weights", "weight_bits", "macs"
        found = dict.fromkeys(counts, 0)
        learned, zeros = {}, {}
        for kind, inputs, outputs in self.nodes:
            if kind not in LAYERS:
                continue
            (given, bias), out = LAYERS[kind], shapes[outputs[0]]
            weight = self._constant(inputs[1])
            found["macs"] += _multiplications(kind, shapes[inputs[given]], shapes[inputs[1]], out)
            if weight is None:
                # Both factors depend on the image.
                continue
            count = self._count(weight)
            if weight not in learned:
                found["channels"] += int(out[-1]) * (kind in CONVOLUTIONS)
                found["convolutions"] += kind in CONVOLUTIONS
                found["weights"] += count
                zeros[weight] = self._zeros(weight)
                found["quantized_weights"] += count * (self._bits(weight) <= 8)
                found["weight_bits"] += count * self._bits(weight)
            added = [constant for constant in map(self._constant, inputs[bias : bias + 1]) if constant is not None]
            learned |= dict.fromkeys([weight, *added])
        # Of other operators, such as the slopes of a PReLU; integers without a grid are shapes and axes.
        others = [
            index
            for index, tensor in enumerate(self.tensors)
            if self._constant(index) == index and len(_listed(tensor.shape)) and self._is_number(tensor)
        ]
        learned |= dict.fromkeys(others)
        zeros |= {index: self._zeros(index) for index in learned if index not in zeros}
        found["zero_weights"] = sum(zeros[index] for index in learned if self._is_weight(index))
        # A file of a fixed batch takes no single image.
        found["macs"] //= images
        total = sum(map(self._count, learned))
        packed = sum((self._count(index) * self._bits(index) + 7) // 8 + 4 * self._scales(index) for index in learned)
        return {
            "parameters": total,
            "nonzeros": total - sum(zeros.values()),
            **found,
            "bytes": 4 * total,
            "packed_bytes": packed,
        }

    def _is_weight(self, index: int) -> bool:
        return any(kind in LAYERS and self._constant(inputs[1]) == index for kind, inputs, _ in self.nodes)

    def _constant(self, tensor: int) -> int | None:
        """The constant that a tensor is, or is dequantized from; None where it depends on the image."""
        made = {output: node for node in self.nodes for output in node[2]}
        while (node := made.get(tensor)) is not None and node[0] in FORWARDING:
            tensor = node[1][0]
        known = tensor >= 0 and node is None and self.buffers[tensor] is not None and len(self.buffers[tensor])
        return tensor if known and self.tensors[tensor].type in TYPES else None

    def _is_number(self, tensor: Any) -> bool:
        return tensor.type in FLOATS or (
            tensor.quantization is not None and len(_listed(tensor.quantization.scale)) > 0
        )

    def _count(self, tensor: int) -> int:
        return int(np.prod(_listed(self.tensors[tensor].shape)))

    def _bits(self, tensor: int) -> int:
        return TYPES[self.tensors[tensor].type][1]

    def _scales(self, tensor: int) -> int:
        grid = self.tensors[tensor].quantization
        return 0 if grid is None or self._bits(tensor) > 8 else len(_listed(grid.scale))

    def _zeros(self, tensor: int) -> int:
        """How many values of a constant stand for zero."""
        name, bits = TYPES[self.tensors[tensor].type]
        content, grid = np.asarray(self.buffers[tensor], np.uint8), self.tensors[tensor].quantization
        if bits == 4:
            # Two to a byte, the first in the lower half.
            values = np.stack([content & 15, content >> 4], 1).reshape(-1)[: self._count(tensor)]
        else:
            values = content.view(name)
        points = np.asarray(_listed(grid.zeroPoint) if grid is not None else []).reshape(-1)
        if points.size > 1:
            shape = [-1 if axis == grid.quantizedDimension else 1 for axis in range(len(self.tensors[tensor].shape))]
            return int((values.reshape(self.tensors[tensor].shape) == points.reshape(shape)).sum())
        return int((values == (points[0] if points.size else 0)).sum())


@contextmanager
def _without_notices() -> Generator[None]:
    """What LiteRT's own code writes to the terminal meanwhile, without the lines `INFO: ...`, which have no switch."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            written.seek(0)
            lines = written.read().splitlines(keepends=True)
            os.write(2, b"".join(line for line in lines if not line.startswith(b"INFO: ")))


def _multiplications(kind: str, first: Sequence[int], second: Sequence[int], out: Sequence[int]) -> int:
    """Of a layer, by the shapes of its two factors and of what it gives."""
    if kind == PRODUCT:
        return int(np.prod(out)) * int(np.prod(first[-2:])) // int(out[-2])
    if LAYERS[kind] == BACKWARD:
        # Every value of the input meets all of the filter.
        return int(np.prod(second)) * int(np.prod(first[:-1]))
    return int(np.prod(second)) * int(np.prod(out[:-1]))


def _listed(values: Sequence[Any] | None) -> Sequence[Any]:
    return [] if values is None else values


def _dimensions(details: Mapping[str, Any]) -> list[int | None]:
    """A shape, None for what any number may be."""
    return [None if size < 0 else int(size) for size in details["shape_signature"]]


def _refusal(text: str) -> str:
    """What LiteRT says when it does not open a file, in words."""
    if unknown := re.search(r"custom op: (\w+)|unresolved (?:custom )?op: (\w+)", text):
        return (
            f"has the operator {unknown[1] or unknown[2]}, which is not LiteRT's own; no code from elsewhere is "
            f"loaded: convert it in built-in operators"
        )
    return f"LiteRT does not open it ({text.strip():.300}); it is altered, or needs another version"
