"""Stored files: equal to the bit when read, refused by name when damaged."""

import re
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from store_examples import run_python

from squeezeproof.errors import InputError
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.datasets import open_set, read_split, to_pixels
from squeezeproof.store.predictions import read_predictions, save_predictions
from squeezeproof.store.tensors import fingerprint, read_arrays, read_metadata, write_tensors

# --- Tensor files

DTYPES = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def random_bits(dtype, shape):
    """An array of random bit patterns, every NaN and infinity included."""
    dtype, rng = np.dtype(dtype), np.random.default_rng(0)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_come_back_equal_to_the_bit(tmp_path, dtype):
    path = tmp_path / "file.safetensors"
    arrays = {str(shape): random_bits(dtype, shape) for shape in [(), (0,), (0, 3, 2), (5,), (2, 3, 4), (1000,)]}
    write_tensors(path, arrays, {})
    found = read_arrays(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    tensors = read_arrays(path, framework="pt")
    for name, array in arrays.items():
        assert tensors[name].numpy().tobytes() == array.tobytes()


VIEWS = {
    "transposed": lambda array: array.T,
    "Fortran": np.asfortranarray,
    "strided": lambda array: array[::2, ::3],
    "reversed": lambda array: array[::-1],
    "broadcast": lambda array: np.broadcast_to(array[:1], (7, 8)),
    "channels last": lambda array: array.reshape(2, 2, 2, 6).transpose(0, 3, 1, 2),
}


@pytest.mark.parametrize("view", VIEWS)
def test_arrays_of_any_strides_are_written_as_they_read(tmp_path, view):
    """safetensors alone would write the memory behind a view, in its order there."""
    array = VIEWS[view](np.arange(48.0).reshape(6, 8))
    assert not array.flags.c_contiguous
    write_tensors(tmp_path / "file.safetensors", {"x": array}, {})
    np.testing.assert_array_equal(read_arrays(tmp_path / "file.safetensors")["x"], array)


def test_big_endian_arrays_keep_their_values(tmp_path):
    write_tensors(tmp_path / "file.safetensors", {"x": np.arange(5, dtype=">i4")}, {})
    assert read_arrays(tmp_path / "file.safetensors")["x"].tolist() == [0, 1, 2, 3, 4]


def test_metadata_come_back(tmp_path):
    metadata = {"kind": "test", "text": 'ünï "quoted"\n\\', "none": None, "list": [1, 0.1, True], "nested": {"a": [{}]}}
    write_tensors(tmp_path / "file.safetensors", {"x": np.arange(3)}, metadata)
    assert read_metadata(tmp_path / "file.safetensors", "test") == metadata


def test_the_same_content_gives_the_same_bytes(tmp_path):
    arrays = {"x": np.arange(3), "y": np.zeros((2, 2), bool)}
    write_tensors(tmp_path / "first", arrays, {"a": 1, "b": 2})
    write_tensors(tmp_path / "second", dict(reversed(arrays.items())), {"b": 2, "a": 1})
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_reads_the_named_arrays_only(tmp_path):
    path = tmp_path / "file.safetensors"
    write_tensors(path, {name: np.arange(3) for name in "abc"}, {})
    assert list(read_arrays(path, ["c", "a"])) == ["c", "a"]
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: has no d, e; it holds a, b, c"):
        read_arrays(path, ["a", "d", "e"])


def test_tables_and_jobs_load_no_torch():
    modules = ("store.predictions", "store.tensors", "statistics.intervals", "jobs", "seeds")
    code = f"import sys\nimport squeezeproof.{', squeezeproof.'.join(modules)}\nassert 'torch' not in sys.modules"
    done = run_python(code)
    assert done.returncode == 0, done.stderr


# --- Fingerprints


def test_fingerprints_tell_order_shape_type_and_content_apart():
    base = np.arange(6, dtype=np.int32)
    changed = base.copy()
    changed[-1] ^= 1
    variants = {
        "base": [base],
        "content": [changed],
        "order": [base[::-1]],
        "shape": [base.reshape(2, 3)],
        "transposed": [base.reshape(2, 3).T],
        "type": [base.astype(np.uint32)],
        "wider": [base.astype(np.int64)],
        "bytes": [base.view(np.uint8)],
        "cut": [base[:3], base[3:]],
        "cut elsewhere": [base[:2], base[2:]],
        "swapped": [base[3:], base[:3]],
        "empty": [base[:0]],
        "empty of another shape": [base[:0].reshape(0, 3)],
        "with an empty one": [base, base[:0]],
        "none": [],
    }
    digests = {name: fingerprint(*arrays) for name, arrays in variants.items()}
    assert [(a, b) for a, b in combinations(digests, 2) if digests[a] == digests[b]] == []
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests.values())


@pytest.mark.parametrize("view", VIEWS)
def test_fingerprints_do_not_see_strides(view):
    array = VIEWS[view](np.arange(48.0).reshape(6, 8))
    assert fingerprint(array) == fingerprint(np.array(array, order="C"))


# --- Readers of each kind, and damaged files

CLASSES = ["cat", "dog"]
SPLIT = {"fingerprint": "0" * 64, "classes": CLASSES}


def write_split(path):
    arrays = {"images": np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2), "labels": np.array([1, 0])}
    write_tensors(path, arrays, {"kind": "dataset", "classes": CLASSES, "fingerprint": fingerprint(*arrays.values())})


def crafted():
    generator = torch.Generator().manual_seed(0)
    return {
        "adversarial": torch.rand(5, 3, 4, 4, generator=generator),
        "labels": torch.tensor([0, 1, 1, 0, 1]),
        "predictions": torch.tensor([0, 0, 1, 1, 0]),
        "norm": torch.rand(5, generator=generator),
    }


def write_set(path):
    metadata = {"source": "cnn3", "attack": "pgd-eps0.1", "entry": "pgd", "seconds": 1.5}
    save_set(path, crafted(), {"method": "pgd", "eps": 0.1}, metadata, {"fingerprint": "1" * 64}, SPLIT)


def predicted():
    return {"clean": torch.tensor([0, 1, 1]), "pgd-eps8of255": torch.tensor([1, 1, 0])}


def write_predictions(path):
    names = SimpleNamespace(dataset="mnist", target="pruned", source="base")
    attacks, checkpoint = {"pgd-eps8of255": {"eps": 8 / 255}}, {"fingerprint": "2" * 64}
    save_predictions(path, torch.tensor([0, 1, 0]), predicted(), names, attacks, checkpoint, SPLIT)


KINDS = {
    "dataset": (write_split, read_split),
    "adversarial": (write_set, lambda path: open_set(path, SPLIT)),
    "predictions": (write_predictions, read_predictions),
}


@pytest.fixture(params=KINDS)
def stored(request, tmp_path):
    """(path, reader) of a file of each kind."""
    write, read = KINDS[request.param]
    path = tmp_path / f"{request.param}.safetensors"
    write(path)
    return path, read


def refusal(read, path):
    """The message of the InputError that reading ends in, which names the path."""
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_truncated_file_is_named(stored):
    path, read = stored
    content = path.read_bytes()
    for length in [*range(0, len(content), 13), len(content) - 1]:
        path.write_bytes(content[:length])
        assert "truncated or altered" in refusal(read, path)


def test_a_header_with_a_flipped_bit_is_refused(stored):
    """Most flips break the header; those that leave it well-formed change a name or a number in it.

    Also the name of an array that this reader does not need.
    """
    path, read = stored
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for position in range(64, 8 * header, 5):
        altered = bytearray(content)
        altered[position // 8] ^= 1 << position % 8
        path.write_bytes(altered)
        refusal(read, path)


def test_other_kinds_are_refused_by_name(stored):
    path, _ = stored
    for kind, (_, read) in KINDS.items():
        if kind != path.stem:
            assert f"holds a '{path.stem}', a '{kind}' is needed here" in refusal(read, path)


def test_foreign_files_are_refused_by_name(stored, tmp_path):
    _, read = stored
    path = tmp_path / "foreign"
    assert "there is no such file" in refusal(read, path)
    path.write_bytes(b"\x80\x04K\x01.")
    assert "not a readable safetensors file" in refusal(read, path)
    for metadata in (None, {"format": "pt"}):
        save_file({"images": np.arange(3), "labels": np.arange(3)}, path, metadata=metadata)
        assert "not one of SqueezeProof's" in refusal(read, path)
    assert "not a readable safetensors file" in refusal(read, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_lacks_its_arrays_is_named(tmp_path, kind):
    path = tmp_path / "file.safetensors"
    metadata = dict.fromkeys(
        ("attack", "entry", "dataset", "target", "source", "fingerprint", "target_fingerprint"), ""
    )
    metadata |= {"settings": {}, "attacks": {}, "classes": [], "scored": {}}
    write_tensors(path, {"other": np.arange(3)}, {**metadata, "kind": kind, "clean_fingerprint": SPLIT["fingerprint"]})
    assert "has no " in refusal(KINDS[kind][1], path)


def test_a_split_comes_back(tmp_path):
    write_split(tmp_path / "split.safetensors")
    images, labels, metadata = read_split(tmp_path / "split.safetensors")
    assert images.dtype == torch.uint8 and labels.dtype == torch.int64
    assert images.flatten().tolist() == list(range(24)) and labels.tolist() == [1, 0]
    assert metadata["shape"] == [3, 2, 2] and metadata["classes"] == CLASSES
    assert metadata["fingerprint"] == fingerprint(images.numpy(), labels.numpy())


def test_pixels_are_the_levels_divided_by_255():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    pixels = to_pixels(levels, "cpu")
    assert pixels.dtype == torch.float32 and pixels.min() == 0 and pixels.max() == 1
    np.testing.assert_array_equal(pixels.flatten().numpy(), np.arange(256, dtype=np.float32) / np.float32(255))
    assert levels.flatten().tolist() == list(range(256))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_an_adversarial_set_comes_back(tmp_path, memory):
    tensors = crafted()
    stored = {**tensors, "adversarial": tensors["adversarial"].contiguous(memory_format=memory)}
    path = tmp_path / "set.safetensors"
    save_set(
        path,
        stored,
        {"eps": 0.1},
        {"attack": "pgd", "entry": "pgd", "source": "cnn3"},
        {"fingerprint": "source"},
        SPLIT,
    )
    adversarial, metadata = open_set(path, SPLIT)
    assert adversarial.shape == (5, 3, 4, 4)
    assert torch.equal(adversarial[:], tensors["adversarial"])
    assert torch.equal(adversarial[1:4], tensors["adversarial"][1:4])
    arrays = read_arrays(path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy())
    assert metadata["successes"] == 3
    assert metadata["made_with"] == f"numpy {np.__version__}, torch {torch.__version__}"
    assert (metadata["attack"], metadata["source"], metadata["settings"]) == ("pgd", "cnn3", {"eps": 0.1})
    assert (metadata["clean_fingerprint"], metadata["source_fingerprint"]) == (SPLIT["fingerprint"], "source")


def test_a_set_of_other_clean_images_is_refused(tmp_path):
    path = tmp_path / "set.safetensors"
    write_set(path)
    other = {**SPLIT, "fingerprint": "f" * 64}
    assert "crafted from other images" in refusal(lambda path: open_set(path, other), path)


def test_predictions_come_back(tmp_path):
    path = tmp_path / "predictions.safetensors"
    write_predictions(path)
    labels, predictions, metadata = read_predictions(path)
    assert labels.tolist() == [0, 1, 0]
    assert {name: values.tolist() for name, values in predictions.items()} == {
        "clean": [0, 1, 1],
        "pgd-eps8of255": [1, 1, 0],
    }
    assert (metadata["dataset"], metadata["target"], metadata["source"]) == ("mnist", "pruned", "base")
    assert metadata["attacks"]["pgd-eps8of255"]["eps"] == 8 / 255
    assert (metadata["target_fingerprint"], metadata["clean_fingerprint"]) == ("2" * 64, SPLIT["fingerprint"])
    assert metadata["classes"] == CLASSES
