"""Quantization: which layers get which bits, what cannot be quantized, and quantizations in a config and its tables."""

import math

import pytest
import torch
import yaml
from model_examples import (
    EXAMPLES,
    model_of,
    pixels_of,
    spec_of,
    split,
    training,
)
from quantization_examples import bits_of, entry, quantized
from torch import nn

from squeezeproof.analysis.efficiency import compression_table
from squeezeproof.analysis.names import model_label
from squeezeproof.compression.calibration import observe
from squeezeproof.compression.quantization import quantize
from squeezeproof.errors import InputError
from squeezeproof.models.checkpoints import save_model
from squeezeproof.models.quantized import (
    quantized_layers,
)
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study
from squeezeproof.training.loop import fit


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


def masked(*, in_channels, num_classes, image_size):
    """A kernel of which the middle is held at zero, by every pass."""

    class Ring(nn.Conv2d):
        def forward(self, maps):
            self.weight.data[:, :, image_size // 2] = 0
            return super().forward(maps)

    return nn.Sequential(Ring(in_channels, num_classes, image_size), nn.Flatten())


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


def test_a_layer_that_masks_its_weights_goes_on_to():
    spec = own_spec("masked")
    model, middle = quantized(spec, 4), spec["image_size"] // 2
    assert list(bits_of(model)) == ["network.0.product_weight"]
    layer, pixels = model.network[0], pixels_of(spec)
    before = model(pixels)
    layer.weight.data[:, :, middle] = 7
    assert torch.equal(model(pixels), before) and not layer.weight[:, :, middle].any()


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
