"""The one file format: named arrays in safetensors with JSON metadata, written atomically, read without pickle.

Every file carries the SHA-256 of its metadata and of each of its arrays. Whoever reads an array whole checks it, at
about 2 GB a second; so does `open_array`, before it hands out rows. The audit verifies sets whole. `open_tensors` and
`open_rows` check the header alone: they are for readers of files that are verified elsewhere.

Arrays are written in parts, so that they may be larger than the memory (store.rows).

This module imports no torch; `models.checkpoints` and the scripts that compute wrap the arrays as tensors.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError
from squeezeproof.headers import MAX_HEADER, METADATA_KEY
from squeezeproof.markers import refuse_marker
from squeezeproof.mistaken import LOOKED_AT, mistaken
from squeezeproof.store.rows import StoredRows, parts
from squeezeproof.types import Array

AGAIN = "remove it and run again"
# Of a file that the user made.
SAVED_AGAIN = "save it again, by safetensors.torch.save_file or tools/convert_checkpoint.py"
# safetensors' names of types, in the order in which it writes arrays.
TYPES = {
    **{"U64": "uint64", "I64": "int64", "F64": "float64", "F32": "float32", "U32": "uint32", "I32": "int32"},
    **{"F16": "float16", "U16": "uint16", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"},
}
NAMES = {dtype: name for name, dtype in TYPES.items()}


def write_tensors(path: str | Path, arrays: Mapping[str, Array], metadata: dict[str, Any]) -> None:
    """Write arrays and a JSON-serialisable mapping to `path`, the bytes that safetensors itself would write.

    `arrays` has by name numpy arrays, or Rows (store.rows), of which only a part at a time is in memory.
    """
    # Whatever an array's strides and byte order are.
    arrays = {
        name: np.asarray(array, array.dtype.newbyteorder("="), order="C") if isinstance(array, np.ndarray) else array
        for name, array in sorted(arrays.items())
    }
    types = list(TYPES.values())
    arrays = dict(sorted(arrays.items(), key=lambda item: types.index(item[1].dtype.name)))
    # The header comes first and holds digests of what follows: at first others of the same length.
    digests = dict.fromkeys(arrays, fingerprint())
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(_header(arrays, digests, metadata))
        for name, array in arrays.items():
            digests[name] = _digest([array], file.write)
        file.seek(0)
        file.write(_header(arrays, digests, metadata))


def _header(arrays: Mapping[str, Array], digests: dict[str, str], metadata: dict[str, Any]) -> bytes:
    body = json.dumps({"arrays": digests, "metadata": metadata}, sort_keys=True)
    entries: dict[str, Any] = {"__metadata__": {METADATA_KEY: f"{_sha256(body)} {body}"}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + math.prod(array.shape) * array.dtype.itemsize
        entries[name] = {"dtype": NAMES[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_metadata(path: str | Path, kind: str | None = None, needs: Mapping[str, type] | None = None) -> Any:
    """The JSON metadata of a file, a mapping; of some kinds `squeezeproof.types` has the keys.

    Raises InputError where it has another `kind`, or not what it `needs`, key -> type.
    """
    with open_tensors(path) as opened:
        metadata, _ = _metadata(path, opened)
    if kind is not None and metadata.get("kind") != kind:
        raise InputError(f"{path}: holds a {metadata.get('kind')!r}, a {kind!r} is needed here")
    if missing := [key for key, kind in (needs or {}).items() if not isinstance(metadata.get(key), kind)]:
        raise InputError(f"{path}: its metadata lack {', '.join(missing)}; {AGAIN}")
    return metadata


def read_arrays(path: str | Path, names: Iterable[str] | None = None, framework: str = "numpy") -> dict[str, Any]:
    """The named arrays of a file (all by default) as numpy arrays, or as torch tensors for the framework `pt`.

    Raises InputError where one is not what was written.
    """
    with open_tensors(path, framework, names or ()) as opened:
        _, digests = _metadata(path, opened)
        arrays = {name: opened.get_tensor(name) for name in names or sorted(opened.keys())}
    for name, array in arrays.items():
        _compare(path, name, digests, fingerprint(array.numpy() if framework == "pt" else array))
    return arrays


def open_array(path: str | Path, name: str) -> Array:
    """The Rows of one array, read through once in constant memory to check that it is as written."""
    with open_tensors(path, names=[name]) as opened:
        _, digests = _metadata(path, opened)
    rows = open_rows(path, name)
    _compare(path, name, digests, fingerprint(rows))
    return rows


def array_digests(path: str | Path) -> dict[str, str]:
    """Array name -> its SHA-256, as the file's header has it."""
    with open_tensors(path) as opened:
        return _metadata(path, opened)[1]


def array_names(path: str | Path) -> set[str]:
    """The names of the arrays of a file."""
    with open_tensors(path) as opened:
        return set(opened.keys())


def open_rows(path: str | Path, name: str) -> Array:
    """The Rows (store.rows) of one array; the numpy array itself where it has no row. Its digest is not checked."""
    with open_tensors(path, names=[name]) as opened:
        shape = opened.get_slice(name).get_shape()
        if not shape or 0 in shape:
            return opened.get_tensor(name)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
    if entry["dtype"] not in TYPES:
        raise InputError(f"{path}: its {name} is of the type {entry['dtype']}, which this program never writes")
    return StoredRows(path, shape, TYPES[entry["dtype"]], 8 + length + entry["data_offsets"][0])


def verify(path: str | Path) -> None:
    """Check every array of a file, each read through in constant memory."""
    with open_tensors(path) as opened:
        _, digests = _metadata(path, opened)
        for name in sorted(digests):
            _compare(path, name, digests, fingerprint(open_rows(path, name)))


def read_foreign(path: str | Path, framework: str = "numpy") -> dict[str, Any]:
    """Every array of a safetensors file that others wrote, which carries no digests."""
    with open_tensors(path, framework, again=SAVED_AGAIN) as opened:
        return {name: opened.get_tensor(name) for name in sorted(opened.keys())}


def open_tensors(
    path: str | Path, framework: str = "numpy", names: Iterable[str] = (), again: str = AGAIN
) -> safe_open:
    """A memory-mapped handle on a safetensors file, its header checked and none of its arrays.

    `again` says what to do about a file that cannot be read.

    Raises InputError where it is missing, truncated or altered, or lacks one of the named arrays; NotSupported where it
    is a marker.
    """
    refuse_marker(path)
    try:
        with open(path, "rb") as file:
            if int.from_bytes(file.read(8), "little") > MAX_HEADER:
                raise SafetensorError(f"a header of more than {MAX_HEADER >> 20} MB")
        opened = safe_open(path, framework=framework)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError) as error:
        if again == SAVED_AGAIN and (words := _mistaken(path)):
            raise InputError(f"{path}: {words}") from None
        raise InputError(f"{path}: not a readable safetensors file, truncated or altered ({error}); {again}") from None
    present = set(opened.keys())
    if missing := [name for name in names if name not in present]:
        raise InputError(f"{path}: has no {', '.join(missing)}; it holds {', '.join(sorted(present))}")
    return opened


def _mistaken(path: str | Path) -> str:
    """What a file of the user's is instead, and what to do, in words; nothing where it may be damaged."""
    if Path(path).is_dir():
        return "is a folder; name the file in it"
    with open(path, "rb") as file:
        return mistaken(file.read(LOOKED_AT), ".safetensors")


def fingerprint(*arrays: Array) -> str:
    """SHA-256 of the shapes, types and bytes of arrays or Rows, which are read in parts."""
    return _digest(arrays)


def _digest(arrays: Iterable[Array], each: Callable[[np.ndarray], Any] | None = None) -> str:
    """The fingerprint of arrays; `each`, if given, is called with every part of them in turn."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
        for part in parts(array):
            digest.update(part)
            if each:
                each(part)
    return digest.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _metadata(path: str | Path, opened: safe_open) -> tuple[dict[str, Any], dict[str, str]]:
    """(metadata, array name -> digest) of an opened file, which holds just these arrays."""
    text = (opened.metadata() or {}).get(METADATA_KEY)
    if text is None:
        raise InputError(f"{path}: a safetensors file, but not one of SqueezeProof's (no metadata); {AGAIN}")
    digest, _, body = text.partition(" ")
    if digest != _sha256(body):
        raise InputError(f"{path}: its metadata was altered, or written by another version; {AGAIN}")
    try:
        found = json.loads(body)
        metadata, digests = found["metadata"], found["arrays"]
        if not (isinstance(metadata, dict) and isinstance(digests, dict)):
            raise TypeError("no mapping")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: its metadata is not what this program writes ({error!r}); {AGAIN}") from None
    present = set(opened.keys())
    if missing := sorted(digests.keys() - present):
        raise InputError(f"{path}: has lost {', '.join(missing)}; {AGAIN}")
    if added := sorted(present - digests.keys()):
        raise InputError(f"{path}: holds {', '.join(added)}, which this program did not write; {AGAIN}")
    return metadata, digests


def _compare(path: str | Path, name: str, digests: dict[str, str], found: str) -> None:
    if digests.get(name) != found:
        raise InputError(f"{path}: its {name} is not what was written; {AGAIN}")
