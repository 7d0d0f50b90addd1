"""The arithmetic of a fake quantization against torch's own, and scales that are learned (LSQ)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import (
    spec_of,
    split,
    training,
)
from quantization_examples import arrays, bit_widths, calibrated, quantized, rounded

from squeezeproof.models.quantized import (
    Binarizer,
    FakeQuantize,
    Quantizer,
)
from squeezeproof.training.loop import fit

methods = st.sampled_from(["minmax", "percentile", "mse"])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_slopes_of_the_rounding_are_what_they_are_called(bits):
    top = 2**bits - 1
    values = torch.linspace(-3, top + 3, 4001, requires_grad=True)
    unit, zero = torch.ones(()), torch.zeros(())

    def slope(name):
        return torch.autograd.grad(FakeQuantize.apply(values, unit, zero, top, name).sum(), values)[0]

    inside = (values > 0) & (values < top)
    assert (slope("identity") == 1).all()
    assert torch.equal(slope("straight-through"), ((values.round() >= 0) & (values.round() <= top)).float())
    smoothed = slope("smoothed")
    # Between two levels the staircase rises by one step, most steeply in the middle, and it goes on beyond the ends.
    assert smoothed[inside].mean().item() == pytest.approx(1, abs=0.01)
    middle, level = (values - values.floor() - 0.5).abs() < 0.1, (values - values.round()).abs() < 0.1
    assert smoothed[inside & middle].min() > 1.2 > 0.65 > smoothed[inside & level].max()
    assert (smoothed > 0).all() and (smoothed[values < -0.5].diff() > 0).all()


# Rounding


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_values_and_input_gradients_are_those_of_torchs_fake_quantization(bits):
    generator = torch.Generator().manual_seed(bits)
    x = torch.randn(6, 3, 4, 4, generator=generator)
    upstream = torch.randn(x.shape, generator=generator)
    top = 2**bits - 1
    scale = torch.rand(6, generator=generator) * 3 / top + 0.1 / top
    zero_point = torch.randint(top + 1, (6,), generator=generator, dtype=torch.int32)

    def run(quantizer):
        leaf = x.clone().requires_grad_()
        y = quantizer(leaf)
        y.backward(upstream)
        return y.detach(), leaf.grad

    channels, tensor = Quantizer(bits, 6), Quantizer(bits)
    channels.set(scale, zero_point)
    tensor.set(scale[:1], zero_point[:1])
    per_channel = run(lambda leaf: torch.fake_quantize_per_channel_affine(leaf, scale, zero_point, 0, 0, top))
    per_tensor = run(lambda leaf: torch.fake_quantize_per_tensor_affine(leaf, scale[0], zero_point[0], 0, top))
    for ours, theirs in ((run(channels), per_channel), (run(tensor), per_tensor)):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
        assert (theirs[1] == 0).any() and (theirs[1] != 0).any()


@given(values=arrays, bits=bit_widths, method=methods, symmetric=st.booleans())
def test_rounded_values_lie_on_the_grid_next_to_the_given(values, bits, method, symmetric):
    scale, zero_point = calibrated(values, bits, symmetric=symmetric, method=method)
    result = rounded(values, scale, zero_point, bits)
    levels = result / scale + zero_point
    assert torch.allclose(levels, levels.round(), atol=1e-2)
    assert levels.min() > -0.5 and levels.max() < 2**bits - 0.5
    assert len(result.unique()) <= 2**bits
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    inside = (values >= low) & (values <= high)
    assert ((result - values).abs()[inside] <= scale / 2 * (1 + 1e-3) + 1e-6).all()
    assert (result[values > high] == high).all() and (result[values < low] == low).all()
    assert rounded(torch.zeros(1, 1), scale, zero_point, bits).item() == 0


@given(values=arrays, symmetric=st.booleans())
def test_sixteen_bits_are_nearly_lossless(values, symmetric):
    result = rounded(values, *calibrated(values, 16, symmetric=symmetric), 16)
    assert (result - values).abs().max() <= 16 / 2**16


def test_one_bit_is_the_sign_times_the_mean_magnitude_of_the_channel():
    weight = torch.tensor([[1.0, -2.0, 0.0], [0.25, 0.25, -1.0]], requires_grad=True)
    binary = Binarizer()(weight)
    assert torch.equal(binary, torch.tensor([[1.0, -1.0, 1.0], [0.5, 0.5, -0.5]]))
    binary.sum().backward()
    assert torch.equal(weight.grad, torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]))


# Learned scales


def lsq(x, scale, bits):
    """Signed levels around 0: the result and the gradients of its sum with respect to x and the scale."""
    quantizer = Quantizer(bits, len(scale), learned=True)
    quantizer.set(scale, 2 ** (bits - 1))
    leaf = x.clone().requires_grad_()
    result = quantizer(leaf)
    result.sum().backward()
    return result.detach(), leaf.grad, quantizer.scale.grad


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_gradient_of_a_learned_scale_is_the_papers(bits):
    """Esser et al. [esser2020], eq. 3 summed over the weights of a channel, times 1 / sqrt(N Q_P)."""
    x = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([0.1, 0.3, 0.7, 1.5])
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = torch.zeros(4)
    for channel in range(4):
        for value in x[channel].flatten().tolist():
            ratio = value / scale[channel].item()
            if ratio <= lowest:
                expected[channel] += lowest
            elif ratio >= highest:
                expected[channel] += highest
            else:
                expected[channel] += round(ratio) - ratio
    expected /= math.sqrt(27 * highest)
    assert torch.allclose(lsq(x, scale, bits)[2], expected, rtol=1e-4, atol=1e-6)


def test_gradient_of_a_learned_scale_is_the_finite_difference_where_the_rounding_is_passed_straight_through():
    x = torch.tensor([[-9.0, -0.8, -0.3, 0.4, 0.9, 1.4, 30.0]])
    bits, scale, step = 3, 0.5, 1e-3
    lowest, highest = -4, 3
    offset = [round(value / scale) - value / scale for value in x[0].tolist()]

    def surrogate(s):
        """The quantizer with its rounding errors frozen: differentiable, and equal to it at `scale`."""
        total = 0.0
        for value, error in zip(x[0].tolist(), offset, strict=True):
            ratio = value / s
            total += s * (ratio + error if lowest < ratio < highest else min(max(ratio, lowest), highest))
        return total

    result, _, gradient = lsq(x, torch.tensor([scale]), bits)
    assert result.sum().item() == pytest.approx(surrogate(scale), abs=1e-5)
    difference = (surrogate(scale + step) - surrogate(scale - step)) / (2 * step)
    assert gradient.item() * math.sqrt(7 * highest) == pytest.approx(difference, abs=1e-3)


def test_gradient_of_a_learned_scale_is_torchs_learnable_one_away_from_the_ends():
    x = torch.linspace(-2.4, 2.4, 49).reshape(1, -1)
    scale = torch.tensor([0.7])
    top, zero = 7, 4
    leaf, learnable = x.clone().requires_grad_(), scale.clone().requires_grad_()
    theirs = torch._fake_quantize_learnable_per_tensor_affine(
        leaf, learnable, torch.tensor([float(zero)]), 0, top, 1 / math.sqrt(x.numel() * 3)
    )
    inside = (x / scale > -zero) & (x / scale < top - zero)
    theirs[inside].sum().backward()
    quantizer = Quantizer(3, learned=True)
    quantizer.set(scale, zero)
    own = x.clone().requires_grad_()
    quantizer(own)[inside].sum().backward()
    assert torch.equal(own.grad, leaf.grad)
    assert quantizer.scale.grad.item() == pytest.approx(learnable.grad.item(), rel=1e-4)


def test_a_learned_scale_that_fell_below_zero_comes_back():
    quantizer = Quantizer(2, learned=True)
    quantizer.set(torch.tensor([-0.1]), 2)
    quantizer(torch.tensor([[1.0, 2.0, 3.0]])).mul(-1).sum().backward()
    assert torch.isfinite(quantizer.scale.grad).all()
    assert quantizer.scale.grad < 0


def test_only_learned_scales_move_in_training():
    spec = spec_of("cnn8", width=4)
    for mode, moves in (("qat", True), ("ptq", False)):
        model = quantized(spec, 2, mode=mode)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        fit(model, split(0, 64), split(0, 0), training(1, batch_size=32), seed=0)
        after = model.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert "network.conv1.weight" in changed
        assert any(name.endswith("_quantizer.scale") for name in changed) is moves
        assert not any(name.endswith("zero_point") for name in changed)
