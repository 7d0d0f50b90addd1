"""Quantization: the arithmetic against torch's own, calibration, training, and quantized models as any other model."""

import copy
import math

import pytest
import torch
import yaml
from entry_examples import complete
from hypothesis import given
from hypothesis import strategies as st
from model_examples import (
    EXAMPLES,
    assert_same_tensors,
    model_of,
    pixels_of,
    shape_of,
    spec_of,
    split,
    training,
)
from torch import nn
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

from squeezeproof.analysis.efficiency import compression_table
from squeezeproof.analysis.names import model_label
from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import LOSSES
from squeezeproof.attacks.pgd import pgd
from squeezeproof.compression.calibration import calibrate, observe
from squeezeproof.compression.compress import compress
from squeezeproof.compression.quantization import quantize
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.fold import fold
from squeezeproof.models.measure import measure
from squeezeproof.models.predict import accuracy
from squeezeproof.models.quantized import (
    Binarizer,
    FakeQuantize,
    Quantizer,
    quantize_layers,
    quantized_layers,
)
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.training.loop import fit
from squeezeproof.training.resume import Resume

floats = st.floats(-8, 8, width=32)
arrays = st.lists(floats, min_size=2, max_size=30).map(lambda values: torch.tensor([values]))
bit_widths = st.sampled_from([1, 2, 3, 4, 6, 8, 16])
methods = st.sampled_from(["minmax", "percentile", "mse"])


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


def squared_error(values, bits, **options):
    return (rounded(values, *calibrated(values, bits, **options), bits) - values).square().mean(1)


@pytest.fixture(scope="module")
def digits():
    """A network trained on 1,000 digits, and the 797 others."""
    spec, train, test = spec_of("cnn8", width=8), split(0, 1000), split(1000, 1797)
    model = model_of(spec)
    recipe = training(10, optimizer="adam", learning_rate=0.01, batch_size=32, schedule="cosine")
    fit(model, train, (test[0][:0], test[1][:0]), recipe, seed=0)
    return spec, model, train, test


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


# Which layers, at which bits


def bits_of(model):
    return {
        name: (layer["weight"]["bits"], layer["input"] and layer["input"]["bits"])
        for name, layer in quantized_layers(model).items()
    }


@pytest.mark.parametrize(
    ("changes", "ends", "between"),
    [
        ({}, (3, 3), (3, 3)),
        ({"first_last": "keep"}, (8, 8), (3, 3)),
        ({"activation_bits": 5}, (3, 5), (3, 5)),
        ({"activation_bits": 12, "first_last": "keep"}, (8, 12), (3, 12)),
        ({"activation_bits": 32, "first_last": "keep"}, (8, None), (3, None)),
    ],
)
def test_every_layer_has_the_bits_that_are_asked_for(changes, ends, between):
    found = bits_of(quantized(EXAMPLES["cnn3"], 3, **changes))
    conv1, conv2, conv3, fc = (f"network.{name}" for name in ("conv1", "conv2", "conv3", "fc"))
    assert found == {conv1: ends, conv2: between, conv3: between, fc: ends}


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_multiplied_values_take_no_more_levels_than_the_bits_allow(bits):
    spec = EXAMPLES["depthwise_separable"]
    model = quantized(spec, bits)
    for name in quantized_layers(model):
        layer = model.get_submodule(name)
        weight = layer.weight_quantizer(layer.weight)
        assert all(len(channel.unique()) <= 2**bits for channel in weight)
        layer.input_quantizer.register_forward_hook(lambda module, args, out: counts.append(len(out.unique())))
    counts = []
    model(pixels_of(spec))
    assert len(counts) == len(quantized_layers(model))
    assert max(counts) <= 2**bits


@pytest.mark.parametrize(("mode", "learned"), [("ptq", False), ("qat", True)])
@pytest.mark.parametrize(("bits", "input_bits"), [(3, 4), (8, 8), (16, 16)])
def test_quantization_aware_training_learns_its_scales(mode, learned, bits, input_bits):
    model = quantized(EXAMPLES["cnn3"], bits, activation_bits=input_bits, mode=mode)
    layer = quantized_layers(model)["network.conv2"]
    assert (layer["weight"]["learned"], layer["input"]["learned"]) == (learned, learned)
    parameters = dict(model.named_parameters())
    assert ("network.conv2.weight_quantizer.scale" in parameters) is learned
    assert ("network.conv2.input_quantizer.scale" in parameters) is learned


@pytest.mark.parametrize("bits", [4, 8])
def test_quantization_aware_training_is_not_a_fine_tuned_quantization(bits):
    trained = {}
    for mode in ("ptq", "qat"):
        model = quantized(spec_of("cnn8", width=4), bits, mode=mode)
        fit(model, split(0, 64), split(0, 0), training(1, batch_size=32), seed=0)
        trained[mode] = model.state_dict()
    differing = [name for name in trained["ptq"] if not torch.equal(trained["ptq"][name], trained["qat"][name])]
    assert "network.conv1.weight" in differing and "network.conv1.weight_quantizer.scale" in differing


class Unusual(nn.Module):
    """A layer that runs twice and one that never runs."""

    def __init__(self, *, in_channels, num_classes, image_size):
        super().__init__()
        self.stem, self.twice = nn.Conv2d(in_channels, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.never, self.fc = nn.Linear(4, 4), nn.Linear(4, num_classes)

    def forward(self, pixels):
        maps = self.twice(self.twice(input=self.stem(pixels)))
        return self.fc(maps.mean((2, 3)))


def unusual(**shape):
    return Unusual(**shape)


def subclassed(*, in_channels, num_classes, image_size):
    class Standardized(nn.Conv2d):
        def forward(self, maps):
            return self._conv_forward(maps, self.weight - self.weight.mean(), self.bias)

    return nn.Sequential(Standardized(in_channels, num_classes, image_size), nn.Flatten())


def renamed(*, in_channels, num_classes, image_size):
    """Subclasses that compute what their base does, as timm's."""

    class Convolution(nn.Conv2d):
        def forward(self, maps):
            return nn.functional.conv2d(maps, self.weight, self.bias, self.stride, self.padding)

    class Classifier(nn.Linear):
        pass

    return nn.Sequential(Convolution(in_channels, 4, image_size), nn.Flatten(), Classifier(4, num_classes))


def pooled(*, in_channels, num_classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(num_classes), nn.BatchNorm1d(num_classes))


def own_spec(factory):
    return spec_of("custom", factory=f"{__name__}:{factory}", arguments={})


def test_layers_that_run_are_quantized_once_and_others_left_float():
    spec = own_spec("unusual")
    model = quantized(spec, 4)
    assert list(bits_of(model)) == ["network.stem", "network.twice", "network.fc"]
    assert type(model.network.never) is nn.Linear
    seen = observe(model_of(spec), ["network.twice"], split(0, 5)[0], torch.Generator())["network.twice"]
    assert seen.shape == (1, 2 * 5 * 4 * 64 + 2)


def test_subclasses_that_compute_what_their_base_does_are_quantized():
    spec = own_spec("renamed")
    model = quantized(spec, 4)
    assert list(bits_of(model)) == ["network.0", "network.2"]
    plain_model = model_of(spec)
    pixels = pixels_of(spec)
    assert not torch.equal(model(pixels), plain_model(pixels))
    model.network[0].weight_quantizer = model.network[0].input_quantizer = nn.Identity()
    model.network[2].weight_quantizer = model.network[2].input_quantizer = nn.Identity()
    assert torch.equal(model(pixels), plain_model(pixels))


def test_what_cannot_be_quantized_is_named():
    with pytest.raises(InputError, match=r"network\.0 is a Standardized"):
        quantized(own_spec("subclassed"), 4)
    with pytest.raises(InputError, match="no convolution or linear layer"):
        quantized(own_spec("pooled"), 4)
    spec = spec_of("cnn8", width=4)
    model = model_of(spec)
    with torch.no_grad():
        model.network.conv1.bias[0] = math.inf
    with pytest.raises(InputError, match=r"inputs of network\.conv2 are not finite"):
        quantized(spec, 4, model=model)
    with pytest.raises(InputError, match=r"network\.conv1 is a QuantizedConv2d"):
        quantized(spec, 4, model=quantized(spec, 8))


# Trained models


def test_accuracy_falls_with_the_bits_and_hardly_at_eight(digits):
    spec, model, train, test = digits
    clean = accuracy(model, *test)
    assert clean > 0.85
    found = {bits: accuracy(quantized(spec, bits, model, train[0]), *test) for bits in (16, 8, 4, 3, 2, 1)}
    assert found[16] == pytest.approx(clean, abs=0.002)
    assert found[8] == pytest.approx(clean, abs=0.01)
    assert found[4] > found[3] > found[2] > found[1]
    assert found[2] < clean - 0.2


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_every_calibration_keeps_the_accuracy_at_six_bits(digits, method):
    spec, model, train, test = digits
    found = quantized(spec, 6, model, train[0], calibration=method)
    assert accuracy(found, *test) == pytest.approx(accuracy(model, *test), abs=0.02)


def test_training_recovers_two_bits(digits):
    spec, model, train, test = digits
    recipe = training(3, optimizer="adam", learning_rate=0.003, batch_size=64)
    for changes in ({"calibration": "mse"}, {"mode": "qat", "calibration": "mse"}):
        found = quantized(spec, 2, model, train[0], **changes)
        before = accuracy(found, *test)
        fit(found, train, split(0, 0), recipe, seed=0)
        assert accuracy(found, *test) > before + 0.3


@pytest.mark.parametrize("changes", [{"bits": 8}, {"bits": 4}, {"bits": 1, "activation_bits": 32}])
def test_pgd_passes_through_the_rounding(digits, changes):
    spec, model, train, test = digits
    found = quantized(spec, **changes, model=model, images=train[0])
    if changes["bits"] == 1:
        fit(found, train, split(0, 0), training(2, optimizer="adam", learning_rate=0.003), seed=0)
    found.eval()
    pixels, labels = test[0][:150].float() / 255, test[1][:150]
    _, _, gradient = loss_and_gradient(found, pixels, labels, LOSSES["cross_entropy"])
    assert (gradient.flatten(1).abs().amax(1) > 0).all()
    options = {"norm": "linf", "loss": "cross_entropy", "alpha": None, "keep": "best", "random_start": True}
    adversarial = pgd(
        found,
        pixels,
        labels,
        eps=0.2,
        steps=10,
        restarts=1,
        stop_on_success=False,
        seed=0,
        indices=torch.arange(150),
        **options,
    )
    assert accuracy(found, adversarial, labels) < accuracy(found, pixels, labels) - 0.4


def test_saturated_pixels_have_gradients():
    spec = spec_of("cnn8", width=4)
    model = quantized(spec, 8, images=split(0, 50)[0])
    pixels, labels = split(0, 20)
    pixels = pixels.float() / 255
    _, _, gradient = loss_and_gradient(model, pixels, labels, LOSSES["cross_entropy"])
    assert (gradient[pixels == 0] != 0).float().mean() > 0.9
    assert (gradient[pixels == 1] != 0).float().mean() > 0.9


# Quantized models as any other


SETTINGS = {
    "ptq-8": {"bits": 8},
    "qat-2": {"bits": 2, "mode": "qat", "calibration": "mse"},
    "kept": {"bits": 1, "first_last": "keep", "activation_bits": 4, "mode": "qat"},
    "weights only": {"bits": 1, "activation_bits": 32},
}


@pytest.mark.parametrize("name", ["cnn3", "resnet18", "depthwise_separable", "residual"])
@pytest.mark.parametrize("case", SETTINGS)
def test_a_checkpoint_rebuilds_the_quantized_model_bit_for_bit(tmp_path, name, case):
    spec = EXAMPLES[name]
    model = quantized(spec, **SETTINGS[case])
    pixels = pixels_of(spec)
    save_model(tmp_path / "model", model, spec, name="x")
    loaded, masks, metadata = load_model(tmp_path / "model")
    assert masks == {}
    assert metadata["quantization"] == quantized_layers(model) == quantized_layers(loaded)
    assert_same_tensors(loaded.state_dict(), model.state_dict())
    assert dict(loaded.named_parameters()).keys() == dict(model.named_parameters()).keys()
    assert torch.equal(loaded(pixels), model.to(memory_format=torch.channels_last)(pixels))
    assert not any(module.training for module in loaded.modules())


def test_a_checkpoint_whose_quantizers_do_not_fit_is_refused(tmp_path):
    spec = spec_of("cnn8", width=4)
    model = quantized(spec, 8)
    for wrong in ({"network.conv9": {"weight": {"bits": 8, "learned": False}, "input": None}}, {}):
        save_model(tmp_path / "model", model, spec, quantization=wrong)
        with pytest.raises(InputError, match="cannot be rebuilt"):
            load_model(tmp_path / "model")


def test_a_copy_computes_the_same_and_is_independent():
    spec = EXAMPLES["resnet18"]
    model, pixels = quantized(spec, 2, mode="qat"), pixels_of(spec)
    model(pixels).sum().backward()
    twin = copy.deepcopy(model)
    assert torch.equal(twin(pixels), model(pixels))
    expected = model(pixels)
    for parameter in twin.parameters():
        parameter.data += 1
    assert torch.equal(model(pixels), expected)


def test_folding_leaves_a_quantized_model_alone():
    spec = EXAMPLES["resnet18"]
    model = quantized(spec, 4)
    assert fold(model, pixels_of(spec)) is model
    assert fold(model_of(spec), pixels_of(spec)) is not model


def test_quantization_of_batch_normalised_layers_is_blind_to_the_folding():
    """Per-channel scales make quantizing a weight and its folded weight the same, but for the sign of the factor."""
    weight = torch.randn(4, 20, generator=torch.Generator().manual_seed(0))
    factor = torch.tensor([0.125, 1.0, 4.0, 16.0])[:, None]  # exact in floating point
    first = rounded(weight, *calibrated(weight, 4, symmetric=True), 4) * factor
    second = rounded(weight * factor, *calibrated(weight * factor, 4, symmetric=True), 4)
    assert torch.equal(first, second)


def test_bfloat16_rounds_in_float32():
    spec = spec_of("cnn8", width=4)
    model = quantized(spec, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.network.conv2.input_quantizer(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32
    history = fit(model, split(0, 64), split(0, 0), training(1, batch_size=32, precision="bfloat16"), seed=0)
    assert math.isfinite(history[0]["train_loss"])


@pytest.mark.parametrize("mode", ["ptq", "qat"])
def test_sizes_count_the_bits(mode):
    spec = EXAMPLES["cnn3"]
    dense = measure(model_of(spec), {}, shape_of(spec))
    found = measure(quantized(spec, 3, mode=mode), {}, shape_of(spec))
    for key in ("parameters", "nonzeros", "channels", "macs", "bytes"):
        assert found[key] == dense[key]
    layers = [layer for layer in model_of(spec).modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    weights = sum(math.ceil(layer.weight.numel() * 3 / 8) for layer in layers)
    floats = sum(2 * 4 * len(layer.weight) for layer in layers)  # biases and scales
    assert found["packed_bytes"] == weights + floats + 8 * len(layers)


def test_a_compression_calibrates_once_and_trains_once():
    spec, calls = spec_of("cnn8", width=4), []
    model, (images, labels) = model_of(spec), split(0, 30)
    train_on = lambda model, masks, stage: calls.append((bits_of(model)["network.conv1"], masks, stage))  # noqa: E731
    assert compress(Task(model, shape_of(spec), entry(4), train_on, (images, labels), seed=3)) == {}
    assert calls == [((4, 4), {}, 0)]
    assert_same_tensors(model.state_dict(), quantized(spec, 4, images=images, seed=3).state_dict())


@pytest.mark.parametrize(("mode", "bits"), [("ptq", 4), ("qat", 2)])
def test_a_quantized_model_keeps_the_zeros_of_the_pruned_one(mode, bits):
    spec, train = spec_of("cnn8", width=4), split(0, 64)
    model = model_of(spec)
    masks = prune_weights(model, 0.7, scope="global", shape=shape_of(spec))

    def train_on(model, masks, stage):
        recipe = training(1, batch_size=16, learning_rate=0.05)
        fit(model, train, split(64, 80), recipe, seed=0, masks=masks)

    task = Task(model, shape_of(spec), entry(bits, mode=mode), train_on, train, masks=masks)
    assert compress(task) is masks
    size = measure(model, masks, shape_of(spec))
    dense = measure(quantized(spec, bits, mode=mode), {}, shape_of(spec))
    assert size["packed_bytes"] < dense["packed_bytes"]
    for name, mask in masks.items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        assert not layer.weight[~mask].any() and not layer.weight_quantizer(layer.weight)[~mask].any(), name
        assert layer.weight[mask].any()


def test_a_killed_training_resumes_bit_for_bit(tmp_path, monkeypatch):
    spec, recipe = spec_of("cnn8", width=4), training(3, batch_size=32, momentum=0.9)
    data = split(0, 64), split(64, 80)
    whole = quantized(spec, 2, mode="qat")
    history = fit(whole, *data, recipe, seed=0)
    save = Resume.save

    def killed(self, rows):
        save(self, rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Resume, "save", killed)
        fit(quantized(spec, 2, mode="qat"), *data, recipe, seed=0, resume_path=tmp_path / "resume")
    resumed = quantized(spec, 2, mode="qat")
    assert fit(resumed, *data, recipe, seed=0, resume_path=tmp_path / "resume") == history
    assert_same_tensors(resumed.state_dict(), whole.state_dict())


def test_layers_by_hand():
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    model[0].weight.data = torch.tensor([[0.9, -2.0]])
    settings_of_both = {"weight": {"bits": 2, "learned": False}, "input": {"bits": 2, "learned": False}}
    quantize_layers(model, {"0": settings_of_both})
    model[0].weight_quantizer.set(torch.tensor([1.0]), 2)  # -2, -1, 0, 1
    model[0].input_quantizer.set(torch.tensor([0.5]), 0)  # 0, 0.5, 1, 1.5
    assert model(torch.tensor([[0.6, 7.0]])).item() == 1 * 0.5 - 2 * 1.5


# The study


CONFIG = """
study: small
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 1}}
finetunings: {short: {epochs: 1}}
compressions: {ptq: {method: quantization, bits: [8, 4]}, qat: {method: quantization, mode: qat, bits: 2}}
variants: [{compressions: ["ptq-*"], finetunings: [none, short]}, {compressions: ["qat-*"]}]
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {}}
"""


def config(**sections):
    return yaml.safe_load(CONFIG) | sections


def problems_of(**sections):
    with pytest.raises(ConfigError) as caught:
        Study(config(**sections))
    return caught.value.problems


def test_plan_names_quantizations_by_their_bits():
    study = Study(config())
    assert list(study.compressions) == ["ptq-8", "ptq-4", "qat-2"]
    assert study.compressions["ptq-4"].settings == entry(4)
    description = study.describe("digits", "cnn3.standard.ptq-4.none.s0")
    assert (description["compression"], description["ratio"], description["bits"]) == ("ptq", 0.0, 4)
    assert study.describe("digits", "cnn3.standard.none.none.s0")["bits"] == 32
    assert not [name for _, name in study.models if ".qat-2.none." in name]


def test_quantization_aware_training_needs_a_finetuning():
    assert problems_of(variants=[{"finetunings": ["none"]}]) == [
        "compressions.qat.mode: qat trains for the epochs of a fine-tuning, and variants selects it with none; "
        "name an entry of finetunings there, or write mode: ptq"
    ]
    assert problems_of(finetunings={}, variants=[{}])[0].startswith("compressions.qat.mode: qat trains")
    assert problems_of(finetunings={"short": {"epochs": 0}}) == [
        "finetunings.short.epochs: 0 trains nothing, which compressions.qat needs (mode: qat)"
    ]


def test_contradictions_of_a_quantization():
    both = {"method": "quantization", "bits": [1, 2], "activation_bits": 20}
    assert problems_of(compressions={"mine": both}, variants=[{}]) == [
        "compressions.mine.activation_bits: 20 is neither 1 to 16 nor 32; write 32 to leave the inputs float",
    ]
    bare = {"method": "quantization", "bits": [1, 2], "activation_bits": 32, "mode": "qat"}
    assert problems_of(compressions={"mine": bare}, variants=[{"finetunings": ["short"]}]) == [
        "compressions.mine.mode: qat trains scales, and 1-bit weights with float inputs have none; it would be a ptq "
        "with a fine-tuning, so write mode: ptq, or activation_bits below 32"
    ]
    assert problems_of(compressions={"mine": {"method": "quantization", "bits": 17}}, variants=[{}]) == [
        "compressions.mine.bits: 17 is not in [1, 16]"
    ]


def test_tables_and_figures_name_the_bits(tmp_path):
    study = Study(config())
    names = ["cnn3.standard.none.none.s0", "cnn3.standard.ptq-4.none.s0"]
    size = dict.fromkeys(("channels", "parameters", "nonzeros", "macs", "bytes", "packed_bytes"), 1)
    model = model_of(EXAMPLES["cnn3"])
    paths = [tmp_path / name for name in names]
    save_model(paths[0], model, EXAMPLES["cnn3"], size=size, dense=size)
    quantize(model, (1, 28, 28), entry(4), torch.zeros(4, 1, 28, 28, dtype=torch.uint8), 0)
    save_model(paths[1], model, EXAMPLES["cnn3"], size=size, dense=size, compression=entry(4, activation_bits=8))
    descriptions = [study.describe("digits", name) for name in names]
    rows = compression_table(descriptions, paths).set_index("model")
    assert rows.loc[names[0], ["bits", "activation_bits", "measure"]].tolist() == [32, 32, ""]
    assert rows.loc[names[1], ["bits", "activation_bits", "measure"]].tolist() == [4, 8, "bits"]
    assert rows.loc[names[1], "filters"] == rows.loc[names[0], "filters"] == "4-8-8"
    row = {f"target_{key}": value for key, value in descriptions[1].items()}
    assert model_label(row, "target", set()) == "cnn3 standard ptq 4-bit not fine-tuned"
