"""Files of tools that quantize, told as what they are, with lines of Python that work."""

import json
import sys
import types
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.from_files.known import fitting
from squeezeproof.models.checkpoints import load_weights
from squeezeproof.models.takes import described
from squeezeproof.models.torch_files import read_state_dict


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


NET = Wrapped().network.eval()
DATA = torch.tensor([[1, -2, 3], [4, 5, -6]], dtype=torch.int8)
SCALES = torch.tensor([[0.5], [0.25]])
BESIDE = {name: tensor for name, tensor in NET.state_dict().items() if name != "0.weight"}
QUANTO = {"0.weight._data": DATA, "0.weight._scale": SCALES, "0.input_scale": torch.tensor(0.1), **BESIDE}
PACKED = {"0.weight._data._data": DATA.byte(), "0.weight._scale": SCALES, "0.weight._shift": -SCALES, **BESIDE}
PT2E = {"_scale_0": SCALES, "_zero_point_0": DATA, "_frozen_param0": -DATA, "0.bias": torch.ones(2)}


def told(tmp_path, state):
    safetensors.torch.save_file(state, tmp_path / "in.safetensors")
    with pytest.raises(InputError) as error:
        load_weights(Wrapped(), tmp_path / "in.safetensors")
    return str(error.value)


def followed(tmp_path, monkeypatch, message, **names):
    """What the lines of Python in a message leave in weights.pt, as it is read."""
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line[4:] for line in message.splitlines() if line.startswith("    ")), {"torch": torch, **names})
    return read_state_dict("weights.pt")[0]


def loaded(tmp_path, state):
    safetensors.torch.save_file(state, tmp_path / "out.safetensors")
    model = Wrapped()
    load_weights(model, tmp_path / "out.safetensors")
    return model.network


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_of_quanto_are_named_and_its_lines_make_floats_of_them(tmp_path, monkeypatch, ending):
    message = told(tmp_path, QUANTO)
    assert "in.safetensors: holds weights that optimum-quanto quantized" in message
    torch.save(QUANTO, tmp_path / "in.pt")
    # make check writes the name of the .pt file in the place of what it was converted to.
    state = followed(tmp_path, monkeypatch, message.replace("in.safetensors", f"in.{ending}"))
    assert torch.equal(loaded(tmp_path, state)[0].weight, DATA * SCALES)


def test_the_lines_for_packed_weights_of_quanto_take_them_of_the_network(tmp_path, monkeypatch):
    message = told(tmp_path, PACKED)
    assert "optimum-quanto quantized and packed" in message
    model = Wrapped().network
    model[0].register_buffer("input_scale", torch.ones(()))
    state = followed(tmp_path, monkeypatch, message, model=model)
    assert torch.equal(loaded(tmp_path, state)[0].weight, model[0].weight)


def test_a_base_whose_network_is_looked_for_is_named_too(tmp_path):
    safetensors.torch.save_file(QUANTO, tmp_path / "in.safetensors")
    with pytest.raises(InputError, match=r"BASE=.*in\.safetensors: holds weights that optimum-quanto quantized"):
        fitting(tmp_path / "in.safetensors", described((1, 8, 8), 2))


def test_a_state_dict_of_pt2e_is_named_with_the_export(tmp_path):
    assert "in.safetensors: is of a network that PT2E quantized" in told(tmp_path, PT2E)


def test_a_misfit_that_no_tool_quantized_is_told_as_one(tmp_path):
    assert "does not fit the network" in told(tmp_path, {**BESIDE, "0.weight._data": DATA})


class Kept(torch.Tensor):
    """A tensor of torchao, as far as a file tells: a kind of tensor with numbers of its own."""

    def dequantize(self):
        return self.as_subclass(torch.Tensor) * SCALES


def test_weights_of_torchao_are_named_and_its_lines_make_floats_of_them(tmp_path, monkeypatch):
    of_torchao = types.ModuleType("torchao.quantization")
    monkeypatch.setattr(Kept, "__module__", of_torchao.__name__)
    of_torchao.Kept = Kept
    monkeypatch.setitem(sys.modules, "torchao", types.ModuleType("torchao"))
    monkeypatch.setitem(sys.modules, of_torchao.__name__, of_torchao)
    torch.save({**BESIDE, "0.weight": DATA.as_subclass(Kept)}, tmp_path / "in.pt")
    with pytest.raises(InputError, match=r"in\.pt: holds weights that torchao quantized") as error:
        read_state_dict(tmp_path / "in.pt")
    state = followed(tmp_path, monkeypatch, str(error.value))
    assert torch.equal(loaded(tmp_path, state)[0].weight, DATA * SCALES)


def test_a_program_of_pt2e_is_named_with_the_export(tmp_path):
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.ones(2, 3),)), tmp_path / "plain.pt2")
    with zipfile.ZipFile(tmp_path / "plain.pt2") as plain, zipfile.ZipFile(tmp_path / "in.pt2", "w") as changed:
        for part in plain.infolist():
            content = plain.read(part)
            if part.filename.endswith("models/model.json"):
                graph = json.loads(content)
                graph["graph_module"]["graph"]["nodes"][0]["target"] = (
                    "torch.ops.quantized_decomposed.dequantize_per_tensor.default"
                )
                content = json.dumps(graph)
            changed.writestr(part, content)
    with pytest.raises(InputError, match=r"in\.pt2: is a program of torch\.export that PT2E quantized"):
        read_state_dict(tmp_path / "in.pt2")
    with pytest.raises(InputError, match=r"is a program of torch\.export\. Make a state_dict"):
        read_state_dict(tmp_path / "plain.pt2")
