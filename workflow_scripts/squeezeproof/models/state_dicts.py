"""Names of foreign state_dicts: wrappers, masks and parametrizations that other programs leave in them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from squeezeproof.errors import InputError, pass_on

# What other programs put before the names of a wrapped network.
WRAPPERS = ("module.", "_orig_mod.")
# The same, within names.
PARTS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# Of torch.optim.swa_utils.AveragedModel, which is no part of the network.
COUNTER = "n_averaged"
# What tools that count operations leave, and what files of old versions of torch lack.
COUNTS, BATCHES = ("total_ops", "total_params"), "num_batches_tracked"
ORIGINAL, MASK = "_orig", "_mask"
# The ends of the names of a weight's parts under torch's weight_norm (its lengths and directions) and spectral_norm
# (the weight, its left and its right vector), each by hooks and by parametrizations.
WEIGHT_NORMS = ("_g", "_v"), (".original0", ".original1")
SPECTRAL_NORMS = ("_orig", "_u", "_v"), (".original", ".0._u", ".0._v")
PARTED = tuple(ends[0] for ends in (*WEIGHT_NORMS, *SPECTRAL_NORMS))
# Buffers that may hold an infinity, to mask attention.
MASKS = ("mask", "bias_table")
SHOWN = 3


class Unclear(ValueError):
    """A state_dict that no weights are read from; the message says why."""


class Ambiguous(Unclear):
    """A state_dict that holds a network several times; the message says under which names."""


@contextmanager
def state_of_file(path: str | Path) -> Generator[None]:
    """Turns Unclear into an InputError that names the file."""
    try:
        yield
    except Unclear as error:
        raise InputError(f"{path}: {error}") from None


def plain_state(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """(the tensors under the plain network's names, what was done to them in words).

    Prefixes of WRAPPERS that all names share are left out, and PARTS anywhere; leftovers of torch.nn.utils.prune,
    weight_orig and weight_mask, become the weight that they stand for.

    Args:
        tensors: name -> tensor.

    Raises Unclear where a weight and its mask do not go together.
    """
    state, notes = dict(tensors), []
    if COUNTER in state and all(name.startswith(WRAPPERS[0]) for name in state if name != COUNTER):
        del state[COUNTER]
        notes.append(f"left out {COUNTER}, the counter of an averaged model")
    while wrapper := next((name for name in WRAPPERS if all(key.startswith(name) for key in state or [""])), None):
        state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
        notes.append(f"left out the prefix {wrapper} of every name")
    for part in PARTS:
        if any(f".{part}" in f".{name}" for name in state):
            state = {f".{name}".replace(f".{part}", ".")[1:]: tensor for name, tensor in state.items()}
            notes.append(f"left out {part} within names")
    masked = [
        name for stem in state if stem.endswith(ORIGINAL) and (name := stem.removesuffix(ORIGINAL)) + MASK in state
    ]
    for name in masked:
        state[name] = _of_parts(state, name, (ORIGINAL, MASK), _of_mask)
    if masked:
        notes.append(f"multiplied {len(masked)} weights by the masks of torch.nn.utils.prune")
    return state, notes


def fitted(tensors: Mapping[str, torch.Tensor], names: Collection[str]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """(the tensors under the names of a network, what was done to them in words), as far as it can be told.

    Beside what `plain_state` does: what weight_norm and spectral_norm of torch left becomes the weight that they stand
    for; prefixes such as `model.` of Lightning, or `backbone.` and `head.`, are left out with what lies beside them, a
    criterion or a metric; the counters of batches that old files lack are zero.

    Args:
        tensors: name -> tensor.
        names: of the tensors that the network has.

    Raises Ambiguous where there are several such networks, Unclear where parts of a weight do not go together.
    """
    if tensors.keys() == set(names):
        return dict(tensors), []
    state, notes = plain_state(tensors)
    if not any(name.endswith(PARTED) for name in names):
        state = _whole(state, notes)
    state = {name: tensor for name, tensor in state.items() if name in names or not name.endswith(COUNTS)}
    wanted = [name for name in names if not name.endswith(BATCHES)]
    if not set(wanted) <= state.keys():
        state = _placed(state, wanted, notes)
    lacking = [name for name in names if name.endswith(BATCHES) and name not in state]
    if lacking and len(lacking) == len(names) - len(wanted) and set(wanted) <= state.keys():
        state |= {name: torch.tensor(0) for name in lacking}
    return state, notes


def _placed(state: dict[str, torch.Tensor], wanted: Collection[str], notes: list[str]) -> dict[str, torch.Tensor]:
    """The state_dict without the prefixes that its names have before those of a network; as it was where none fit."""
    # Name of the network -> the prefixes that it has here.
    prefixes: dict[str, set[str]] = defaultdict(set)
    for name in state:
        parts = name.split(".")
        for count in range(len(parts)):
            prefixes[".".join(parts[count:])].add("".join(f"{part}." for part in parts[:count]))
    whole = set.intersection(*(prefixes[name] for name in wanted)) if wanted else set()
    if len(whole) > 1:
        first, second = sorted(whole)[:2]
        raise Ambiguous(
            f"holds such a network several times, under {first} and {second}; keep one of them: "
            f"{{name.removeprefix({first!r}): tensor for name, tensor in state.items() if name.startswith({first!r})}}"
        )
    if not whole and any(len(prefixes[name]) != 1 for name in wanted):
        return state
    own = {name: next(iter(whole or prefixes[name])) for name in wanted}
    found, beside = {}, []
    for name, tensor in state.items():
        # Of a network that is split into a backbone and a head, each name has its prefix.
        prefix = max((prefix for prefix in set(own.values()) if name.startswith(prefix)), key=len, default=None)
        if prefix is None:
            beside.append(name)
        else:
            found[name.removeprefix(prefix)] = tensor
    notes.append(f"left out the prefix {' and '.join(sorted(set(own.values())))} of names")
    if beside:
        notes.append(f"left out {len(beside)} tensors beside the network: {', '.join(beside[:SHOWN])}")
    return found


def _whole(state: dict[str, torch.Tensor], notes: list[str]) -> dict[str, torch.Tensor]:
    """The state_dict with weights in the place of what weight_norm and spectral_norm made of them."""
    for kind, every, compute in (
        ("weight_norm", WEIGHT_NORMS, _of_weight_norm),
        ("spectral_norm", SPECTRAL_NORMS, _of_spectral_norm),
    ):
        for ends in every:
            stems = [name.removesuffix(ends[0]) for name in state if name.endswith(ends[0])]
            stems = [stem for stem in stems if all(stem + end in state for end in ends)]
            for stem in stems:
                # Of a parametrization the stem is layer.parametrizations.weight.
                state[stem.replace("parametrizations.", "")] = _of_parts(state, stem, ends, compute)
            if stems:
                notes.append(f"computed {len(stems)} weights of what {kind} keeps of them")
    return state


def _of_parts(
    state: dict[str, torch.Tensor], stem: str, ends: Sequence[str], compute: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """The weight that compute(parts) makes of the tensors named `stem` and these ends, which leave the state_dict."""
    parts = [state.pop(stem + end) for end in ends]
    shown = ", ".join(f"{stem}{end} ({_shape(part)})" for end, part in zip(ends, parts, strict=True))
    try:
        weight = compute(*parts)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        pass_on(error)
        weight = None
    # The directions, or the weight itself, are the largest part, of a single number that of most dimensions.
    if weight is None or weight.shape != max(parts, key=lambda part: (part.numel(), part.dim())).shape:
        raise Unclear(f"holds parts of a weight that do not go together: {shown}; it is damaged, save it again")
    return weight


def _of_mask(weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A weight without what a mask of its shape leaves out."""
    if weight.shape != mask.shape:
        raise ValueError
    return weight * mask


def _of_weight_norm(lengths: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """g v / |v|; the norm is over the axes along which there is but one length."""
    axes = [axis for axis in range(directions.dim()) if not lengths.dim() or lengths.shape[axis] == 1]
    return directions * (lengths / torch.linalg.vector_norm(directions, dim=axes, keepdim=True))


def _of_spectral_norm(weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """w / (u w v), w as a matrix with a row for each value of u: its first axis, of a transposed layer the second."""
    matrices = [weight.movedim(axis, 0).flatten(1) for axis in (0, 1) if weight.shape[axis] == len(left)]
    # Of as many inputs as outputs, v tells: it is what the matrix made of u when it was last in use.
    matrix = max(matrices, key=lambda matrix: float(torch.cosine_similarity(left @ matrix, right, dim=0)))
    return weight / (left @ matrix @ right)


def misfit(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> str:
    """How the names and shapes of a state_dict differ from a network's own, in words; nothing where they do not."""
    differences = {
        "it lacks": [name for name in own if name not in state],
        "the network has no": [name for name in state if name not in own],
        "of another shape are": [
            f"{name} ({_shape(state[name])}, there {_shape(own[name])})"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    told = "; ".join(f"{words} {_some(names)}" for words, names in differences.items() if names)
    return told and (
        f"does not fit the network: {told}. Name the network that it is of, in `architecture` of a config or in "
        f"ARCHITECTURE=, FACTORY=, or the same with COMPRESSED_ before it, of make check"
    )


def no_weights(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> str:
    """What of a state_dict with a network's names cannot be computed with, in words; nothing where all of it can."""
    fractions = [name for name in own if own[name].is_floating_point()]
    if whole := [name for name in fractions if not state[name].is_floating_point()]:
        return (
            f"of the type {str(state[whole[0]].dtype)[6:]} are {_some(whole)}; the network computes in float32: save "
            f"them so, integers multiplied by their scales"
        )
    if broken := [name for name in fractions if not name.endswith(MASKS) and not state[name].double().isfinite().all()]:
        return (
            f"numbers that are not finite are in {_some(broken)}: the training broke off, or they were too large for "
            f"{str(state[broken[0]].dtype)[6:]}; save the weights of an earlier epoch, or in float32"
        )
    return ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
