"""Models in files of other programs (ONNX, TFLite), read as what every model here is: pixels in [0, 1] -> logits.

They give no gradients. Nothing in a file is executed but its operators, by the runtime that is made for them.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squeezeproof.errors import InputError, pass_on
from squeezeproof.models.layouts import LAYOUTS, layout_of, sizes_shown
from squeezeproof.models.normalize import Normalize
from squeezeproof.models.outputs import meaning_of, to_logits
from squeezeproof.types import Opened

KIND = "file"
FORMATS = (".onnx", ".tflite")
# What to do where a file gives something else.
SCORES = "export the network again with the scores (logits) as its only output"
# Random images that a file is tried on, beside a few that are unlike them.
RANDOM = 4


class Foreign(nn.Module):
    """The network of a file: its inputs [N, C, H, W], float32, -> logits [N, K]; its bytes are its one buffer.

    Args:
        reading: how it is read, of `read_file` and of `outputs.Meaning`: format, layout, channels, output, batch, kind
            of outputs and their factor; the shape of an image in the file where that is no layout.
        data: the file.
    """

    def __init__(self, reading: dict[str, Any], data: bytes = b"") -> None:
        super().__init__()
        self.reading = reading
        self.register_buffer("file", torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else _no_bytes())
        self._opened = None

    def __getstate__(self) -> dict[str, Any]:
        # What runs the file is made anew where a copy is used.
        return {**super().__getstate__(), "_opened": None}

    def opened(self) -> Opened:
        """What runs the file, on as many threads as torch has."""
        threads = torch.get_num_threads()
        if self._opened is None or self._opened[0] != threads:
            self._opened = (
                threads,
                open_format(self.reading["format"], self.file.cpu().numpy().tobytes(), threads=threads),  # ty: ignore[not-callable]
            )
        return self._opened[1]

    @torch.no_grad()
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = self.arranged(inputs.detach().cpu().numpy())
        found = torch.from_numpy(run(self.opened(), values, self.reading["output"], self.reading["batch"]))
        step = self.opened().step(self.reading["output"])
        return to_logits(found.flatten(1), self.reading["outputs"], self.reading["factor"], step).to(inputs.device)

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """Inputs [N, C, H, W], numpy, in the file's own layout and order of channels."""
        values = values[:, ::-1] if self.reading["channels"] == "bgr" else values
        values = np.ascontiguousarray(values.transpose(LAYOUTS[self.reading["layout"]]))
        return values.reshape(len(values), *self.reading["shape"]) if "shape" in self.reading else values

    def size(self, shape: Sequence[int]) -> dict[str, Any]:
        """What `models.measure.measure` tells, for images of a shape (C, H, W)."""
        return self.opened().size(self.arranged(np.zeros((self.reading["batch"] or 1, *shape), np.float32)))


def gives_gradients(model: nn.Module) -> bool:
    """Whether attacks can follow the gradients of a model: none of its parts is a file's."""
    return not any(isinstance(module, Foreign) for module in model.modules())


def _no_bytes() -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8)


def open_format(ending: str, data: bytes, path: str | Path = "the file", threads: int = 1) -> Opened:
    """What runs the bytes of a file with that ending; InputError in words where it cannot be opened."""
    if ending == ".tflite":
        from squeezeproof.models.tflite_files import TfliteFile

        return TfliteFile(data, path, threads)
    from squeezeproof.models.onnx_files import OnnxFile

    return OnnxFile(data, path, threads)


def run(opened: Opened, values: np.ndarray, output: str, batch: int | None) -> np.ndarray:
    """One output of inputs in the file's layout; a file of a fixed `batch` gets so many at a time, the last padded."""
    if batch is None:
        return opened.run(values, output)
    parts = []
    for first in range(0, len(values), batch):
        part = values[first : first + batch]
        full = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), part.dtype)])
        parts.append(opened.run(full, output)[: len(part)])
    return np.concatenate(parts)


def open_file(
    path: str | Path,
    *,
    shape: Sequence[int],
    classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channels: str | None = None,
    layout: str | None = None,
    outputs: str | None = None,
    output: str | None = None,
) -> Any:
    """The model of a file: an nn.Module in eval mode that maps pixels [N, C, H, W] in [0, 1] to logits [N, K].

    Args:
        path: an ONNX or TFLite file, by its ending.
        shape: (C, H, W) of an image.
        classes: K.
        mean, std: per channel; the file gets (pixels - mean) / std. Left out, it gets pixels, and one that takes
            integers gets pixels in [0, 255], less 128 where these are signed bytes.
        channels: `rgb` or `bgr`, what the file takes.
        layout: `nchw` or `nhwc`; None where the file says it.
        outputs: `logits`, `probabilities`, which are turned into their logarithms, or `energies`, of which the smallest
            is the class; None where the file says it.
        output: the name of the output; None where only one can be meant.

    Attributes of the model: `network.reading`, how it is read; `notes`, the same in words.

    Raises InputError with one message where the file cannot be read, or not so.
    """
    reading, data, notes = read_file(path, shape, classes, channels, layout, output)
    network = Foreign(reading, data)
    if mean is None:
        signed = network.opened().dtype == "int8"
        mean, std = [128 / 255 * signed] * shape[0], [1 / 255 if reading["integers"] else 1.0] * shape[0]
        notes += ["takes signed bytes: pixels in [0, 255] less 128"] if signed else []
    # Both are given, or none.
    model: Any = nn.Sequential(OrderedDict(normalize=Normalize(mean, std), network=network)).eval()  # ty: ignore[invalid-argument-type]
    _understand_outputs(path, model, shape, classes, outputs, notes)
    model.notes = notes
    return model


def read_file(
    path: str | Path,
    shape: Sequence[int],
    classes: int,
    channels: str | None = None,
    layout: str | None = None,
    output: str | None = None,
) -> tuple[dict[str, Any], bytes, list[str]]:
    """(how a file is read, its bytes, the same in words); arguments and errors as for `open_file`."""
    ending = Path(path).suffix
    if ending not in FORMATS:
        raise InputError(f"{path}: {ending!r} is none of {', '.join(FORMATS)}")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    opened = open_format(ending, data, path)
    layout, reshaped = layout_of(path, opened.shape, shape, layout)
    output = _output(path, opened.outputs, classes, output)
    batch = opened.shape[0]
    notes = [f"{opened.runtime} runs it; inputs {layout}, {opened.dtype}"]
    if reshaped:
        notes.append(f"gets images in the shape {sizes_shown([None, *reshaped])}")
    if batch == 1:
        notes.append("takes one image at a time: it is run image by image")
    elif batch:
        notes.append(f"takes {batch} images at a time: the last ones are padded")
    reading: dict[str, Any] = {
        "kind": KIND,
        "format": ending,
        "layout": layout,
        "channels": channels or "rgb",
        "output": output,
    }
    reading |= {"batch": batch, "integers": opened.dtype.startswith(("int", "uint"))}
    reading |= {"shape": reshaped} if reshaped else {}
    return reading, data, notes


def _output(path: str | Path, outputs: Mapping[str, Sequence[Any]], classes: int, declared: str | None) -> str:
    """The name of the output that has a number for every class."""
    listed = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
    if declared is not None and declared not in outputs:
        raise InputError(f"{path}: has no output {declared!r}; it has {listed}")
    fits = [
        name for name, shape in outputs.items()
        if not isinstance(shape, str) and len(shape) > 1 and (None in shape[1:] or np.prod(shape[1:]) == classes)
    ]  # fmt: skip
    if not (fits if declared is None else declared in fits):
        raise InputError(
            f"{path}: its outputs are {listed}; {classes} numbers, one per class, are needed{_hint(outputs, classes)}"
        )
    if declared is None and len(fits) > 1:
        # A name such as 1893 would be a number.
        first = fits[0] if fits[0].isidentifier() else json.dumps(fits[0])
        raise InputError(
            f"{path}: several outputs may be meant ({listed}); write output: {first}, or another, in its entry of "
            f"`compressions`, or OPTIONS='{{output: {first}}}' of make check"
        )
    return declared or fits[0]


def _hint(outputs: Mapping[str, Sequence[Any]], classes: int) -> str:
    """What to write where no output has a number for every class, after a semicolon."""
    if any("seq(map" in shape for shape in outputs.values() if isinstance(shape, str)):
        return "; of scikit-learn, export it with options={'zipmap': False}"
    sizes = [tuple(shape[1:]) for shape in outputs.values() if not isinstance(shape, str)]
    # The numbers of the best few, and their places.
    if len(sizes) > len(set(sizes)) and all(None not in size and 1 < np.prod(size) < classes for size in sizes):
        return f"; {SCORES}, before the topk"
    if not any(set(shape[1:]) <= {1} for shape in outputs.values() if not isinstance(shape, str)):
        return ""
    of_two = "; where that is one score z for two classes, export [-z, z], of one probability p [1 - p, p]"
    return f"; {SCORES}, before any argmax{of_two if classes == 2 else ''}"


def _understand_outputs(
    path: str | Path, model: Any, shape: Sequence[int], classes: int, declared: str | None, notes: list[str]
) -> None:
    """Run the file on some images, and write into its reading what its outputs are; InputError where they are not what
    they are declared to be.
    """
    network, output = model.network, model.network.reading["output"]
    values = network.arranged(model.normalize(_tried(shape)).numpy())
    try:
        found = run(network.opened(), values, output, network.reading["batch"])
    except Exception as error:
        pass_on(error, InputError)
        raise InputError(f"{path}: fails on images ({type(error).__name__}: {error!s:.300})") from None
    again = run(network.opened(), values, output, network.reading["batch"])
    if not np.array_equal(found, again, equal_nan=True):
        notes.append("gives other numbers whenever it is asked, as with dropout that was exported in training mode")
    found = found.reshape(len(found), -1) if len(found) else found
    if found.shape != (len(values), classes):
        raise InputError(f"{path}: maps {len(values)} images to {found.shape}, ({len(values)}, {classes}) is needed")
    if not np.isfinite(found).all():
        raise InputError(f"{path}: gives numbers that are not finite: its weights are broken, or it is read wrongly")
    opened = network.opened()
    try:
        meaning = meaning_of(found, opened.ends_in(output).lower(), declared, opened.step(output))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    network.reading |= {"outputs": meaning.kind, "factor": meaning.factor}
    notes += [meaning.note] if meaning.note else []


def _tried(shape: Sequence[int]) -> torch.Tensor:
    """Pixels [N, C, H, W] that are unlike each other: random ones, black, white, and brighter towards one side."""
    noise = torch.rand(RANDOM, *shape, generator=torch.Generator().manual_seed(0))
    plain = torch.stack([torch.zeros(*shape), torch.ones(*shape)])
    columns = torch.linspace(0, 1, shape[2]).expand(*shape)
    rows = torch.linspace(0, 1, shape[1])[:, None].expand(*shape)
    return torch.cat([noise, plain, torch.stack([columns, rows])])
