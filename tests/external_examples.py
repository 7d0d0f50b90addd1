"""A network of the digits, trained as a stranger would, and what the tests of models from files share."""

from functools import cache

import onnx
import torch
from model_examples import digits, spec_of
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from torch import nn
from torch.nn import functional

from squeezeproof.deployment.export import onnx_bytes
from squeezeproof.models.build import build

SPEC = spec_of("cnn8", width=6, normalization="none")
DATASET = {
    **{"shape": [1, 8, 8], "mean": [0.3], "std": [0.4]},
    "classes": [str(index) for index in range(10)],
}
ANOTHER_ORDER = torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])


def held_out(count=300):
    """The last digits, uint8 [N, 1, 8, 8], and their labels."""
    images, labels = digits()
    return images[-count:], labels[-count:]


@cache
def _trained():
    images, labels = digits()
    images, labels = images[:1400].float() / 255, labels[:1400]
    model, generator = build(SPEC, 0), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    for _ in range(400):
        rows = torch.randint(0, len(labels), (64,), generator=generator)
        loss = functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval().state_dict()


def trained():
    """A fresh copy of the trained model, pixels in [0, 1] -> logits."""
    model = build(SPEC, 0).eval()
    model.load_state_dict(_trained())
    return model


def cut(network, kept):
    """The network with the first filters of its second convolution alone, as a pruning tool leaves it."""
    first, second = network.conv2, network.conv3
    network.conv2 = nn.Conv2d(first.in_channels, kept, 3, stride=first.stride, padding=1)
    network.conv2.load_state_dict({"weight": first.weight[:kept], "bias": first.bias[:kept]})
    network.conv3 = nn.Conv2d(kept, second.out_channels, 3, stride=second.stride, padding=1)
    network.conv3.load_state_dict({"weight": second.weight[:, :kept], "bias": second.bias})
    return network.eval()


def write_onnx(folder):
    """Name -> path of a real file of the trained model: of torch's exporter, and of ONNX Runtime's own quantizer."""
    found = {name: folder / f"{name}.onnx" for name in ("float", "qdq", "qoperator", "dynamic")}
    found["float"].write_bytes(onnx_bytes(trained(), tuple(DATASET["shape"])))
    pixels = held_out()[0][:64].float().numpy() / 255

    class Reader(CalibrationDataReader):
        def __init__(self):
            name = onnx.load(found["float"]).graph.input[0].name
            self.batches = iter([{name: pixels}])

        def get_next(self):
            return next(self.batches, None)

    for name, form in (("qdq", QuantFormat.QDQ), ("qoperator", QuantFormat.QOperator)):
        options = {"quant_format": form, "activation_type": QuantType.QUInt8, "per_channel": name == "qdq"}
        quantize_static(found["float"], found[name], Reader(), **options)
    quantize_dynamic(found["float"], found["dynamic"])
    return found
