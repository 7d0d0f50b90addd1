"""A torch checkpoint from elsewhere as safetensors, the only format of weights that the workflow reads.

    python workflow_scripts/tools/convert_checkpoint.py IN.pt OUT.safetensors [--key state_dict]

A .pt file is a pickle, which can run any program when it is loaded. It is read in torch's weights-only mode, which
builds tensors and plain containers and refuses everything else; what is written holds tensors alone.
"""

import argparse
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError


def convert(source, target, key=None):
    """Write the state_dict of the torch file `source` as safetensors; returns its number of tensors and of parameters.

    Args:
        key: the entry of the file that holds the state_dict; None where the file is one.

    Raises InputError where the file holds anything but tensors under names.
    """
    state = _load(source)
    if key is not None:
        if not isinstance(state, dict) or key not in state:
            raise InputError(f"{source}: has no entry {key!r}{_entries(state)}")
        state = state[key]
    if not isinstance(state, dict) or not state:
        raise InputError(f"{source}: holds no state_dict, a mapping of names to tensors")
    if others := [name for name, value in state.items() if not isinstance(name, str) or not _plain(value)]:
        raise InputError(f"{source}: {others[0]!r:.100} is no dense tensor under a name{_entries(state)}")
    # Tensors that share memory are written one by one.
    tensors = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    with replacing(target) as temporary:
        save_file(tensors, temporary)
    return len(tensors), sum(tensor.numel() for tensor in tensors.values())


def _load(source):
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{source}: there is no such file") from None
    except Exception as error:
        # torch's own message tells how to load the file unsafely.
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it asks for {named[1]}, which is no tensor" if named else "truncated, altered or something else"
        raise InputError(f"{source}: not a torch file of tensors alone ({reason}); ask for its state_dict") from None


def _plain(value):
    return isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_quantized


def _entries(state):
    held = [key for key, value in state.items() if isinstance(value, dict)] if isinstance(state, dict) else []
    return f"; write --key {held[0]}, perhaps" if held else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="a file that torch.save wrote")
    parser.add_argument("target", help="the safetensors file to write")
    parser.add_argument("--key", help="the entry of the file that holds the state_dict")
    arguments = parser.parse_args()
    try:
        tensors, parameters = convert(arguments.source, arguments.target, arguments.key)
    except InputError as error:
        sys.exit(f"convert_checkpoint: {error}")
    print(f"{arguments.target}: {tensors} tensors, {parameters:,} numbers")


if __name__ == "__main__":
    main()
