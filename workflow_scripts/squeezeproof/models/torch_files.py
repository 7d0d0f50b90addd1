"""Files that torch.save wrote, of which the weights alone are read.

Such a file is a pickle, which can run any program when it is loaded. torch's weights-only mode builds tensors and plain
containers and nothing else; in the place of everything else stands an inert object here, which is dropped.
"""

import re
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Self

import torch

from squeezeproof.errors import InputError, pass_on
from squeezeproof.mistaken import LOOKED_AT, mistaken
from squeezeproof.models.quantizers import OF_TORCHAO, WRITTEN, of_torchao
from squeezeproof.models.state_dicts import plain_state, state_of_file
from squeezeproof.models.torch_ao import PACKED, of_torch_ao
from squeezeproof.models.torch_archives import lines_to_save, refuse_archives, save_whole
from squeezeproof.untrusted import MAX_PARAMETERS

# Keys of the state_dict in files of other programs, the likeliest first.
KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights",
    "state_dict_ema", "ema_state_dict", "model_ema", "params_ema", "ema", "shadow",
)  # fmt: skip
# Entries that hold tensors of a training and none of the network.
OF_TRAINING = ("optim", "sched", "scaler", "loss", "metric", "rng")
DEEPEST, MOST_KINDS = 3, 200
# The first bytes of a zip file, of a pickle, and of those that torch wrote before it wrote zip files.
ZIP, PICKLE, MAGIC = b"PK", b"\x80", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
ARRAY = "_reconstruct"
OF_TORCH_PRUNING = "full_state_dict"


class _PassesForDict(type):
    """torch's reader sets entries of those classes alone that equal dict."""

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is dict

    __hash__ = type.__hash__


class Dropped(dict[Any, Any], metaclass=_PassesForDict):
    """In the place of an object that is no tensor: it takes whatever the file says of it, keeps the entries that it is
    given as a mapping, and does nothing.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


def read_state_dict(
    path: str | Path, key: str | None = None, option: str = "--key"
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """(name -> tensor of the plain network, what was understood in words) of a file that torch.save wrote.

    Args:
        key: the entry that holds the state_dict, with dots between the keys of nested ones; None where the file is one,
            or one of its entries alone can be meant.
        option: what a person writes to name that entry.

    Raises InputError, with what to write instead, where the file holds code instead of weights, or weights that are no
    dense tensors.
    """
    refuse_archives(path)
    content, dropped = _load(path)
    if _is_pickled(content):
        raise InputError(f"{path}: is a whole pickled {type(content).__name__}, which is code. {save_whole(path)}")
    state, notes = _entry(path, content, key, option)
    if left_out := sorted({name for name in dropped if "." in name}):
        notes.append(f"left out what is no tensor ({', '.join(left_out[:5])}); none of it was run")
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    others = [str(name) for name in state if name not in tensors]
    if unwritten := [name for name in tensors if not _is_text(name)]:
        raise InputError(f"{path}: {unwritten[0]!a:.100} is no name that a file of weights can hold; name it otherwise")
    if others:
        notes.append(f"left out {len(others)} entries that are no tensors, such as {others[0]!r:.100}")
    convolutions = [name for name, tensor in tensors.items() if tensor.is_quantized]
    if quantized := convolutions + [name for name in others if name.endswith(PACKED)]:
        told = of_torch_ao(path, [*map(str, state)], bool(convolutions))
        raise InputError(f"{path}: {quantized[0]!r:.100} is quantized by torch.ao, {told}")
    dense, told = _dense(path, tensors)
    with state_of_file(path):
        plain, more = plain_state(dense)
    # Tensors that share memory are written one by one.
    separate = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in plain.items()}
    return separate, [*notes, *told, *more]


def _dense(path: str | Path, tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """(name -> dense tensor, what was done in words); InputError where one has no values, or too many."""
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise InputError(f"{path}: {name!r:.100} has no values (device meta); save the weights after loading them")
        if tensor.numel() > MAX_PARAMETERS:
            raise InputError(f"{path}: {name!r:.100} has {tensor.numel():,} numbers, more than {MAX_PARAMETERS:,}")
    sparse = [name for name, tensor in tensors.items() if tensor.layout is not torch.strided]
    notes = [f"made {len(sparse)} sparse tensors dense, such as {sparse[0]!r:.100}"] if sparse else []
    return {**tensors, **{name: tensors[name].to_dense() for name in sparse}}, notes


def _load(path: str | Path) -> tuple[Any, list[str]]:
    """(what a file holds, full names of what is inert in it)."""
    inert = {}
    for _ in range(MOST_KINDS):
        try:
            with torch.serialization.safe_globals([(kind, name) for name, kind in inert.items()]):
                return _read(path), list(inert)
        except Exception as error:
            pass_on(error)
            # torch's own message tells how to load the file unsafely.
            unknown = re.search(r"GLOBAL ([\w.]+) was not", str(error))
            if not unknown:
                raise InputError(f"{path}: {_unreadable(path, str(error), inert)}") from None
            name = unknown[1] if "." in unknown[1] else f"builtins.{unknown[1]}"
            inert[name] = type(name.rpartition(".")[2], (Dropped,), {})
    raise InputError(f"{path}: holds more than {MOST_KINDS} kinds of objects that are no tensors; save its state_dict")


def _read(path: str | Path) -> Any:
    """What torch's reader of weights makes of a file, without what it says of kinds of tensors that a reader of the
    message about them can do nothing about.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _unreadable(path: str | Path, error: str, inert: Collection[str]) -> str:
    """What is the matter with a file that torch's reader of weights refuses, and what to do, in words."""
    with open(path, "rb") as file:
        head = file.read(LOOKED_AT)
    if words := mistaken(head, ".pt"):
        return words
    if blocked := re.search(r"GLOBAL ([\w.]+) whose module", error):
        return f"asks for {blocked[1]}, which no weights need: it may be an attack; ask for a state_dict of the model"
    held = "model if isinstance(model, dict) else model.state_dict()"
    if head.startswith(PICKLE) and not head.startswith(MAGIC):
        save = f"torch.save({{name: torch.as_tensor(value) for name, value in model.items()}}, {WRITTEN!r})"
        loaded = f"__import__('pickle').load(open({str(path)!r}, 'rb'))"
        return f"is a pickle that torch.save did not write. {lines_to_save(path, save, loaded)}"
    if "Unsupported operand" in error and head.startswith((ZIP, MAGIC)):
        return (
            f"is not written as torch.save writes by itself (pickle_protocol=2). "
            f"{lines_to_save(path, f'torch.save({held}, {WRITTEN!r})')}"
        )
    if any(name.startswith(OF_TORCHAO) for name in inert):
        return of_torchao(path)
    if inert:
        return (
            f"holds {', '.join(list(inert)[:5])}, of which something is made that is no tensor, list or mapping. "
            f"{lines_to_save(path, f'torch.save({held}, {WRITTEN!r})')}, or without what is of these kinds"
        )
    return "cannot be read as weights: truncated, altered or no torch file; copy or download it again"


def _entry(path: str | Path, content: Any, key: str | None, option: str) -> tuple[dict[str, Any], list[str]]:
    """(the state_dict within what a file holds, which it is in words)."""
    if key is not None:
        state = content
        for part in key.split("."):
            within = dict(_items(state))
            if part not in within:
                raise InputError(f"{path}: has no entry {key!r}{_entries(content, option)}")
            state = within[part]
        if _is_pickled(state):
            raise InputError(f"{path}: its {key} is a pickled {type(state).__name__}, which is code. {_of(path, key)}")
        if not _holds_tensors(state):
            raise InputError(
                f"{path}: its {key} is no state_dict, a mapping of names to tensors{_entries(content, option)}"
            )
        return state, []
    found = dict(_candidates(content))
    if not found:
        raise InputError(f"{path}: {_no_weights(path, content)}")
    if OF_TORCH_PRUNING in dict(_items(content)):
        raise InputError(
            f"{path}: is of torch_pruning.state_dict, which keeps the insides of modules; save the pruned model by "
            f"torch.save(model.state_dict(), {WRITTEN!r})"
        )
    chosen = min(found, key=_rank)
    if chosen and [name for name in found if _rank(name)[0] == _rank(chosen)[0]] != [chosen]:
        raise InputError(f"{path}: several entries may be meant{_entries(content, option)}")
    others = [name for name in found if name != chosen]
    also = f", not {' or '.join(others)}, which {option} would take" if others else ""
    return found[chosen], [f"took the entry {chosen}{also}"] if chosen else []


def _no_weights(path: str | Path, content: Any) -> str:
    """What a file holds in the place of weights, and what to do, in words."""
    if arrays := dict(_candidates(content, _holds_arrays)):
        save = f"torch.save({{name: torch.as_tensor(value) for name, value in model.items()}}, {WRITTEN!r})"
        return f"holds numpy arrays, which torch reads by code alone. {_of(path, min(arrays, key=_rank), save)}"
    pickled = [place for place, _ in _candidates(content, _is_pickled)]
    if pickled:
        return (
            f"holds no state_dict; its entry {pickled[0]} is a pickled object, which is code. {_of(path, pickled[0])}"
        )
    return (
        f"holds no state_dict, a mapping of names to tensors, but a {type(content).__name__}; save one by "
        f"torch.save(model.state_dict(), {WRITTEN!r})"
    )


def _of(path: str | Path, place: str, save: str | None = None) -> str:
    """`lines_to_save` for what stands in an entry of a file."""
    # Numbers are places in a list.
    entry = "".join(f"[{key if key.isdigit() else repr(key)}]" for key in place.split(".") if key)
    loaded = f"torch.load({str(path)!r}, weights_only=False){entry}"
    return lines_to_save(path, save or f"torch.save(model.state_dict(), {WRITTEN!r})", loaded)


def _rank(place: str) -> tuple[int, int]:
    """The likelier entry is the smaller: the file itself, then KEYS, then others."""
    last = place.rpartition(".")[2]
    return (-1 if not place else KEYS.index(last) if last in KEYS else len(KEYS)), place.count(".")


def _candidates(
    value: Any, holds: Callable[[Any], bool] | None = None, place: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, mapping) of every mapping of names to tensors, or of what else `holds` tells."""
    if depth > DEEPEST:
        return
    if isinstance(value, dict) and (holds or _holds_tensors)(value):
        yield place, value
        return
    for key, item in _items(value):
        if isinstance(key, str) and not _of_training(key):
            yield from _candidates(item, holds, f"{place}.{key}" if place else key, depth + 1)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """The entries of a mapping by their keys, those of a list by their numbers, as text."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from ((str(number), item) for number, item in enumerate(value))


def _holds_tensors(value: Any) -> bool:
    """Whether a mapping has weights under names: tensors of a dimension or more, or what torch.ao packs."""
    if not isinstance(value, dict):
        return False
    named = [(key, item) for key, item in value.items() if isinstance(key, str) and not _of_training(key)]
    return any((isinstance(item, torch.Tensor) and item.dim()) or key.endswith(PACKED) for key, item in named)


def _holds_arrays(value: dict[Any, Any]) -> bool:
    """Whether a mapping has numpy arrays, which the file makes by a function of numpy's."""
    return any(isinstance(item, Dropped) and type(item).__name__ == ARRAY for item in value.values())


def _is_pickled(value: Any) -> bool:
    return isinstance(value, Dropped) and not value


def _is_text(name: Any) -> bool:
    """Whether a key is a text of whole letters, no halves of some."""
    return isinstance(name, str) and not any("\ud800" <= letter <= "\udfff" for letter in name)


def _of_training(key: str) -> bool:
    return key.lower().startswith(OF_TRAINING)


def _entries(content: Any, option: str) -> str:
    held = [name for name, _ in _candidates(content) if name]
    return f"; name {' or '.join(held[:5])}, by {option}" if held else ""
