"""Small configs that several test files check."""

from study_examples import changed

MINIMAL = """
study: small
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 1}}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
"""


def minimal(changes=()):
    """The minimal config with the value at each dotted path replaced or added."""
    return changed(MINIMAL, changes)
