"""Configs that the tests of the study layer change."""

import copy

import yaml
from show_plan import merge


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


def merged(base, overlay):
    """A deep copy of `base` with the values of `overlay` in place of its own."""
    return merge(copy.deepcopy(base), overlay)
