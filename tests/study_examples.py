"""Configs that the tests of the study layer change."""

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
