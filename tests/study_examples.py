"""Configs that the tests of the study layer change."""

import copy

import yaml


def changed(text, changes):
    """The config of a YAML text with the value at each dotted path replaced or added."""
    config = yaml.safe_load(text)
    for path, value in dict(changes).items():
        *parents, last = path.split(".")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return config


def configured(path):
    """The config of a file; `name-detail.yaml` is an overlay of `name.yaml` beside it, merged as Snakemake does."""
    config = yaml.safe_load(path.read_text())
    base = path.with_name(path.name.partition("-")[0] + ".yaml")
    return merged(configured(base), config) if "-" in path.name else config


def merged(base, overlay):
    """A deep copy of `base` with the values of `overlay` in place of its own."""
    both = copy.deepcopy(base)
    for key, value in overlay.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both
