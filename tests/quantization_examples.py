"""Quantizations that several test files make."""

import copy

import torch
from entry_examples import complete
from hypothesis import strategies as st
from model_examples import (
    model_of,
    pixels_of,
    shape_of,
)

from squeezeproof.compression.calibration import calibrate
from squeezeproof.compression.quantization import quantize
from squeezeproof.models.quantized import (
    FakeQuantize,
    quantized_layers,
)

floats = st.floats(-8, 8, width=32)
arrays = st.lists(floats, min_size=2, max_size=30).map(lambda values: torch.tensor([values]))
bit_widths = st.sampled_from([1, 2, 3, 4, 6, 8, 16])


def entry(bits, **changes):
    """Checked settings of a quantization: the defaults and these."""
    return complete("compressions", "quantization", bits=bits, **changes)


def quantized(spec, bits, model=None, images=None, seed=0, **changes):
    """A quantized copy of a model (of the one `model_of` makes by default), in eval mode."""
    model = copy.deepcopy(model or model_of(spec))
    images = (pixels_of(spec, 8) * 255).to(torch.uint8) if images is None else images
    quantize(model, shape_of(spec), entry(bits, **changes), images, seed)
    return model.eval()


def calibrated(values, bits, *, symmetric=False, method="minmax", percentile=99.0):
    return calibrate(values, bits, symmetric=symmetric, method=method, percentile=percentile)


def rounded(values, scale, zero_point, bits):
    return FakeQuantize.apply(values, scale[:, None], zero_point[:, None], 2**bits - 1)


def bits_of(model):
    return {
        name: (layer["weight"]["bits"], layer["input"] and layer["input"]["bits"])
        for name, layer in quantized_layers(model).items()
    }
