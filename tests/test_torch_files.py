"""Torch files of other programs: which weights are taken, and that nothing else of them is run."""

import argparse
import gzip
import io
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict, defaultdict, deque
from contextlib import suppress

import numpy as np
import pytest
import safetensors.torch
import torch
from convert_checkpoint import convert
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune

from squeezeproof.errors import InputError
from squeezeproof.models.torch_files import read_state_dict
from squeezeproof.store.converted import KEY, notes_in

WEIGHTS = OrderedDict({"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)})
OTHER = {name: tensor + 1 for name, tensor in WEIGHTS.items()}


class Touch:
    """Leaves a file where it is unpickled in earnest."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def saved(tmp_path, content, **options):
    torch.save(content, tmp_path / "in.pt", **options)
    return tmp_path / "in.pt"


def read(tmp_path, content, key=None, **options):
    return read_state_dict(saved(tmp_path, content, **options), key)


def is_weights(state, expected=WEIGHTS):
    return state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_stands_beside_the_weights_is_left_out_and_never_run(tmp_path, legacy):
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    content = {
        "args": argparse.Namespace(lr=0.1, hosts=["a"]),
        "best": np.float64(0.91),
        "history": np.arange(3),
        "state_dict": WEIGHTS,
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "hook": Touch(str(tmp_path / "touched")),
    }
    state, notes = read(tmp_path, content, _use_new_zipfile_serialization=not legacy)
    assert is_weights(state) and not os.path.exists(tmp_path / "touched")
    assert notes[0] == "took the entry state_dict"
    assert "left out what is no tensor (" in notes[1] and "argparse.Namespace" in notes[1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (WEIGHTS, []),
        ({"model": WEIGHTS, "ema": OTHER}, ["took the entry model, not ema, which --key would take"]),
        ({"ema": OTHER, "state_dict": WEIGHTS}, ["took the entry state_dict, not ema, which --key would take"]),
        ({"mine": WEIGHTS}, ["took the entry mine"]),
        ({"outer": {"net": WEIGHTS}, "loss": torch.zeros(4)}, ["took the entry outer.net"]),
        ({"model": {f"module.{name}": tensor for name, tensor in WEIGHTS.items()}}, None),
        ({**WEIGHTS, "_extra_state": None}, ["left out 1 entries that are no tensors, such as '_extra_state'"]),
    ],
)
def test_the_weights_are_found_and_it_is_said_where(tmp_path, content, told):
    state, notes = read(tmp_path, content)
    assert is_weights(state) and told in (None, notes)


def test_a_key_takes_another_entry(tmp_path):
    content = {"model": WEIGHTS, "ema": {"shadow": OTHER}}
    assert is_weights(read(tmp_path, content, "ema.shadow")[0], OTHER)
    with pytest.raises(InputError, match=r"has no entry 'emma'; name model or ema.shadow, by --key"):
        read(tmp_path, content, "emma")


def test_where_several_may_be_meant_they_are_listed(tmp_path):
    with pytest.raises(InputError, match="several entries may be meant; name left or right, by --key"):
        read(tmp_path, {"left": WEIGHTS, "right": OTHER})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([WEIGHTS], "took the entry 0"),
        ((torch.optim.SGD(nn.Linear(3, 2).parameters(), 0.1, 0.9).state_dict(), {"net": WEIGHTS}), "the entry 1.net"),
    ],
)
def test_weights_in_a_list_are_found_by_their_number(tmp_path, content, told):
    state, notes = read(tmp_path, content)
    assert is_weights(state) and told in notes[0]
    with pytest.raises(InputError, match="several entries may be meant; name 0 or 1, by --key"):
        read(tmp_path, [WEIGHTS, OTHER])
    assert is_weights(read(tmp_path, [WEIGHTS, OTHER], key="1")[0], OTHER)


def test_what_torch_pruning_saves_of_modules_is_named(tmp_path):
    """Each layer's insides looked like an entry that may be meant."""
    layers = {name: {"_parameters": {"weight": torch.ones(2, 2)}, "_buffers": {}} for name in "ab"}
    with pytest.raises(InputError, match=r"is of torch_pruning\.state_dict, .*torch\.save\(model\.state_dict\(\)"):
        read(tmp_path, {"full_state_dict": layers, "attributes": {}})


@pytest.mark.parametrize(("name", "told"), [("half\udc80", r"'half\\udc80'"), (7, "7")])
def test_a_name_that_no_file_of_weights_can_hold_is_told(tmp_path, name, told):
    with pytest.raises(InputError, match=f"{told} is no name that a file of weights can hold"):
        read(tmp_path, {**WEIGHTS, name: torch.ones(1)})


def test_masks_of_torch_are_multiplied_in(tmp_path):
    layer = nn.Linear(3, 2)
    prune.l1_unstructured(layer, "weight", 0.5)
    count, numbers, notes = convert(saved(tmp_path, layer.state_dict()), tmp_path / "out.safetensors")
    assert (count, numbers) == (2, 8) and "multiplied 1 weights" in notes[0]
    found = load_file(tmp_path / "out.safetensors")
    assert torch.equal(found["weight"], layer.weight) and int((found["weight"] == 0).sum()) == 3
    assert notes_in(tmp_path / "out.safetensors") == notes


@pytest.mark.parametrize("told", [{}, {KEY: "["}, {KEY: "1"}, {KEY: "[1]"}, {KEY: '{"a": "b"}'}])
def test_a_header_of_others_tells_no_notes(tmp_path, told):
    safetensors.torch.save_file(WEIGHTS, tmp_path / "a.safetensors", metadata=told)
    assert notes_in(tmp_path / "a.safetensors") == []


def runnable(tmp_path, message, monkeypatch):
    """Run the lines of Python in a message; the state_dict that they leave."""
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in message.splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    exec("\n".join(lines), {})
    return read_state_dict(tmp_path / "weights.pt")[0]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 2)
        self.a.load_state_dict({name.removeprefix("a."): tensor for name, tensor in WEIGHTS.items()})

    def forward(self, x):
        return self.a(x)


def test_a_pickled_module_is_refused_with_the_lines_that_make_a_state_dict(tmp_path, monkeypatch):
    path = saved(tmp_path, Net())
    with pytest.raises(InputError, match="is a whole pickled Net, which is code") as told:
        read_state_dict(path)
    assert is_weights(runnable(tmp_path, str(told.value), monkeypatch))


def test_a_pickled_module_under_a_key_is_told(tmp_path):
    with pytest.raises(InputError, match="its model is a pickled Net, which is code"):
        read(tmp_path, {"model": Net()}, "model")
    with pytest.raises(InputError, match=r"holds no state_dict.* its entry model is a pickled object, which is code"):
        read(tmp_path, {"model": Net(), "epoch": 1})


def test_torchscript_is_refused_with_the_lines_that_make_a_state_dict(tmp_path, monkeypatch):
    torch.jit.script(Net()).save(str(tmp_path / "in.pt"))
    with pytest.raises(InputError, match="is a TorchScript program") as told:
        read_state_dict(tmp_path / "in.pt")
    assert is_weights(runnable(tmp_path, str(told.value), monkeypatch))


def test_an_exported_program_is_refused_with_the_lines_that_make_a_state_dict(tmp_path, monkeypatch):
    torch.export.save(torch.export.export(Net(), (torch.ones(2, 3),)), tmp_path / "in.pt2")
    with pytest.raises(InputError, match=r"is a program of torch\.export") as told:
        read_state_dict(tmp_path / "in.pt2")
    assert is_weights(runnable(tmp_path, str(told.value), monkeypatch))


def test_quantized_tensors_are_named_for_what_they_are(tmp_path):
    quantized = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    with pytest.raises(InputError, match=r"'w' is quantized by torch\.ao"):
        read(tmp_path, {"w": quantized})


def test_a_file_of_nothing_but_kinds_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("squeezeproof.models.torch_files.MOST_KINDS", 1)
    with pytest.raises(InputError, match="holds more than 1 kinds of objects"):
        read(tmp_path, {"a": argparse.Namespace(), "b": np.float32(1), "w": torch.ones(2)})


class Named(dict):
    """A mapping with attributes, as programs keep their settings in."""

    __getattr__ = dict.get


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": WEIGHTS, "cfg": Named(model=Named(width=2))},
        Named(state_dict=WEIGHTS),
        defaultdict(dict, {"model": WEIGHTS, "history": defaultdict(list, {"loss": [1.0]})}),
    ],
)
def test_mappings_of_other_kinds_are_looked_into(tmp_path, content):
    assert is_weights(read(tmp_path, content)[0])


def test_sparse_tensors_become_dense(tmp_path):
    layer = nn.Linear(30, 20)
    prune.l1_unstructured(layer, "weight", 0.9)
    prune.remove(layer, "weight")
    for sparse in (layer.weight.detach().to_sparse(), layer.weight.detach().to_sparse_csr()):
        state, notes = read(tmp_path, {"weight": sparse})
        assert torch.equal(state["weight"], layer.weight) and notes == ["made 1 sparse tensors dense, such as 'weight'"]


def test_a_file_that_was_altered_is_noticed(tmp_path):
    path = saved(tmp_path, {"weight": torch.ones(100, 100)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged: its .*data/0 is not what was written"):
        read_state_dict(path)


def test_a_file_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        assert is_weights(read(tmp_path, WEIGHTS)[0])
    finally:
        torch.serialization.set_crc32_options(True)


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "`git lfs pull` fetches"),
        (b'{"error": "not found"}', "is a text, which begins"),
        (gzip.compress(b"weights", mtime=0), "is packed by gzip; unpack it"),
        (zipped("weights.pt", b"0"), "is a zip archive and no torch file; unpack it"),
        (safetensors.torch.save({"weight": torch.ones(2)}), r"is a \.safetensors file by its content"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "as Keras writes them; convert the model"),
        (bytes(range(256)), "truncated, altered or no torch file; copy or download it again"),
    ],
)
def test_what_is_no_torch_file_is_named_for_what_it_is(tmp_path, content, told):
    (tmp_path / "in.pt").write_bytes(content)
    with pytest.raises(InputError, match=rf"in\.pt: .*{told}"):
        read_state_dict(tmp_path / "in.pt")
    assert (tmp_path / "in.pt").read_bytes() == content


ARRAYS = {name: tensor.numpy() for name, tensor in WEIGHTS.items()}


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (lambda path: torch.save(ARRAYS, path), "holds numpy arrays"),
        (lambda path: torch.save({"epoch": 1, "model": ARRAYS}, path), "holds numpy arrays"),
        (lambda path: torch.save({"model": Net(), "epoch": 1}, path), "its entry model is a pickled object"),
        (lambda path: torch.save(WEIGHTS, path, pickle_protocol=4), "is not written as torch.save writes by itself"),
        (lambda path: path.write_bytes(pickle.dumps(ARRAYS)), "is a pickle that torch.save did not write"),
    ],
)
def test_what_torch_reads_by_code_alone_has_the_lines_that_make_a_state_dict(tmp_path, monkeypatch, save, told):
    save(tmp_path / "in.pt")
    with pytest.raises(InputError, match=told) as error:
        read_state_dict(tmp_path / "in.pt")
    assert is_weights(runnable(tmp_path, str(error.value), monkeypatch))


def test_what_is_made_by_code_alone_is_named(tmp_path):
    with pytest.raises(InputError, match=r"holds collections\.deque, of which something is made that is no tensor"):
        read(tmp_path, {**WEIGHTS, "seen": deque([1])})


@pytest.mark.parametrize("content", [[1, torch.ones(2)], torch.ones(2), None, {}])
def test_a_file_without_a_state_dict_says_what_it_holds(tmp_path, content):
    with pytest.raises(InputError, match=f"but a {type(content).__name__}; save one by torch.save"):
        read(tmp_path, content)


def test_tensors_without_values_or_of_too_many_are_refused(tmp_path):
    with pytest.raises(InputError, match="'weight' has no values"):
        read(tmp_path, {"weight": torch.empty(2, 2, device="meta")})
    with pytest.raises(InputError, match="numbers, more than"):
        read(tmp_path, {"weight": torch.zeros(1).expand(2_000_000_000)})


def test_a_dynamically_quantized_layer_is_named_for_what_it_is(tmp_path):
    quantized = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
    torch.ao.quantization.quantize_dynamic(quantized, {nn.Linear}, inplace=True)
    with pytest.raises(InputError, match=r"'1\._packed_params\.dtype' is quantized by torch\.ao"):
        read(tmp_path, quantized.state_dict())


@pytest.mark.parametrize(
    "content",
    [
        {"w": torch.ones(3, 3).to_sparse_csr()},
        {"w": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)},
    ],
)
def test_what_torch_says_of_its_own_kinds_of_tensors_is_not_shown(tmp_path, content):
    path = saved(tmp_path, content)
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as shown, suppress(InputError):
            warnings.simplefilter("always")
            read_state_dict(path)
    finally:
        torch.set_warn_always(False)
    assert [str(one.message) for one in shown] == []
