"""Files that torch.save wrote, of which the weights alone are read.

Such a file is a pickle, which can run any program when it is loaded. torch's weights-only mode builds tensors and plain
containers and nothing else; in the place of everything else stands an inert object here, which is dropped.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch

from squeezeproof.errors import InputError
from squeezeproof.models.state_dicts import plain_state

# Keys of the state_dict in files of other programs, the likeliest first.
KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights",
    "state_dict_ema", "ema_state_dict", "model_ema", "params_ema", "ema", "shadow",
)  # fmt: skip
# Entries that hold tensors of a training and none of the network.
OF_TRAINING = ("optim", "sched", "scaler", "loss", "metric", "rng")
DEEPEST, MOST_KINDS = 3, 200
TORCHSCRIPT, EXPORTED = "constants.pkl", ("serialized_exported_program.json", "archive_format", "models/model.json")


class Dropped:
    """In the place of an object that is no tensor: it takes whatever the file says of it, and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


def read_state_dict(path: str | Path, key: str | None = None) -> tuple[dict[str, torch.Tensor], list[str]]:
    """(name -> tensor of the plain network, what was understood in words) of a file that torch.save wrote.

    Args:
        key: the entry that holds the state_dict, with dots between the keys of nested ones; None where the file is one,
            or one of its entries alone can be meant.

    Raises InputError, with what to write instead, where the file holds code instead of weights, or weights that are no
    dense tensors.
    """
    _refuse_archives(path)
    content, dropped = _load(path)
    if isinstance(content, Dropped):
        raise InputError(f"{path}: is a whole pickled {type(content).__name__}, which is code. {_save(path)}")
    state, notes = _entry(path, content, key)
    if left_out := sorted({name for name in dropped if "." in name}):
        notes.append(f"left out what is no tensor ({', '.join(left_out[:5])}); none of it was run")
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    others = [str(name) for name in state if name not in tensors]
    if others:
        notes.append(f"left out {len(others)} entries that are no tensors, such as {others[0]!r:.100}")
    if quantized := [name for name, tensor in tensors.items() if tensor.is_quantized]:
        raise InputError(
            f"{path}: {quantized[0]!r:.100} is a quantized tensor ({tensors[quantized[0]].dtype}) of torch.ao, whose "
            f"network runs in kernels of its own; export that model to ONNX and name the .onnx file, or save its "
            f"weights as floats, by weight.dequantize()"
        )
    if sparse := [name for name, tensor in tensors.items() if tensor.layout is not torch.strided]:
        raise InputError(f"{path}: {sparse[0]!r:.100} is no dense tensor; save it as tensor.to_dense()")
    plain, told = plain_state(tensors)
    # Tensors that share memory are written one by one.
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in plain.items()}, [
        *notes,
        *told,
    ]


def _refuse_archives(path: str | Path) -> None:
    """Raise InputError for TorchScript and torch.export, which are programs."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = ["/".join(name.split("/")[1:]) for name in archive.namelist()]
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (zipfile.BadZipFile, OSError):
        return
    if TORCHSCRIPT in names or any(name.startswith("code/") for name in names):
        raise InputError(f"{path}: is a TorchScript program. {_save(path, f'torch.jit.load({str(path)!r})')}")
    if any(name in EXPORTED or name.startswith("models/") for name in names):
        raise InputError(f"{path}: is a program of torch.export. {_save(path, f'torch.export.load({str(path)!r})')}")


def _save(path: str | Path, loaded: str | None = None) -> str:
    """The lines of Python that make a state_dict of a program."""
    state = "dict(model.state_dict)" if loaded and "export" in loaded else "model.state_dict()"
    return (
        f"Make a state_dict of it where you trust it, as this runs its code:\n"
        f"    import torch\n"
        f"    model = {loaded or f'torch.load({str(path)!r}, weights_only=False)'}\n"
        f"    torch.save({state}, 'weights.pt')\n"
        f"and name weights.pt here"
    )


def _load(path: str | Path) -> tuple[Any, list[str]]:
    """(what a file holds, full names of what is inert in it)."""
    inert = {}
    for _ in range(MOST_KINDS):
        try:
            with torch.serialization.safe_globals([(kind, name) for name, kind in inert.items()]):
                return torch.load(path, map_location="cpu", weights_only=True), list(inert)
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file") from None
        except Exception as error:
            # torch's own message tells how to load the file unsafely.
            blocked = re.search(r"GLOBAL ([\w.]+) whose module", str(error))
            unknown = re.search(r"GLOBAL ([\w.]+) was not", str(error))
            if blocked or not unknown:
                why = (
                    f"it asks for {blocked[1]}, which no weights need"
                    if blocked
                    else "truncated, altered or no torch file"
                )
                raise InputError(
                    f"{path}: cannot be read as weights ({why}); ask for a state_dict of the model"
                ) from None
            name = unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"
            inert[name] = type(name.rpartition(".")[2], (Dropped,), {})
    raise InputError(f"{path}: holds more than {MOST_KINDS} kinds of objects that are no tensors; save its state_dict")


def _entry(path: str | Path, content: Any, key: str | None) -> tuple[dict[str, Any], list[str]]:
    """(the state_dict within what a file holds, which it is in words)."""
    if key is not None:
        state = content
        for part in key.split("."):
            if not isinstance(state, dict) or part not in state:
                raise InputError(f"{path}: has no entry {key!r}{_entries(content)}")
            state = state[part]
        if isinstance(state, Dropped):
            raise InputError(f"{path}: its {key} is a pickled {type(state).__name__}, which is code. {_save(path)}")
        if not _holds_tensors(state):
            raise InputError(f"{path}: its {key} is no state_dict, a mapping of names to tensors{_entries(content)}")
        return state, []
    found = dict(_candidates(content))
    if not found:
        pickled = (
            next((value for value in content.values() if isinstance(value, Dropped)), None)
            if isinstance(content, dict)
            else None
        )
        what = f"; its entry of the type {type(pickled).__name__} is code. {_save(path)}" if pickled is not None else ""
        raise InputError(f"{path}: holds no state_dict, a mapping of names to tensors{what}")
    chosen = min(found, key=_rank)
    if chosen and [name for name in found if _rank(name)[0] == _rank(chosen)[0]] != [chosen]:
        raise InputError(f"{path}: several entries may be meant{_entries(content)}")
    others = [name for name in found if name != chosen]
    also = f", not {' or '.join(others)}, which --key would take" if others else ""
    return found[chosen], [f"took the entry {chosen}{also}"] if chosen else []


def _rank(place: str) -> tuple[int, int]:
    """The likelier entry is the smaller: the file itself, then KEYS, then others."""
    last = place.rpartition(".")[2]
    return (-1 if not place else KEYS.index(last) if last in KEYS else len(KEYS)), place.count(".")


def _candidates(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, mapping) of every mapping of names to tensors."""
    if not isinstance(value, dict) or depth > DEEPEST:
        return
    if _holds_tensors(value):
        yield place, value
        return
    for key, item in value.items():
        if isinstance(key, str) and not _of_training(key):
            yield from _candidates(item, f"{place}.{key}" if place else key, depth + 1)


def _holds_tensors(value: Any) -> bool:
    """Whether a mapping has weights, tensors of a dimension or more, under names."""
    if not isinstance(value, dict):
        return False
    named = [(key, item) for key, item in value.items() if isinstance(key, str) and not _of_training(key)]
    return any(isinstance(item, torch.Tensor) and item.dim() for _, item in named)


def _of_training(key: str) -> bool:
    return key.lower().startswith(OF_TRAINING)


def _entries(content: Any) -> str:
    held = [name for name, _ in _candidates(content) if name]
    return f"; write --key {' or --key '.join(held[:5])}" if held else ""
