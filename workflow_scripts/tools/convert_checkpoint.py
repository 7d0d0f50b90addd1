"""A torch checkpoint from elsewhere as safetensors, the only format of weights that the workflow reads.

    python workflow_scripts/tools/convert_checkpoint.py IN.pt OUT.safetensors [--key state_dict]

A .pt file is a pickle, which can run any program when it is loaded. Its weights alone are read (models/torch_files.py).
"""

import argparse
import sys
from pathlib import Path

from readers import while_read
from safetensors.torch import save_file

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from squeezeproof.atomic import replacing
from squeezeproof.errors import InputError
from squeezeproof.models.torch_files import read_state_dict
from squeezeproof.store.converted import header


def convert(source, target, key=None, **options):
    """Write the state_dict of the torch file `source` as safetensors, whose header tells what was understood.

    Returns (number of tensors, of numbers, what was understood in words); arguments and errors as for
    `models.torch_files.read_state_dict`.
    """
    tensors, notes = read_state_dict(source, key, **options)
    with replacing(target) as temporary:
        save_file(tensors, temporary, metadata=header(notes))
    return len(tensors), sum(tensor.numel() for tensor in tensors.values()), notes


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="a file that torch.save wrote")
    parser.add_argument("target", help="the safetensors file to write")
    parser.add_argument("--key", help="the entry of the file that holds the state_dict, where several may be meant")
    arguments = parser.parse_args()
    try:
        tensors, numbers, notes = convert(arguments.source, arguments.target, arguments.key)
    except InputError as error:
        sys.exit(f"convert_checkpoint: {error}")
    for note in notes:
        print(f"{arguments.source}: {note}")
    print(f"{arguments.target}: {tensors} tensors, {numbers:,} numbers")


if __name__ == "__main__":
    with while_read():
        main()
