"""Calibration: ranges against torch's observers, and the images that they are found on."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import (
    EXAMPLES,
    assert_same_tensors,
    model_of,
    shape_of,
    spec_of,
    split,
)
from quantization_examples import arrays, bit_widths, calibrated, quantized, rounded
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

from squeezeproof.compression.calibration import observe


def squared_error(values, bits, **options):
    return (rounded(values, *calibrated(values, bits, **options), bits) - values).square().mean(1)


# Calibration


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_minmax_grids_are_those_of_torchs_observers(bits):
    values = torch.randn(5, 40, generator=torch.Generator().manual_seed(bits)) * torch.arange(1, 6)[:, None]
    limits = {"quant_min": 0, "quant_max": 2**bits - 1, "dtype": torch.quint8}
    affine = MinMaxObserver(**limits)
    affine(values)
    scale, zero_point = calibrated(values.reshape(1, -1), bits)
    assert torch.allclose(scale, affine.calculate_qparams()[0])
    assert torch.equal(zero_point.long(), affine.calculate_qparams()[1].long())
    signed = {"quant_min": -(2 ** (bits - 1)), "quant_max": 2 ** (bits - 1) - 1, "dtype": torch.qint8}
    symmetric = PerChannelMinMaxObserver(ch_axis=0, qscheme=torch.per_channel_symmetric, **signed)
    symmetric(values)
    scale, zero_point = calibrated(values, bits, symmetric=True)
    assert torch.allclose(scale, symmetric.calculate_qparams()[0])
    assert (zero_point == 2 ** (bits - 1)).all()


@pytest.mark.parametrize(("symmetric", "low", "high"), [(False, -10, 80), (True, -80, 80)])
def test_percentile_leaves_out_the_outermost_values(symmetric, low, high):
    values = torch.cat([torch.arange(-20, 81), torch.arange(0, 100)]).float()
    ordered = values.abs().sort().values if symmetric else values.sort().values
    rank = round(0.9 * 200)
    low, high = (-ordered[rank], ordered[rank]) if symmetric else (ordered[200 - rank], ordered[rank])
    scale, zero_point = calibrated(values[None], 8, symmetric=symmetric, method="percentile", percentile=90.0)
    assert scale.item() == pytest.approx((high - low).item() / 255)
    assert zero_point.item() == (128 if symmetric else round(-low.item() / scale.item()))


@given(values=arrays, bits=bit_widths, symmetric=st.booleans())
def test_searched_clip_has_no_larger_error_than_minmax(values, bits, symmetric):
    mse = squared_error(values, bits, symmetric=symmetric, method="mse")
    assert (mse <= squared_error(values, bits, symmetric=symmetric)).all()


def test_searched_clip_is_the_best_of_every_row():
    values = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)) ** 3
    top = 15
    best = torch.full((3,), math.inf)
    for share in range(1, 101):
        scale = 2 * values.abs().amax(1) * share / 100 / top
        candidate = torch.fake_quantize_per_channel_affine(
            values, scale, torch.full((3,), 8, dtype=torch.int32), 0, 0, top
        )
        best = torch.minimum(best, (candidate - values).square().mean(1))
    found = squared_error(values, 4, symmetric=True, method="mse")
    assert torch.allclose(found, best, rtol=1e-4)
    assert (found < squared_error(values, 4, symmetric=True)).all()


def test_observed_inputs_are_all_of_a_small_set_and_a_sample_with_the_extremes_of_a_large_one(monkeypatch):
    spec = spec_of("cnn8", width=4)
    model, images = model_of(spec), split(0, 150)[0]
    kept = []
    model.network.conv2.register_forward_pre_hook(lambda module, args: kept.append(args[0].detach()))
    seen = observe(model, ["network.conv2"], images, torch.Generator().manual_seed(0))["network.conv2"]
    everything = torch.cat(kept).flatten()
    assert torch.equal(seen[0, :-2].sort().values, everything.sort().values)
    monkeypatch.setattr("squeezeproof.compression.calibration.SAMPLE", 1500)
    seen = observe(model, ["network.conv2"], images, torch.Generator().manual_seed(0))["network.conv2"]
    assert seen.shape == (1, 1502)
    assert torch.isin(seen, everything).all()
    assert (seen.min(), seen.max()) == (everything.min(), everything.max())


def test_calibration_images_are_drawn_by_the_seed_alone():
    spec, images = spec_of("cnn8", width=4), split(0, 100)[0]
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    model = quantized(spec, 8, images=images, calibration_images=10)
    assert torch.equal(torch.random.get_rng_state(), state)
    again = quantized(spec, 8, images=images, calibration_images=10)
    assert_same_tensors(model.state_dict(), again.state_dict())
    other = quantized(spec, 8, images=images, calibration_images=10, seed=1)
    assert any(not torch.equal(other.state_dict()[name], value) for name, value in model.state_dict().items())
    few = quantized(spec, 8, images=images[:10])
    fewer = quantized(spec, 8, images=images[:10], calibration_images=10)
    assert_same_tensors(few.state_dict(), fewer.state_dict())


@pytest.mark.parametrize("mode", [True, False])
def test_ranges_do_not_move_whatever_passes(mode):
    spec = EXAMPLES["resnet18"]
    model = quantized(spec, 4).train(mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "_quantizer." in name}
    model(100 * torch.randn(4, *shape_of(spec))).sum().backward()
    assert before
    assert_same_tensors(before, {name: model.state_dict()[name] for name in before})
