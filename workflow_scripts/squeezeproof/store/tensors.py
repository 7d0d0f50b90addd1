"""The one file format: named arrays in safetensors with JSON metadata, written atomically, read without pickle.

Every file carries the SHA-256 of its metadata and of each of its arrays. Whoever reads an array whole checks it, at
about 2 GB a second; so does `open_array`, before it hands out slices. The audit verifies sets whole. `open_tensors`
checks the header alone: it is for readers that show single rows of files which the audit has verified.

This module imports no torch; `store.checkpoints` and the scripts that compute wrap the arrays as tensors.
"""

import hashlib
import json
import os
import re

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from squeezeproof.errors import InputError
from squeezeproof.store.atomic import replacing

METADATA_KEY = "squeezeproof"
AGAIN = "remove it and run again"
# A header of names, shapes and facts is thousands of times smaller than this.
MAX_HEADER = 16 << 20
CHUNK = 16 << 20


def write_tensors(path, arrays, metadata):
    """Write name -> numpy array and a JSON-serialisable mapping to `path`."""
    # safetensors writes an array's memory as it lies there, whatever its strides and byte order.
    arrays = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    digests = {name: fingerprint(array) for name, array in arrays.items()}
    body = json.dumps({"arrays": digests, "facts": metadata}, sort_keys=True)
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, metadata={METADATA_KEY: f"{_sha256(body)} {body}"})
        except SafetensorError as error:
            code = re.search(r"\(os error (\d+)\)", str(error))
            if not code:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from None
        # safetensors keeps its files from everybody but their owner.
        temporary.chmod(0o666 & ~_umask())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_metadata(path, kind=None, needs=None):
    """The JSON metadata of a file; InputError where it has another `kind`, or not what it `needs`, key -> type."""
    with open_tensors(path) as opened:
        metadata, _ = _metadata(path, opened)
    if kind is not None and metadata.get("kind") != kind:
        raise InputError(f"{path}: holds a {metadata.get('kind')!r}, a {kind!r} is needed here")
    if missing := [key for key, kind in (needs or {}).items() if not isinstance(metadata.get(key), kind)]:
        raise InputError(f"{path}: its metadata lack {', '.join(missing)}; {AGAIN}")
    return metadata


def read_arrays(path, names=None, framework="numpy"):
    """The named arrays of a file (all by default) as numpy arrays, or as torch tensors for the framework `pt`.

    Raises InputError where one is not what was written.
    """
    with open_tensors(path, framework, names or ()) as opened:
        _, digests = _metadata(path, opened)
        arrays = {name: opened.get_tensor(name) for name in names or sorted(opened.keys())}
    if names is None and (missing := sorted(digests.keys() - arrays.keys())):
        raise InputError(f"{path}: has lost {', '.join(missing)}; {AGAIN}")
    for name, array in arrays.items():
        _compare(path, name, digests, fingerprint(array.numpy() if framework == "pt" else array))
    return arrays


def open_array(path, name, framework="numpy"):
    """A memory-mapped slice of one array, read through once in constant memory to check that it is as written."""
    with open_tensors(path, names=[name]) as opened:
        _, digests = _metadata(path, opened)
        _compare(path, name, digests, _fingerprint_in_parts(opened, name))
    return open_tensors(path, framework).get_slice(name)


def verify(path):
    """Check every array of a file, each read through in constant memory."""
    with open_tensors(path) as opened:
        _, digests = _metadata(path, opened)
        names = set(opened.keys())
        for name in sorted(names | digests.keys()):
            _compare(path, name, digests, _fingerprint_in_parts(opened, name) if name in names else None)


def read_foreign(path, framework="numpy"):
    """Every array of a safetensors file that others wrote, which carries no digests."""
    with open_tensors(path, framework) as opened:
        return {name: opened.get_tensor(name) for name in sorted(opened.keys())}


def open_tensors(path, framework="numpy", names=()):
    """A memory-mapped handle on a safetensors file, its header checked and none of its arrays.

    Raises InputError where it is missing, truncated or altered, or lacks one of the named arrays.
    """
    try:
        with open(path, "rb") as file:
            if int.from_bytes(file.read(8), "little") > MAX_HEADER:
                raise SafetensorError(f"a header of more than {MAX_HEADER >> 20} MB")
        opened = safe_open(path, framework=framework)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file, truncated or altered ({error}); {AGAIN}") from None
    present = set(opened.keys())
    if missing := [name for name in names if name not in present]:
        raise InputError(f"{path}: has no {', '.join(missing)}; it holds {', '.join(sorted(present))}")
    return opened


def fingerprint(*arrays):
    """SHA-256 of the arrays' shapes, types and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _fingerprint_in_parts(opened, name):
    """The fingerprint of one array, which is never in memory as a whole."""
    array = opened.get_slice(name)
    shape = tuple(array.get_shape())
    if not shape or 0 in shape:
        return fingerprint(opened.get_tensor(name))
    row = array[:1]
    digest = hashlib.sha256(f"{row.dtype}{shape}".encode())
    rows = max(1, CHUNK // row.nbytes)
    for first in range(0, shape[0], rows):
        digest.update(np.ascontiguousarray(array[first : min(first + rows, shape[0])]))
    return digest.hexdigest()


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _metadata(path, opened):
    """(facts, array name -> digest) of an opened file."""
    text = (opened.metadata() or {}).get(METADATA_KEY)
    if text is None:
        raise InputError(f"{path}: a safetensors file, but not one of SqueezeProof's (no metadata)")
    digest, _, body = text.partition(" ")
    if digest != _sha256(body):
        raise InputError(f"{path}: its metadata was altered, or written by another version; {AGAIN}")
    try:
        found = json.loads(body)
        facts, digests = found["facts"], found["arrays"]
        if not (isinstance(facts, dict) and isinstance(digests, dict)):
            raise TypeError("no mapping")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: its metadata is not what this program writes ({error!r}); {AGAIN}") from None
    return facts, digests


def _compare(path, name, digests, found):
    if digests.get(name) != found:
        raise InputError(f"{path}: its {name} is not what was written; {AGAIN}")
