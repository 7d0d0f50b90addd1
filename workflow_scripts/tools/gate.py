"""Ends with an error where a compressed model of a finished study lost too much: `gate.py MAX_DROP STUDY [...]`.

MAX_DROP is in points of accuracy. STUDY is the study's name, or its config and the overlays over it. Status 0: all
pass; 1: some do not, each named in a sentence; 2: nothing to read.
"""

import sys
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from show_plan import read_config

from squeezeproof.errors import InputError
from squeezeproof.pages.benchmark import gate
from squeezeproof.store.json_files import read_json
from squeezeproof.study.paths import Paths


def main(most, study):
    """Print what is wrong; returns the exit status.

    Args:
        most: points of accuracy that may be lost, as text.
        study: name of the study.
    """
    path = Path(Paths(study).benchmark_summary())
    try:
        if not path.is_file():
            raise InputError(f"{path} does not exist; run the study first")
        points = float(most)
        if not 0 <= points <= 100:
            raise ValueError
        problems = gate(read_json(path), points / 100)
    except InputError as error:
        print(f"gate: {error}", file=sys.stderr)
        return 2
    except ValueError:
        print(f"gate: MAX_DROP={most} is no number of points from 0 to 100; write MAX_DROP=2", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"FAIL {problem}")
    if not problems:
        print(f"{study}: no compressed model lost more than {points:g} points of accuracy, clean or attacked itself")
    return 1 if problems else 0


if __name__ == "__main__":
    most, *studies = sys.argv[1:]
    sys.exit(main(most, read_config(studies)["study"] if studies[0].endswith(".yaml") else studies[0]))
