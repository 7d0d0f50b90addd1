from collections.abc import Iterator
from typing import Any, Literal

from squeezeproof.entries import registry
from squeezeproof.entries.architecture import WEIGHTS, weights_contradictions
from squeezeproof.entries.compression import Compression
from squeezeproof.entries.normalization import NORMALIZATIONS, Normalization, normalization_contradictions
from squeezeproof.entries.settings import Text, setting
from squeezeproof.entries.unions import one_of

# Endings of files that hold a network with its weights, and the settings that they alone have.
TFLITE = ".tflite"
DEPLOYED = (".onnx", TFLITE)
OF_DEPLOYED = ("channels", "layout", "outputs", "output")


class External(Compression):
    """A model that was compressed elsewhere, compared with its base like any other: weights of the base's own network,
    masked or with fewer filters; another network with its weights; or an ONNX or TFLite file. Such a file gives no
    gradients: only attacks that need none are made on it, and every other model's images are tried on it.
    """

    function = "squeezeproof.compression.external:read_external"
    level = ""
    given = True

    method: Literal["external"] = "external"
    file: Text = setting(
        "The model: a safetensors file with a state_dict, or a .onnx or .tflite file. `{dataset}`, `{architecture}`, "
        "`{training}` and `{seed}` in its name stand for those of the base; one file is the compressed version of one "
        "base.",
        min_length=1,
    )
    of: Text = setting(
        "The uncompressed model that it is compared with, its base or another one: a full name such as "
        "cnn8.standard.none.none.s0, or a shell pattern. It may be left out where only one can be meant.",
        "*",
    )
    normalization: Normalization | None = setting(
        "What the model's input is made of; null is the base's normalization, or that of `architecture`; for a "
        ".onnx or .tflite file it is `none`, or `bytes` where that takes integers. " + NORMALIZATIONS,
        None,
    )
    channels: Literal["rgb", "bgr"] = setting("The order of channels that a .onnx or .tflite file takes.", "rgb")
    layout: Literal["nchw", "nhwc"] | None = setting(
        "The order of a .onnx or .tflite file's inputs; null where their sizes tell it.", None
    )
    outputs: Literal["logits", "probabilities", "energies"] | None = setting(
        "What a .onnx or .tflite file gives; of energies, such as distances or losses, the smallest is the class. null "
        "where its last operator, or its values, tell it.",
        None,
    )
    output: Text | None = setting("The name of that output; null where only one can be meant.", None)
    architecture: one_of(registry.architectures()) | None = setting(
        "The network that the weights belong to, a mapping as in `architectures`; null is the base's own, with the "
        "filters that the weights leave it.",
        None,
    )

    @classmethod
    def gives_gradients(cls, settings: dict[str, Any]) -> bool:
        """See Compression."""
        return not settings["file"].endswith(DEPLOYED)

    def contradictions(self, path: str, study: Any) -> Iterator[str]:
        """See Entry."""
        if torch_file := list(weights_contradictions(f"{path}.file", self.file)):
            yield from torch_file
        elif not self.file.endswith((WEIGHTS, *DEPLOYED)):
            yield f"{path}.file: {self.file!r} is no model; its name ends in {' or '.join((WEIGHTS, *DEPLOYED))}"
        elif self.file.endswith(DEPLOYED):
            if self.architecture is not None:
                yield f"{path}.architecture: {self.file} holds its network; leave it out"
        else:
            for name, field in type(self).model_fields.items():
                if name in OF_DEPLOYED and getattr(self, name) != field.default:
                    yield f"{path}.{name}: is of {' and '.join(DEPLOYED)} files, and {self.file} is none; leave it out"
        yield from normalization_contradictions(f"{path}.normalization", self.normalization, study)
        if self.architecture is not None:
            yield from self.architecture.contradictions(f"{path}.architecture", study)
            for key in ("checkpoint", "pretrained"):
                if getattr(self.architecture, key, None):
                    yield f"{path}.architecture.{key}: the weights are those of {path}.file; leave it out here"
            if self.architecture.draws_anew:
                yield f"{path}.architecture.initialization: the weights are those of {path}.file; leave it out here"
            if self.normalization is not None:
                yield f"{path}.normalization: write it as {path}.architecture.normalization"
