"""Small studies that several test files expand."""

import math
import os
import re

from study_examples import changed

from squeezeproof.study.plan import Study

SMALL = """
study: small
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 4}}
finetunings: {short: {epochs: 1}}
compressions: {weight: {ratio: [0.9, 0.98]}}
# tests/test_controls.py has controls.
control: false
attacks: {fgsm: {eps: [0.1, 0.2]}, pgd: {eps: 8/255}}
evaluations: {all: {}}
"""
BASE = "cnn3.standard.none.none.s0"
PRUNED = ["cnn3.standard.weight-90.short.s0", "cnn3.standard.weight-98.short.s0"]


def small(changes=()):
    """The small config with the value at each dotted path replaced or added."""
    return changed(SMALL, changes)


def plan(changes=()):
    return Study(small(changes))


def paths(study):
    """Every path that the rules derive from the names of a plan."""
    results = f"results/{study.name}"
    for dataset in study.datasets.values():
        yield f"data/prepared/{dataset.key('train')}/train.safetensors"
    for dataset, model in study.models:
        yield f"{results}/models/{dataset}/{model}.safetensors"
        yield f"{results}/models/{dataset}/{model}.history.csv"
    for (dataset, source), attacks in study.sets.items():
        for attack in attacks:
            yield f"{results}/adversarial/{dataset}/{source}/{attack}.safetensors"
    for dataset, target, source in study.pairs:
        yield f"{results}/predictions/{dataset}/{target}/{source}.safetensors"


def assert_sound(study):
    """Every declared combination has a name of its own, and every path is its own, plain, and where it belongs."""
    config = study.config
    # A file is at one level.
    levels = [entry.get("ratio") or entry.get("bits") or [entry["file"]] for entry in config["compressions"].values()]
    compressions = sum(map(len, levels))
    bases = math.prod(len(config[section]) for section in ("datasets", "architectures", "trainings", "seeds"))
    assert len(study.compressions) == compressions
    assert len(study.attacks) == sum(len(entry["eps"]) for entry in config["attacks"].values())
    assert sum(model.is_base and not model.is_ensemble for model in study.models.values()) == bases
    selections = config["variants"]
    if selections and all(patterns == ["*"] for selection in selections for patterns in selection.values()):
        assert len(study.models) - len(study.controls) == bases * (
            1 + compressions * max(1, len(config["finetunings"]))
        )
    found = list(paths(study))
    assert len(set(found)) == len(found)
    for path in found:
        assert re.fullmatch(r"[A-Za-z0-9._+/-]+", path)
        assert os.path.normpath(path) == path
        assert path.startswith((f"results/{study.name}/", "data/prepared/"))
        assert max(map(len, path.split("/"))) <= 255
