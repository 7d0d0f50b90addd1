"""Any model as an ONNX file or a torch.export program: pixels in [0, 1] in, logits out; a hack: torch's log is muted.

ONNX is written by PyTorch's TorchScript exporter: the newer one needs onnxscript, which is no part of the lock, and
every pass that builds the integer model (deployment.integer) rests on what this one does, such as folding batch
normalisations.
"""

import io
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from squeezeproof.atomic import replacing
from squeezeproof.deployment.plain import logits_of, logits_of_session, plain
from squeezeproof.errors import NotSupported, pass_on
from squeezeproof.models.device import device_of
from squeezeproof.models.logits import close
from squeezeproof.models.onnx_sessions import open_session
from squeezeproof.models.quantized import quantized_layers
from squeezeproof.types import Images

INPUT, OUTPUT = "pixels", "logits"
OPSET = 17
# Images that a network is traced on: a number that no layer is likely to have.
TRACED = 13
# Function that is told a shape -> the place of its first size among the arguments.
SHAPED = {
    **dict.fromkeys(("view", "reshape", "expand", "new_zeros", "new_ones", "new_empty", "new_full", "repeat"), 1),
    **dict.fromkeys(("zeros", "ones", "empty", "full"), 0),
}


def onnx_bytes(model: nn.Module, shape: Sequence[int]) -> bytes:
    """The ONNX file of a model (of `plain`) that maps [N, *shape] to logits, N free; batch normalisations are folded.

    Raises NotSupported where the network cannot be traced.
    """
    buffer = io.BytesIO()
    axes = {INPUT: {0: "images"}, OUTPUT: {0: "images"}}
    counted = _Counted()
    hook = model.register_forward_pre_hook(counted.begin)
    with warnings.catch_warnings(), _no_graph(), counted:
        # The exporter calls itself legacy, and warns of tracing Python numbers, which the comparison checks.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                model, (torch.zeros(TRACED, *shape),), buffer,  # ty: ignore[invalid-argument-type]
                dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT], dynamic_axes=axes,
            )  # fmt: skip
        except Exception as error:
            pass_on(error)
            # Assertions of the exporter among them, and whatever the network's own code raises when it is traced.
            # What follows in some messages is a tensor, or a graph.
            first = (str(error).splitlines() or [""])[0].partition("[Caused by")[0].strip()
            raise NotSupported(f"the network cannot be exported to ONNX: {type(error).__name__}: {first}") from error
        finally:
            hook.remove()
    return buffer.getvalue()


@contextmanager
def _no_graph() -> Generator[None]:
    """The exporter prints no graph where it fails. It turns its log on itself, whatever was asked of it."""
    write = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None  # ty: ignore[invalid-assignment]
    try:
        yield
    finally:
        torch._C._jit_onnx_log = write


class _Counted(TorchFunctionMode):
    """Gives shapes that begin with the number of images traced that of the images instead, as part of the graph.

    Python's len(x) is a number when it is traced, where x.shape[0] is none.
    """

    count: Any = TRACED

    def begin(self, model: nn.Module, inputs: Any) -> None:
        """The hook before the pass that is traced."""
        self.count = inputs[0].shape[0]

    # torch passes them by place.
    def __torch_function__(  # ty: ignore[lost-keyword-for-regular-parameter]
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        place = SHAPED.get(getattr(function, "__name__", ""))
        if place is not None and len(args) > place:
            args = *args[:place], self._counted(args[place]), *args[place + 1 :]
        return function(*args, **(kwargs or {}))

    def _counted(self, sizes: Any) -> Any:
        if isinstance(sizes, (tuple, list)):
            return [self._counted(sizes[0]), *sizes[1:]] if sizes else sizes
        return self.count if type(sizes) is int and sizes == TRACED else sizes


def export_onnx(path: str | Path, model: nn.Module, images: Images) -> dict[str, Any]:
    """Write a model as ONNX; returns what `compare` says of it and the model on uint8 images [N, C, H, W].

    Raises NotSupported, and leaves no file, where the network cannot be traced or the two disagree (`judge`).
    """

    def run(copied: nn.Module) -> tuple[bytes, np.ndarray]:
        text = onnx_bytes(copied, images.shape[1:])
        try:
            return text, logits_of_session(open_session(text), images)
        except Exception as error:
            pass_on(error)
            raise NotSupported(
                f"ONNX Runtime does not run the network's ONNX file ({type(error).__name__}: {error}), as where a part "
                f"of it computes in half precision; leave it out of efficiency.models"
            ) from error

    text, found = run(plain(model))
    metadata = judge(model, images, found, lambda copied: run(copied)[1], "ONNX")
    with replacing(path) as temporary:
        temporary.write_bytes(text)
    return metadata


def export_program(path: str | Path, model: nn.Module, images: Images) -> dict[str, Any]:
    """Write a model as a torch.export program (.pt2, for torch.export.load); as `export_onnx` otherwise.

    The file is PyTorch's archive of JSON, raw weights and a pickled example input; nothing in this project reads it.
    """
    size = torch.export.Dim("images")
    example = torch.zeros(2, *images.shape[1:])

    def run(copied: nn.Module) -> tuple[Any, np.ndarray]:
        try:
            program = torch.export.export(copied, (example,), dynamic_shapes=({0: size},))
        except Exception as error:
            pass_on(error)
            problem = f"the network cannot be exported by torch.export: {type(error).__name__}: {error}"
            raise NotSupported(problem) from error
        return program, logits_of(program.module(), images)

    program, found = run(plain(model))
    metadata = judge(model, images, found, lambda copied: run(copied)[1], "torch.export")
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return metadata


def compare(model: nn.Module, images: Images, found: np.ndarray) -> dict[str, Any]:
    """How logits `found` [N, K] of a deployed model compare with those of `model`, on uint8 images [N, C, H, W].

    Returns `images`, their number; `close`, the share of images that both give the same logits, to rounding;
    `max_difference` of a logit; `largest_logit` of the model, in magnitude; and `agreement`, the share of images that
    both give the same label.
    """
    device = device_of(model)
    expected = logits_of(lambda pixels: model(pixels.to(device)).cpu(), images)
    if found.shape != expected.shape:
        raise NotSupported(
            f"the exported network gives {found.shape} logits where the model gives {expected.shape}: its Python code "
            f"depends on the number of images; leave it out of efficiency.models"
        )
    return {
        "images": len(images),
        "close": float(close(torch.from_numpy(expected), torch.from_numpy(found)).double().mean()),
        "max_difference": float(np.abs(expected - found).max()),
        "largest_logit": float(np.abs(expected).max()),
        "agreement": float((expected.argmax(1) == found.argmax(1)).mean()),
    }


def judge(
    model: nn.Module, images: Images, found: np.ndarray, run: Callable[[nn.Module], np.ndarray], form: str
) -> dict[str, Any]:
    """What `compare` says of an exported model's logits `found`; NotSupported where it is another network.

    A rounding at a tie may fall either way, and every later layer sees it: of a rounded model the network without the
    rounding of inputs is exported too, `run` gives its logits, and those are compared; how often the labels agree is
    told, and left to whoever reads it.
    """
    metadata = compare(model, images, found)
    if not quantized_layers(model):
        return check(metadata, form)
    exact = plain(model, lambda quantizer: nn.Identity())
    check(compare(exact, images, run(exact)), form)
    check({**metadata, "close": 1.0}, form)
    return metadata


def check(metadata: dict[str, Any], form: str) -> dict[str, Any]:
    """The metadata of `compare`; NotSupported where logits differ by more than rounding, or are not finite."""
    if metadata["close"] < 1 or not np.isfinite(metadata["max_difference"]):
        raise NotSupported(
            f"the {form} file computes something else than the model: logits differ by up to "
            f"{metadata['max_difference']:.3g} (the largest is {metadata['largest_logit']:.3g}), on "
            f"{1 - metadata['close']:.2%} of {metadata['images']} test images by more than rounding. A network whose "
            f"Python code depends on its input cannot be traced; leave it out of efficiency.models"
        )
    return metadata
