"""Checkpoints: bit for bit what was saved, without pickle, and a file at fault is named with its fault."""

import pickle
import re

import numpy as np
import pytest
import torch
from model_examples import EXAMPLES, assert_same_tensors, custom_spec, model_of, pixels_of, shape_of, spec_of
from safetensors.torch import save_file
from torch import nn

from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.checkpoints import check_rebuilds, load_model, load_weights, save_model
from squeezeproof.runtime import place
from squeezeproof.store.tensors import fingerprint, read_arrays, read_metadata, write_tensors


def dense(model, shape):
    return {}


def pruned(fraction, scope="layer"):
    def prune(model, shape):
        options = {"importance": "l1", "scope": scope, "measure": "channels", "final": False}
        prune_filters(model, shape, dense_sizes(model, shape), fraction, **options)
        return {}

    return prune


def masked(model, shape):
    return prune_weights(model, 0.5, scope="layer")


STATES = {
    "dense": dense,
    "half": pruned(0.5),
    "uneven": pruned(0.6, "global"),
    "one filter a layer": pruned(0.99),
    "masked": masked,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_checkpoint_rebuilds_the_model_bit_for_bit(tmp_path, name, state):
    spec = EXAMPLES[name]
    model = model_of(spec)
    masks = STATES[state](model, shape_of(spec))
    save_model(tmp_path / "model", model, spec, masks)
    loaded, loaded_masks, metadata = load_model(tmp_path / "model")
    assert_same_tensors(loaded.state_dict(), model.state_dict())
    assert_same_tensors(loaded_masks, masks)
    assert metadata["specification"] == spec
    pixels = pixels_of(spec)
    assert torch.equal(loaded(pixels), place(model, "cpu")(pixels))
    assert not any(module.training for module in loaded.modules())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_layers_of_a_rebuilt_model_know_their_sizes(tmp_path, name):
    spec = EXAMPLES[name]
    model = model_of(spec)
    pruned(0.5)(model, shape_of(spec))
    save_model(tmp_path / "model", model, spec)
    for module in load_model(tmp_path / "model")[0].modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels, module.in_channels // module.groups)
        elif isinstance(module, nn.Linear):
            assert module.weight.shape == (module.out_features, module.in_features)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.shape == module.running_mean.shape == (module.num_features,)


def test_a_loaded_model_can_be_pruned_further_and_saved_again(tmp_path):
    spec = EXAMPLES["depthwise_separable"]
    model, shape = model_of(spec), shape_of(spec)
    sizes = dense_sizes(model, shape)
    for fraction in (0.5, 0.95, 0.97):
        prune_filters(model, shape, sizes, fraction, importance="l1", scope="layer", measure="channels")
        save_model(tmp_path / "model", model, spec)
        loaded, _, _ = load_model(tmp_path / "model")
        assert_same_tensors(loaded.state_dict(), model.state_dict())
        model = loaded


def test_a_checkpoint_carries_further_facts(tmp_path):
    model = model_of(EXAMPLES["flattened"])
    save_model(tmp_path / "model", model, EXAMPLES["flattened"], name="base", size={"parameters": 7})
    _, _, metadata = load_model(tmp_path / "model")
    assert (metadata["kind"], metadata["name"], metadata["size"]) == ("model", "base", {"parameters": 7})


def test_a_checkpoint_says_which_versions_computed_it(tmp_path):
    model = model_of(EXAMPLES["flattened"])
    save_model(tmp_path / "model", model, EXAMPLES["flattened"])
    metadata = read_metadata(tmp_path / "model")
    assert metadata["made_with"] == f"numpy {np.__version__}, torch {torch.__version__}"
    # As earlier versions of this program wrote it.
    arrays = read_arrays(tmp_path / "model")
    write_tensors(tmp_path / "old", arrays, {key: value for key, value in metadata.items() if key != "made_with"})
    assert_same_tensors(load_model(tmp_path / "old")[0].state_dict(), model.state_dict())


def test_the_fingerprint_follows_the_tensors_alone(tmp_path):
    def saved(model, spec, masks=None, **record):
        save_model(tmp_path / "model", model, spec, masks, **record)
        return read_metadata(tmp_path / "model")["fingerprint"]

    spec = EXAMPLES["flattened"]
    model = model_of(spec)
    first = saved(model, spec)
    assert saved(model_of(spec), spec, name="other") == first
    assert saved(model_of(spec, seed=1), spec) != first
    assert saved(model, spec, {"network.0.weight": torch.ones(8, 1, 3, 3, dtype=torch.bool)}) != first


def test_the_same_model_makes_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        save_model(tmp_path / name, model_of(EXAMPLES["cnn8"]), EXAMPLES["cnn8"])
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_loading_neither_draws_from_nor_moves_the_global_generator(saved):
    before = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_pickled(saved, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    model, _, metadata = load_model(saved)
    save_model(saved, model, metadata["specification"])
    load_model(saved)


# Files at fault


SPEC = spec_of("cnn8", width=1)


@pytest.fixture
def saved(tmp_path):
    """The path of a small model's checkpoint."""
    save_model(tmp_path / "model", model_of(SPEC), SPEC, name="base")
    return tmp_path / "model"


def refused(path, problem=""):
    with pytest.raises(InputError, match=f"(?s){re.escape(str(path))}: {problem}"):
        load_model(path)


def rewrite(path, change, resign=True):
    """Change a checkpoint's arrays and metadata by change(arrays, metadata); its fingerprint follows by default."""
    arrays, metadata = read_arrays(path), read_metadata(path)
    change(arrays, metadata)
    if resign:
        metadata["fingerprint"] = fingerprint(*(arrays[name] for name in sorted(arrays)))
    write_tensors(path, arrays, metadata)


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "model", "there is no such file")


@pytest.mark.parametrize("content", [b"", b"model", b"\x80\x04K\x01.", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    (tmp_path / "model").write_bytes(content)
    refused(tmp_path / "model", "not a readable safetensors file")


def test_a_foreign_safetensors_file_is_named(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model")
    refused(tmp_path / "model", "a safetensors file, but not one of SqueezeProof's")


def test_another_kind_of_file_is_named(saved):
    rewrite(saved, lambda arrays, metadata: metadata.update(kind="dataset"))
    refused(saved, "holds a 'dataset', a 'model' is needed here")


def test_truncated_files_are_named(saved):
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for length in (0, 4, 8, 100, header - 1, header, header + 1, len(content) - 1):
        saved.write_bytes(content[:length])
        refused(saved, "not a readable safetensors file, truncated or altered")


def test_any_flipped_byte_of_the_header_is_named_or_harmless(saved):
    content = saved.read_bytes()
    expected = load_model(saved)[0].state_dict()
    header = 8 + int.from_bytes(content[:8], "little")
    harmless = 0
    for position in [*range(8), *range(8, header, 7)]:
        altered = bytearray(content)
        altered[position] ^= 1
        saved.write_bytes(altered)
        try:
            loaded, _, _ = load_model(saved)
        except InputError as error:
            assert str(saved) in str(error)
        else:
            harmless += 1
            assert_same_tensors(loaded.state_dict(), expected)
    # Facts that rebuilding does not need, such as the digits of a size or a class's name, may pass.
    assert harmless < 0.2 * (header / 7)


def test_any_flipped_byte_of_the_tensors_is_named(saved):
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for position in range(header, len(content), (len(content) - header) // 20):
        altered = bytearray(content)
        altered[position] ^= 1
        saved.write_bytes(altered)
        refused(saved, r"its [\w.]+ is not what was written; remove it and run again")


def test_altered_metadata_is_named(saved):
    content = saved.read_bytes()
    saved.write_bytes(content.replace(b'{\\"fingerprint', b'[\\"fingerprint'))
    refused(saved, "its metadata was altered")


def drop(name):
    return lambda arrays, metadata: arrays.pop(name)


def add(name, array_of):
    return lambda arrays, metadata: arrays.update({name: arrays[array_of]})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (drop("network.conv3.bias"), r'Missing key\(s\).*"network.conv3.bias"'),
        (drop("normalize.mean"), r'Missing key\(s\).*"normalize.mean"'),
        (add("network.conv9.bias", "network.conv1.bias"), r'Unexpected key\(s\).*"network.conv9.bias"'),
        (add("network.conv1.bias", "network.conv6.bias"), "size mismatch for network.conv1.bias"),
    ],
    ids=["missing weight", "missing normalisation", "extra", "other shape"],
)
def test_tensors_that_do_not_fit_are_named(saved, change, problem):
    rewrite(saved, change)
    refused(saved, f"cannot be rebuilt from its specification {{.*{problem}")


def test_tensors_changed_without_their_fingerprint_are_refused(saved):
    rewrite(saved, drop("network.conv3.bias"), resign=False)
    refused(saved, "its tensors are not those that were saved; remove it and run again")


def test_layers_that_do_not_fit_each_other_are_named(saved):
    def change(arrays, metadata):
        arrays["network.conv3.weight"] = arrays["network.conv3.weight"][:1].copy()
        arrays["network.conv3.bias"] = arrays["network.conv3.bias"][:1].copy()

    rewrite(saved, change)
    refused(saved, "cannot be rebuilt .* channels")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (spec_of("resnet18", width=4), r"Missing key\(s\)"),
        (spec_of("cnn3", size=28, width=1), r"Missing key\(s\)"),
        (custom_spec("flattened"), r"Missing key\(s\)"),
        (custom_spec("no_such_network"), "AttributeError: .*no_such_network"),
        ({**SPEC, "num_classes": 7}, "it tells 10 classes apart, not 7"),
        ({**SPEC, "in_channels": 3}, "channels"),
        ({**SPEC, "image_size": 28}, "mat1 and mat2"),
        ({**SPEC, "architecture": {"kind": "cnn5"}}, "'cnn5'"),
        ({}, "'architecture'"),
        (None, "not subscriptable"),
    ],
    ids=["resnet18", "cnn3", "custom", "gone", "classes", "channels", "size", "unknown kind", "empty", "null"],
)
def test_a_specification_that_does_not_fit_is_named(saved, spec, problem):
    rewrite(saved, lambda arrays, metadata: metadata.update(specification=spec))
    refused(saved, f"cannot be rebuilt from its specification .*{problem}")


def test_a_checkpoint_without_a_specification_is_named(saved):
    rewrite(saved, lambda arrays, metadata: metadata.pop("specification"))
    refused(saved, "cannot be rebuilt from its specification null: 'specification'")


# Foreign weights


def test_foreign_weights_start_the_network_and_leave_the_normalisation(tmp_path):
    spec = EXAMPLES["depthwise_separable"]
    theirs, ours = model_of(spec, seed=1), model_of(spec, seed=2)
    theirs.normalize.mean.add_(1)
    save_file(theirs.network.state_dict(), tmp_path / "weights")
    normalization = {name: tensor.clone() for name, tensor in ours.normalize.state_dict().items()}
    load_weights(ours, tmp_path / "weights")
    assert_same_tensors(ours.network.state_dict(), theirs.network.state_dict())
    assert_same_tensors(ours.normalize.state_dict(), normalization)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensors: {f"{name}.a": tensor for name, tensor in tensors.items()}, "it lacks 0.weight"),
        (lambda tensors: {**tensors, "head.weight": torch.zeros(3)}, r"the network has no head\.weight\. Name the"),
        (lambda tensors: {**tensors, "0.bias": torch.zeros(3)}, r"of another shape are 0\.bias \(3, there \d+\)"),
    ],
    ids=["other names", "extra", "other shape"],
)
def test_foreign_weights_that_do_not_fit_are_named(tmp_path, change, problem):
    model = model_of(EXAMPLES["flattened"])
    save_file(change(model.network.state_dict()), tmp_path / "weights")
    with pytest.raises(InputError, match=rf"weights: does not fit the network: (?s:.*){problem}"):
        load_weights(model, tmp_path / "weights")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensor: (tensor * 100).to(torch.int8), "of the type int8 are 0.weight"),
        (lambda tensor: tensor.to(torch.complex64), "of the type complex64 are 0.weight"),
        (lambda tensor: tensor * torch.nan, "numbers that are not finite are in 0.weight"),
        (lambda tensor: (tensor * 1e6).half(), "too large for float16"),
    ],
)
def test_numbers_that_are_no_weights_are_refused(tmp_path, change, problem):
    model = model_of(EXAMPLES["flattened"])
    save_file({name: change(tensor) for name, tensor in model.network.state_dict().items()}, tmp_path / "weights")
    with pytest.raises(InputError, match=f"weights: .*{problem}"):
        load_weights(model, tmp_path / "weights")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_kinds_of_floats_are_computed_in_float32_and_it_is_said(tmp_path, dtype):
    model, expected = model_of(EXAMPLES["flattened"]), model_of(EXAMPLES["flattened"], seed=5).network.to(dtype)
    save_file(expected.state_dict(), tmp_path / "weights")
    assert load_weights(model, tmp_path / "weights") == [f"holds {str(dtype)[6:]}, which becomes float32"]
    assert_same_tensors(model.network.state_dict(), expected.float().state_dict())


def test_foreign_weights_that_cannot_be_read_are_named(tmp_path):
    model = model_of(EXAMPLES["flattened"])
    torch.save(model.network.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights\.pt: not a readable safetensors file"):
        load_weights(model, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights: there is no such file"):
        load_weights(model, tmp_path / "weights")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named_and_not_taken_for_another_fault(tmp_path, value):
    model = model_of(spec_of("cnn8", width=8))
    model.network.conv3.weight.data[0, 0, 0, 0] = value
    save_model(tmp_path / "model", model, spec_of("cnn8", width=8))
    with pytest.raises(InputError, match=r"model: network\.conv3\.weight: holds numbers that are not finite"):
        check_rebuilds(tmp_path / "model", model)
