"""State_dicts as other programs leave them, as those of the plain network."""

from collections.abc import Mapping

import torch

# What other programs put before the names of a wrapped network.
WRAPPERS = ("module.", "_orig_mod.")
# Of torch.optim.swa_utils.AveragedModel, which is no part of the network.
COUNTER = "n_averaged"
ORIGINAL, MASK = "_orig", "_mask"


def plain_state(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """(the tensors under the plain network's names, what was done to them in words).

    Prefixes of WRAPPERS that all names share are left out, and `_orig_mod.` of compiled parts anywhere; leftovers of
    torch.nn.utils.prune, weight_orig and weight_mask, become the weight that they stand for.

    Args:
        tensors: name -> tensor.
    """
    state, notes = dict(tensors), []
    if COUNTER in state and all(name.startswith(WRAPPERS[0]) for name in state if name != COUNTER):
        del state[COUNTER]
        notes.append(f"left out {COUNTER}, the counter of an averaged model")
    while wrapper := next((name for name in WRAPPERS if all(key.startswith(name) for key in state or [""])), None):
        state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
        notes.append(f"left out the prefix {wrapper} of every name")
    if any(f".{WRAPPERS[1]}" in name for name in state):
        state = {name.replace(f".{WRAPPERS[1]}", "."): tensor for name, tensor in state.items()}
        notes.append(f"left out {WRAPPERS[1]} within names")
    masked = [
        name for stem in state if stem.endswith(ORIGINAL) and (name := stem.removesuffix(ORIGINAL)) + MASK in state
    ]
    for name in masked:
        state[name] = state.pop(name + ORIGINAL) * state.pop(name + MASK)
    if masked:
        notes.append(f"multiplied {len(masked)} weights by the masks of torch.nn.utils.prune")
    return state, notes
