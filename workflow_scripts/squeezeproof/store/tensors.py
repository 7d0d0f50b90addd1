"""The one file format: named arrays in safetensors with JSON metadata, written atomically, read without pickle.

This module imports no torch; `store.checkpoints` and the scripts that compute wrap the arrays as tensors.
"""

import hashlib
import json

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from squeezeproof.errors import InputError
from squeezeproof.store.atomic import replacing

METADATA_KEY = "squeezeproof"


def write_tensors(path, arrays, metadata):
    """Write name -> numpy array and a JSON-serialisable mapping to `path`."""
    # safetensors writes an array's memory as it lies there, whatever its strides.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def read_metadata(path, kind=None):
    """The JSON metadata of a file, `kind` checked where given; InputError names a file that cannot be read."""
    with open_tensors(path) as opened:
        text = (opened.metadata() or {}).get(METADATA_KEY)
    if text is None:
        raise InputError(f"{path}: a safetensors file, but not one of SqueezeProof's (no metadata)")
    try:
        metadata = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: its metadata was altered ({error}); remove it and run again") from None
    if kind is not None and metadata.get("kind") != kind:
        raise InputError(f"{path}: holds a {metadata.get('kind')!r}, a {kind!r} is needed here")
    return metadata


def read_arrays(path, names=None, framework="numpy"):
    """The named arrays of a file (all by default) as numpy arrays, or as torch tensors for the framework `pt`."""
    with open_tensors(path, framework, names or ()) as opened:
        return {name: opened.get_tensor(name) for name in names or sorted(opened.keys())}


def open_tensors(path, framework="numpy", names=()):
    """A memory-mapped handle on a safetensors file.

    Raises InputError where it is missing, truncated or altered, or lacks one of the named arrays.
    """
    try:
        opened = safe_open(path, framework=framework)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file, truncated or altered ({error})") from None
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
