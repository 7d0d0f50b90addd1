"""Arrays of which no more rows are in memory than are asked for, and how arrays of any kind are gone through.

Each has the `shape` and `dtype` of a numpy array. A slice, or indices of rows, give those rows as a numpy array.
"""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from squeezeproof.errors import InputError
from squeezeproof.types import Array

# Rows that are in memory at once: as many as both allow, but one at least.
PART_ROWS, PART_BYTES = 1024, 16 << 20


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """Up to `most` of `count` indices, from the first to the last: a class, a batch or a shard may lie in a row."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def parts(array: Array) -> Iterator[np.ndarray]:
    """The rows of an array in order, a contiguous numpy array of some of them after the other."""
    if not array.shape or 0 in array.shape:
        yield np.ascontiguousarray(array[:] if array.shape else array)
        return
    for rows in part_slices(array):
        yield np.ascontiguousarray(array[rows])


def part_slices(array: Array) -> list[slice]:
    """Slices that cover the rows of an array which has some, a part of it each."""
    size = math.prod(array.shape[1:]) * array.dtype.itemsize
    step = min(PART_ROWS, max(1, PART_BYTES // size))
    return [slice(first, min(first + step, array.shape[0])) for first in range(0, array.shape[0], step)]


class Rows:
    """What the arrays of this module share; each has its own `take`, of a range or an index array that is not empty."""

    def __init__(self, shape: Sequence[int], dtype: DTypeLike) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: range | np.ndarray) -> np.ndarray:
        """The rows at these indices, of which there are some."""
        raise NotImplementedError

    def __getitem__(self, rows: Any) -> np.ndarray:
        rows = range(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(rows, np.ndarray) and rows.dtype == bool:
            raise IndexError("rows are chosen by slices and indices, not by masks")
        return self.take(rows) if len(rows) else np.empty((0, *self.shape[1:]), self.dtype)


class StoredRows(Rows):
    """An array in a file, from its byte `offset` on.

    It is read, not mapped: Snakemake and batch systems count the pages of a mapped file as the job's memory.
    """

    def __init__(self, path: str | Path, shape: Sequence[int], dtype: DTypeLike, offset: int) -> None:
        super().__init__(shape, dtype)
        self.path, self.offset = path, offset

    def take(self, rows: range | np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        blocks = (
            [(rows[0], out)]
            if isinstance(rows, range) and rows.step == 1
            else zip(rows, np.split(out, len(out)), strict=True)
        )
        with open(self.path, "rb", buffering=0) as file:
            for first, block in blocks:
                file.seek(self.offset + int(first) * math.prod(self.shape[1:]) * self.dtype.itemsize)
                self._read(file, memoryview(block.reshape(-1).view(np.uint8)))
        return out

    def _read(self, file: io.FileIO, block: memoryview) -> None:
        while block:
            count = file.readinto(block)
            if not count:
                raise InputError(f"{self.path}: became shorter while it was read; remove it and run again")
            block = block[count:]


class PickedRows(Rows):
    """Some rows of an array, in any order."""

    def __init__(self, array: Array, picked: np.ndarray) -> None:
        super().__init__((len(picked), *array.shape[1:]), array.dtype)
        self.array, self.picked = array, np.asarray(picked)

    def take(self, rows: range | np.ndarray) -> np.ndarray:
        return self.array[self.picked[np.asarray(rows)]]


class JoinedRows(Rows):
    """Arrays one after the other, of which slices can be read."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        super().__init__((sum(array.shape[0] for array in arrays), *arrays[0].shape[1:]), arrays[0].dtype)
        self.arrays = arrays

    def take(self, rows: range | np.ndarray) -> np.ndarray:
        ends, found, before = _ends(rows), [], 0
        for array in self.arrays:
            first, last = (min(max(end - before, 0), array.shape[0]) for end in ends)
            if first < last:
                found.append(array[first:last])
            before += array.shape[0]
        return np.concatenate(found)


def _ends(rows: range | np.ndarray) -> tuple[int, int]:
    if not isinstance(rows, range) or rows.step != 1:
        raise IndexError("these rows are read by slices without a step, not by indices")
    return rows.start, rows.stop


class WatchedRows(Rows):
    """An array whose slices `watch` sees, too, when they are read."""

    def __init__(self, array: Array, watch: Callable[[np.ndarray], None]) -> None:
        super().__init__(array.shape, array.dtype)
        self.array, self.watch = array, watch

    def take(self, rows: range | np.ndarray) -> np.ndarray:
        first, last = _ends(rows)
        found = self.array[first:last]
        self.watch(found)
        return found
