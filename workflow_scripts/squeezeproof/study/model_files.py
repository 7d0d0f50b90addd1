"""What is wrong with a file of a model, as far as its frame tells: nothing of it is loaded, and no torch is needed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from squeezeproof.mistaken import FORMATS, LOOKED_AT, mistaken

# Number of the field of an ONNX file that holds its network, and bytes of a value by its kind in protocol buffers,
# of which kind 2 says its own length and kind 0 ends where a byte is below 128.
GRAPH = 7
FIXED = {1: 8, 5: 4}


def unreadable(path: str, file: str) -> list[str]:
    """Why a file cannot be what its ending says, in an empty list where nothing speaks against it.

    Args:
        path: the config's key that names the file.
        file: a .onnx or .tflite file; of another ending, or none, weights as safetensors.
    """
    ending = Path(file).suffix
    try:
        with open(file, "rb") as opened:
            problem = FRAMES.get(ending, _safetensors)(opened, os.fstat(opened.fileno()).st_size)
            opened.seek(0)
            what = mistaken(opened.read(LOOKED_AT), ending) if problem else ""
    except (OSError, ValueError) as error:
        return [f"{path}: {file}: cannot be read ({error})"]
    return [f"{path}: {file}: {what or problem}"] if problem else []


def _safetensors(file: BinaryIO, size: int) -> str:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length)) if 2 <= length <= size - 8 else None
    if not isinstance(header, dict):
        return "is no safetensors file; workflow_scripts/tools/convert_checkpoint.py makes one"
    tensors: list[Any] = [entry for name, entry in header.items() if name != "__metadata__"]
    end = max((entry["data_offsets"][1] for entry in tensors), default=0)
    return "" if 8 + length + end == size else "is truncated; copy it again"


def _onnx(file: BinaryIO, size: int) -> str:
    fields = set()
    while file.tell() < size:
        field, kind = divmod(_number(file), 8)
        length = FIXED.get(kind, 0)
        if kind in (0, 2):
            number = _number(file)
            length = number if kind == 2 else 0
        elif not length:
            return "is no ONNX file; export it again"
        if file.tell() + length > size:
            return "is no ONNX file, or truncated; copy or export it again"
        file.seek(length, os.SEEK_CUR)
        fields.add(field)
    return "" if GRAPH in fields else "is an ONNX file without a network, or truncated; copy or export it again"


def _number(file: BinaryIO) -> int:
    number, shift = 0, 0
    while byte := file.read(1):
        number |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            break
    return number


def _tflite(file: BinaryIO, size: int) -> str:
    place, mark = FORMATS[".tflite"]
    head = file.read(place + len(mark))
    whole = head[place:] == mark and int.from_bytes(head[:place], "little") < size
    return "" if whole else "is no TFLite file, or truncated; copy or convert it again"


FRAMES: dict[str, Callable[[BinaryIO, int], str]] = {".onnx": _onnx, ".tflite": _tflite}
