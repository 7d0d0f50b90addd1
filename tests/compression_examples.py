"""Networks and compressions that several test files use."""

from functools import cache

from model_examples import (
    EXAMPLES,
    model_of,
    shape_of,
)

from squeezeproof.compression.filters import dense_sizes


def example(name):
    """A fresh model and the shape of its images."""
    return model_of(EXAMPLES[name]), shape_of(EXAMPLES[name])


def entry(method, **changes):
    """Checked settings of a compression at one ratio."""
    shared = {"ratio": 0.5, "steps": 1, "schedule": "exponential", "step_epochs": 1}
    own = {
        "weight": {"scope": "global"},
        "filter": {"importance": "l1", "scope": "layer", "measure": "channels"},
    }[method]
    return {"method": method, **shared, **own, **changes}


@cache
def dense_example(name):
    """A model to be copied, its shape and the sizes of its dense state."""
    model, shape = example(name)
    return model, shape, dense_sizes(model, shape)
