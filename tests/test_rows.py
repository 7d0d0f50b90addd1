"""Arrays that are written and read a part at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from squeezeproof.errors import InputError
from squeezeproof.store import rows as rows_module
from squeezeproof.store.rows import JoinedRows, PickedRows, StoredRows, parts
from squeezeproof.store.tensors import (
    fingerprint,
    open_array,
    open_rows,
    read_arrays,
    read_metadata,
    verify,
    write_tensors,
)

# --- The file format, written in parts

DTYPES = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
specifications = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=5),
    st.tuples(st.sampled_from(DTYPES), shapes),
    max_size=6,
)


def random_array(dtype, shape):
    content = np.random.default_rng(0).integers(0, 2, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    return content.view(dtype).reshape(shape)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@given(specifications, st.text(max_size=10))
def test_the_bytes_are_those_that_safetensors_writes(scratch, specification, text):
    arrays = {name: random_array(*kind) for name, kind in specification.items() if name != "__metadata__"}
    write_tensors(scratch / "ours", arrays, {"text": text})
    with safe_open(scratch / "ours", "numpy") as opened:
        save_file(arrays, scratch / "theirs", metadata=opened.metadata())
    assert (scratch / "ours").read_bytes() == (scratch / "theirs").read_bytes()
    verify(scratch / "ours")
    assert read_metadata(scratch / "ours") == {"text": text}


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 64), st.data())
def test_rows_are_those_of_the_array(scratch, count, width, part, data):
    array = np.random.default_rng(count).integers(0, 2**30, (count, width, 2), dtype=np.int32)
    write_tensors(scratch / "file", {"other": array[:1], "x": array, "y": array[:, 0, 0]}, {})
    ends = st.integers(0, count)
    first, last = sorted([data.draw(ends), data.draw(ends)])
    picked = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=7)), dtype=int)
    for name, truth in (("x", array), ("y", array[:, 0, 0])):
        stored = open_array(scratch / "file", name)
        assert isinstance(stored, StoredRows) and len(stored) == count and stored.dtype == truth.dtype
        halves = JoinedRows([open_rows(scratch / "file", name), truth, stored])
        chosen = PickedRows(stored, picked)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows_module, "PART_ROWS", part)
            for rows, expected in ((stored, truth), (halves, np.concatenate([truth] * 3)), (chosen, truth[picked])):
                np.testing.assert_array_equal(rows[first:last], expected[first:last])
                np.testing.assert_array_equal(np.concatenate(list(parts(rows))), expected)
                assert fingerprint(rows) == fingerprint(expected)
        np.testing.assert_array_equal(stored[picked], truth[picked])


def test_rows_are_written_as_arrays_are(tmp_path):
    array = np.random.default_rng(0).random((3000, 7))
    write_tensors(tmp_path / "array", {"x": array, "n": np.arange(3)}, {"a": 1})
    rows = JoinedRows([PickedRows(array, np.arange(100)), array[100:]])
    write_tensors(tmp_path / "rows", {"x": rows, "n": np.arange(3)}, {"a": 1})
    assert (tmp_path / "array").read_bytes() == (tmp_path / "rows").read_bytes()


def test_a_flipped_bit_of_a_file_written_in_parts_is_noticed(tmp_path):
    path = tmp_path / "file"
    write_tensors(path, {"x": JoinedRows([np.zeros((50, 3)), np.ones((50, 3))])}, {})
    content = bytearray(path.read_bytes())
    for position in range(len(content) - 2400, len(content), 301):
        altered = content.copy()
        altered[position] ^= 4
        path.write_bytes(altered)
        for read in (verify, lambda path: open_array(path, "x"), read_arrays):
            with pytest.raises(InputError, match="its x is not what was written"):
                read(path)


def test_a_file_that_becomes_shorter_is_named(tmp_path):
    path = tmp_path / "file"
    write_tensors(path, {"x": np.zeros((50, 3))}, {})
    rows = open_array(path, "x")
    path.write_bytes(path.read_bytes()[:-8])
    assert (rows[:49] == 0).all()
    with pytest.raises(InputError, match="became shorter"):
        rows[:]
