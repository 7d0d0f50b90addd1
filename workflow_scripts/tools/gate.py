"""Ends with an error where a compressed model of a finished study lost too much: `gate.py MAX_DROP STUDY [...]`.

MAX_DROP is in points of accuracy. STUDY is the study's name, or its config and the overlays over it. Status 0: all
pass; 1: some do not, each named in a sentence; 2: nothing to read, or results of other models than the config has.
"""

import sys
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from readers import while_read
from show_plan import read_config

from squeezeproof.errors import InputError
from squeezeproof.markers import told_by
from squeezeproof.pages.benchmark import gate
from squeezeproof.store.json_files import read_json
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.paths import Paths
from squeezeproof.study.plan import Study
from squeezeproof.study.tables import compressed_models


def refuse_other_models(found, config, path):
    """Raise InputError where results are not of the compressed models that a config has, as after an edit of it.

    Args:
        found: the results at `path`, which `gate` accepts.
    """
    paths = Paths(config["study"])
    planned = {key for key in compressed_models(Study(config)) if told_by(paths.model(*key)) is None}
    judged = {(model["dataset"], name) for model in found["models"] for name in model["models"]}
    differences = {"it lacks": planned - judged, "the config no longer has": judged - planned}
    if told := [f"{what} {', '.join(sorted(map('/'.join, keys))[:3])}" for what, keys in differences.items() if keys]:
        raise InputError(f"{path} is of another config: {'; '.join(told)}; run the study again")


def main(most, study, config=None):
    """Print what is wrong; returns the exit status.

    Args:
        most: points of accuracy that may be lost, as text.
        study: name of the study.
        config: its config, where that is known.
    """
    path = Path(Paths(study).benchmark_summary())
    try:
        if not path.is_file():
            raise InputError(f"{path} does not exist; run the study first")
        points = float(most)
        if not 0 <= points <= 100:
            raise ValueError
        found = read_json(path)
        problems = gate(found, points / 100)
        if config is not None:
            refuse_other_models(found, config, path)
    except (InputError, ConfigError) as error:
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
    CONFIG = read_config(studies) if studies[0].endswith(".yaml") else None
    with while_read():
        sys.exit(main(most, CONFIG["study"] if CONFIG else studies[0], CONFIG))
