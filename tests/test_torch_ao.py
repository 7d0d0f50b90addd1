"""Files of networks that torch.ao quantized: the lines of Python that are told are followed to the letter."""

import re
from collections import OrderedDict

import pytest
import torch
from test_quantizers import followed
from torch import nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx

from squeezeproof.errors import InputError
from squeezeproof.models.foreign import open_file
from squeezeproof.models.torch_files import read_state_dict

pytestmark = pytest.mark.filterwarnings("ignore")


class Net(nn.Module):
    """Batch normalization and biases that are not zero, `stubs` where eager mode begins and ends to quantize."""

    def __init__(self, stubs=False):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.fc = nn.Linear(256, 10)
        nn.init.normal_(self.bn.weight, 1, 0.3)
        self.begin, self.end = (nn.Identity(), nn.Identity())
        if stubs:
            self.quant, self.end = quantization.QuantStub(), quantization.DeQuantStub()
            self.begin = self.quant

    def forward(self, images):
        return self.end(self.fc(self.relu(self.bn(self.conv(self.begin(images)))).flatten(1)))


IMAGES = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def dynamic(network):
    return quantization.quantize_dynamic(network, {nn.Linear})


def eager(network):
    network = quantization.fuse_modules(network, [["conv", "bn", "relu"]])
    network.qconfig = quantization.get_default_qconfig("x86")
    quantization.prepare(network, inplace=True)
    network(IMAGES)
    return quantization.convert(network)


def fx(network):
    prepared = quantize_fx.prepare_fx(network, quantization.get_default_qconfig_mapping("x86"), (IMAGES,))
    prepared(IMAGES)
    return quantize_fx.convert_fx(prepared)


def folded(network):
    """The float network that the weights of a fused one fit."""
    network.conv = torch.nn.utils.fuse_conv_bn_eval(network.conv, network.bn)
    network.bn = nn.Identity()
    return network


def message(tmp_path, state):
    torch.save(state, tmp_path / "in.pt")
    with pytest.raises(InputError, match=r"in\.pt: '.*' is quantized by torch\.ao, (statically|dynamically)") as error:
        read_state_dict(tmp_path / "in.pt")
    return str(error.value)


@pytest.mark.parametrize("quantize", [dynamic, eager, fx])
def test_the_floats_that_are_made_are_those_of_the_quantized_weights(tmp_path, monkeypatch, quantize):
    """`weight.dequantize()`, as it was told, is no tensor of a linear layer, whose weight is a method."""
    torch.manual_seed(0)
    network = Net(stubs=quantize is eager).eval()
    quantized = quantize(network)
    told = message(tmp_path, quantized.state_dict())
    state = followed(tmp_path, monkeypatch, told.rpartition("Make floats" if quantize is dynamic else "Or make")[2])
    plain = Net().eval() if quantize is dynamic else folded(Net().eval())
    plain.load_state_dict(OrderedDict(state), strict=True)
    with torch.no_grad():
        own, theirs = plain(IMAGES), quantized(IMAGES)
    assert (own - theirs).abs().max() < 0.03 * theirs.std() + 0.05 and (own.argmax(1) == theirs.argmax(1)).all()


@pytest.mark.parametrize("quantize", [eager, fx])
def test_a_static_network_is_exported_by_the_lines_that_are_told(tmp_path, monkeypatch, quantize):
    torch.manual_seed(0)
    quantized = quantize(Net(stubs=quantize is eager).eval())
    lines = message(tmp_path, quantized.state_dict()).partition("Or make")[0]
    monkeypatch.chdir(tmp_path)
    text = "\n".join(line[4:] for line in lines.splitlines() if line.startswith("    "))
    exec(text.replace("1, 1, 28, 28", "1, 1, 8, 8"), {"torch": torch, "model": quantized})
    found = open_file(tmp_path / "model.onnx", shape=(1, 8, 8), classes=10)
    with torch.no_grad():
        assert (found(IMAGES) - quantized(IMAGES)).abs().max() < 0.05
    assert found.network.reading["batch"] is None


def test_a_dynamic_network_is_not_sent_to_onnx(tmp_path):
    """Its operators are none of ONNX's."""
    told = message(tmp_path, dynamic(Net().eval()).state_dict())
    assert not re.search(r"torch\.onnx|model\.onnx", told) and "which no ONNX file holds" in told
