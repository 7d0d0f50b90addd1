"""Quantized models as any other model: trained, attacked, stored, copied, folded and measured."""

import copy
import math

import pytest
import torch
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
from quantization_examples import bits_of, calibrated, entry, quantized, rounded
from torch import nn

from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import LOSSES
from squeezeproof.attacks.pgd import pgd
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.checkpoints import load_model, save_model
from squeezeproof.models.fold import fold
from squeezeproof.models.measure import measure
from squeezeproof.models.predict import accuracy
from squeezeproof.models.quantized import (
    quantize_layers,
    quantized_layers,
)
from squeezeproof.training.loop import fit
from squeezeproof.training.resume import Resume


@pytest.fixture(scope="module")
def digits():
    """A network trained on 1,000 digits, and the 797 others."""
    spec, train, test = spec_of("cnn8", width=8), split(0, 1000), split(1000, 1797)
    model = model_of(spec)
    recipe = training(10, optimizer="adam", learning_rate=0.01, batch_size=32, schedule="cosine")
    fit(model, train, (test[0][:0], test[1][:0]), recipe, seed=0)
    return spec, model, train, test


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
