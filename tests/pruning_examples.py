"""Networks and prunings that several test files use."""

from functools import cache

from entry_examples import complete
from hypothesis import settings
from model_examples import custom_spec, model_of, shape_of, spec_of

from squeezeproof.compression.filters import dense_sizes
from squeezeproof.models.measure import measure

reproducible = settings(max_examples=20)
WIDE = {
    "cnn8": spec_of("cnn8", width=32),
    "resnet18": spec_of("resnet18", channels=3, width=16),
    "depthwise_separable": custom_spec("depthwise_separable", width=64),
}


@cache
def wide(name):
    model, shape = model_of(WIDE[name]), shape_of(WIDE[name])
    return model, shape, measure(model, {}, shape), dense_sizes(model, shape)


def entry(method, **changes):
    """Checked settings of a pruning at one ratio: the schema's defaults and these."""
    return complete("compressions", method, **{"ratio": 0.5, **changes})


def nothing(model, masks, stage):
    """A fine-tuning that trains nothing."""
