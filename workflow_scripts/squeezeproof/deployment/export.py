"""Any model as an ONNX file or a torch.export program: pixels in [0, 1] in, logits out, any number of images.

ONNX is written by PyTorch's TorchScript exporter: the newer one needs onnxscript, which is no part of the lock, and
every pass that builds the integer model (deployment.integer) rests on what this one does, such as folding batch
normalisations.
"""

import io
import warnings

import numpy as np
import torch

from squeezeproof.atomic import replacing
from squeezeproof.deployment.plain import logits_of, logits_of_session, open_session, plain
from squeezeproof.errors import InputError
from squeezeproof.models.device import device_of
from squeezeproof.models.quantized import quantized_layers

INPUT, OUTPUT = "pixels", "logits"
OPSET = 17
# Of the largest logit: what the order of float32 sums changes.
TOLERANCE = 1e-4
# Of predictions, for rounded models: a rounding at a tie may fall either way, and every later layer sees it.
AGREEMENT = 0.99


def onnx_bytes(model, shape):
    """The ONNX file of a model (of `plain`) that maps [N, *shape] to logits, N free; batch normalisations are folded.

    Raises InputError where the network cannot be traced.
    """
    buffer = io.BytesIO()
    axes = {INPUT: {0: "images"}, OUTPUT: {0: "images"}}
    with warnings.catch_warnings():
        # The exporter calls itself legacy, and warns of tracing Python numbers, which the comparison checks.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                model, (torch.zeros(2, *shape),), buffer, dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT], dynamic_axes=axes,
            )  # fmt: skip
        except (RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"the network cannot be exported to ONNX: {type(error).__name__}: {error}") from error
    return buffer.getvalue()


def export_onnx(path, model, images):
    """Write a model as ONNX; returns what `compare` says of it and the model on uint8 images [N, C, H, W].

    Raises InputError, and leaves no file, where the network cannot be traced or the two disagree (`check`).
    """
    text = onnx_bytes(plain(model), images.shape[1:])
    with replacing(path) as temporary:
        temporary.write_bytes(text)
        found = logits_of_session(open_session(temporary), images)
        return check(compare(model, images, found), model, "ONNX")


def export_program(path, model, images):
    """Write a model as a torch.export program (.pt2, for torch.export.load); as `export_onnx` otherwise.

    The file is PyTorch's archive of JSON, raw weights and a pickled example input; nothing in this project reads it.
    """
    copied = plain(model)
    size = torch.export.Dim("images")
    try:
        example = torch.zeros(2, *images.shape[1:])
        program = torch.export.export(copied, (example,), dynamic_shapes=({0: size},))
    except Exception as error:
        raise InputError(f"the network cannot be exported by torch.export: {type(error).__name__}: {error}") from error
    metadata = check(compare(model, images, logits_of(program.module(), images)), model, "torch.export")
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return metadata


def compare(model, images, found):
    """How logits `found` [N, K] of a deployed model compare with those of `model`, on uint8 images [N, C, H, W].

    Returns `images`, their number; `max_difference` of a logit; `largest_logit` of the model, in magnitude; and
    `agreement`, the share of images that both give the same label.
    """
    device = device_of(model)
    expected = logits_of(lambda pixels: model(pixels.to(device)).cpu(), images)
    return {
        "images": len(images),
        "max_difference": float(np.abs(expected - found).max()),
        "largest_logit": float(np.abs(expected).max()),
        "agreement": float((expected.argmax(1) == found.argmax(1)).mean()),
    }


def check(metadata, model, form):
    """The metadata of `compare`; InputError where logits, or labels of a rounded model, differ too much."""
    limit = TOLERANCE * max(1.0, metadata["largest_logit"])
    rounded = bool(quantized_layers(model))
    sound = metadata["agreement"] >= AGREEMENT if rounded else metadata["max_difference"] <= limit
    if not sound or not np.isfinite(metadata["max_difference"]):
        allowed = f"at least {AGREEMENT:.0%} equal labels are" if rounded else f"at most {limit:.3g} is"
        raise InputError(
            f"the {form} file computes something else than the model: logits differ by up to "
            f"{metadata['max_difference']:.3g} and {metadata['agreement']:.2%} of the labels are equal on "
            f"{metadata['images']} test images, {allowed} allowed. A network whose Python code depends on its "
            f"input cannot be traced; leave it out of efficiency.models"
        )
    return metadata
