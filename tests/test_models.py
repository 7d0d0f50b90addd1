"""Networks have the papers' sizes, are functions of specification and seed, and are measured as by hand."""

import random
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import torchvision
from entry_examples import SECTIONS
from model_examples import EXAMPLES, assert_same_tensors, custom_spec, model_of, pixels_of, shape_of, spec_of
from torch import nn
from torch.nn import functional

from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.measure import layer_macs, measure


@pytest.mark.parametrize(
    ("kind", "channels", "size", "parameters"),
    [("cnn3", 1, 28, 178_986), ("cnn8", 1, 28, 549_994), ("resnet18", 3, 32, 11_173_962)],
)
def test_default_widths_have_the_papers_parameter_counts(kind, channels, size, parameters):
    width = SECTIONS["architectures"][kind].defaults()["width"]
    model = build(spec_of(kind, channels=channels, size=size, width=width), seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("size", [64, 65])
def test_resnet18_is_torchvisions_with_a_stem_for_small_images(size):
    spec = spec_of("resnet18", channels=3, size=size, width=64)
    model = model_of(spec)
    plain = torchvision.models.resnet18(num_classes=10)
    if size <= 64:
        plain.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        plain.maxpool = nn.Identity()
    plain.load_state_dict(model.network.state_dict(), strict=True)
    pixels = pixels_of(spec, 1)
    assert torch.equal(model.network(pixels), plain.eval()(pixels))


@pytest.mark.parametrize("width", [1, 6, 16])
def test_resnet18s_stages_scale_with_the_width(width):
    network = build(spec_of("resnet18", channels=3, size=8, width=width), seed=0).network
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    assert [stage[1].conv2.out_channels for stage in stages] == [width, 2 * width, 4 * width, 8 * width]
    assert network.conv1.out_channels == width
    assert network.fc.in_features == 8 * width


@pytest.mark.parametrize("kind", ["cnn3", "cnn8", "resnet18"])
@pytest.mark.parametrize("extra", [0, 1, 7])
def test_every_architecture_takes_images_from_its_minimum_size(kind, extra):
    size = SECTIONS["architectures"][kind].minimum_size + extra
    spec = spec_of(kind, channels=2, size=size, width=2, classes=7)
    assert model_of(spec)(pixels_of(spec)).shape == (3, 7)


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("dataset", lambda pixels: (pixels - 0.3) / 0.4),
        ("none", lambda pixels: pixels),
        ("half", lambda pixels: 2 * pixels - 1),
    ],
)
def test_normalization_is_the_first_layer(normalization, expected):
    spec = spec_of("cnn8", channels=3, width=2, normalization=normalization)
    model, pixels = model_of(spec), pixels_of(spec)
    torch.testing.assert_close(model(pixels), model.network(expected(pixels)))


def test_normalization_is_per_channel():
    spec = {**spec_of("cnn8", channels=2, width=2), "mean": [0.25, 0.5], "std": [0.5, 2.0]}
    normalized = build(spec, seed=0).normalize(torch.ones(1, 2, 8, 8))
    assert torch.equal(normalized[0, :, 0, 0], torch.tensor([1.5, 0.25]))


def test_normalization_is_saved_but_not_trained():
    model = build(EXAMPLES["cnn8"], seed=0)
    assert {"normalize.mean", "normalize.std"} <= model.state_dict().keys()
    assert not list(model.normalize.parameters())


@pytest.mark.parametrize("name", EXAMPLES)
def test_weights_are_a_function_of_the_seed(name):
    first, again, other = (build(EXAMPLES[name], seed) for seed in (3, 3, 4))
    assert_same_tensors(first.state_dict(), again.state_dict())
    weights = [name for name, tensor in first.named_parameters() if tensor.dim() > 1]
    assert all(not torch.equal(first.state_dict()[name], other.state_dict()[name]) for name in weights)


@pytest.mark.parametrize("name", ["resnet18", "concatenated"])
def test_building_leaves_the_global_generator_alone(name):
    before = torch.get_rng_state()
    build(EXAMPLES[name], seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def factory(monkeypatch):
    """Makes a function importable as the factory of a custom architecture and returns its specification."""

    def install(function, **arguments):
        module = ModuleType("made_up_networks")
        module.factory = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return spec_of("custom", factory=f"{module.__name__}:factory", arguments=arguments)

    return install


def linear(classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def test_a_custom_factory_gets_the_images_facts_and_its_arguments(factory):
    got = {}

    def make(**arguments):
        got.update(arguments)
        return linear()

    build(factory(make, depth=3), seed=0)
    assert got == {"in_channels": 1, "num_classes": 10, "image_size": 8, "depth": 3}


def test_checking_a_custom_network_leaves_it_as_it_was_made(factory):
    made = nn.Sequential(nn.BatchNorm2d(1), linear())
    model = build(factory(lambda **_: made), seed=0)
    assert model.network is made
    assert made.training
    assert made[0].num_batches_tracked == 0


@pytest.mark.parametrize("draw", [random.random, np.random.rand], ids=["Python", "numpy"])
def test_a_factory_that_draws_elsewhere_than_in_torch_is_as_its_seed_says(factory, draw):
    def make(**_):
        network = linear()
        with torch.no_grad():
            network[1].weight[0, 0] = draw()
        return network

    before = random.getstate()
    first, again, other = (build(factory(make), seed=seed).network[1].weight[0, 0].item() for seed in (1, 1, 2))
    assert first == again != other
    assert random.getstate() == before


def leaves(**_):
    raise SystemExit(3)


def fails(**_):
    raise KeyError("depth")


class InOneMemory(nn.Module):
    """A decoder whose weight is a view of its encoder's, and yet a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode, self.last = nn.Linear(64, 8), nn.Linear(8, 64), nn.Linear(64, 10)
        self.decode.weight = nn.Parameter(self.encode.weight.t())

    def forward(self, pixels):
        return self.last(self.decode(self.encode(pixels.flatten(1))))


class InComplex(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = linear()
        self.inner.scale = nn.Parameter(torch.ones(10, dtype=torch.complex64))

    def forward(self, pixels):
        return (self.inner(pixels) * self.inner.scale).abs()


class InHalf(nn.Module):
    def forward(self, pixels):
        return pixels.flatten(1)[:, :10].half()


class EndsInDouble(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = linear()

    def forward(self, pixels):
        return functional.linear(pixels.flatten(1).double(), self.inner[1].weight.double())


class InDouble(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = linear().double()

    def forward(self, pixels):
        return self.inner(pixels.double()).float()


@torch.jit.script
def smooth(maps: torch.Tensor) -> torch.Tensor:
    return maps * maps.sigmoid()


class Holding(nn.Module):
    """Holds a function that cannot be copied."""

    def __init__(self):
        super().__init__()
        self.inner = linear()
        self.inner.act = smooth

    def forward(self, pixels):
        return self.inner(self.inner.act(pixels))


class Squeezed(nn.Sequential):
    """Loses the dimension of the images where there is one."""

    def forward(self, pixels):
        return super().forward(pixels).squeeze()


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda **_: InHalf(), "its network has its logits in float16, float32 is needed"),
        (lambda **_: EndsInDouble(), r"its logits in float64, float32 is needed; .* end `forward` with \.float"),
        (lambda **_: InDouble(), "its network has inner.1.weight in float64, inner.1.bias in float64, float32"),
        (
            lambda **_: InComplex(),
            "inner.scale in complex64, float32 is needed; hold the two parts of a complex number",
        ),
        (lambda **_: InOneMemory(), "decode.weight and encode.weight are two parameters in one memory"),
        (lambda **_: torch.jit.script(linear()), "its network is compiled"),
        (lambda **_: nn.Sequential(torch.jit.script(linear())), "0 is compiled"),
        (lambda **_: Holding(), r"inner\.act cannot be copied \(PickleError: ScriptFunction cannot be pickled\), and"),
        (lambda **_: Squeezed(linear()), r"maps \(1, 1, 8, 8\) to \(10,\), \(1, 10\) is needed"),
        (fails, "KeyError: 'depth'"),
        (leaves, "SystemExit: 3"),
        (
            lambda in_channels, num_classes: linear(),
            "TypeError: got an unexpected keyword argument 'image_size'; it is called with "
            r"\(in_channels=1, num_classes=10, image_size=8\): take these by name, or name a function that does",
        ),
        (lambda **_: "resnet", "returned str, not a torch.nn.Module"),
        (lambda **_: linear, "returned function, not a torch.nn.Module"),
        (lambda **_: linear(7), r"maps \(2, 1, 8, 8\) to \(2, 7\), \(2, 10\) is needed"),
        (lambda **_: nn.Conv2d(1, 10, 3), r"to \(2, 10, 6, 6\), \(2, 10\) is needed"),
        (lambda **_: nn.MaxPool2d(2, return_indices=True), r"to tuple, \(2, 10\) is needed"),
        (lambda **_: nn.Linear(5, 10), r"fails on images \(1, 1, 8, 8\): RuntimeError: mat1 and mat2"),
    ],
)
def test_a_bad_custom_factory_is_named_with_its_problem(factory, function, problem):
    with pytest.raises(InputError, match=f"factory made_up_networks:factory: .*{problem}"):
        build(factory(function), seed=0)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_package.networks:make", "there is no module no_such_package.networks under the working directory"),
        ("model_examples:no_such_function", "AttributeError: .*no_such_function"),
    ],
)
def test_a_custom_factory_that_cannot_be_imported_is_named(name, problem):
    with pytest.raises(InputError, match=f"factory {name}: {problem}"):
        build(spec_of("custom", factory=name, arguments={}), seed=0)


def test_a_network_of_the_working_directory_is_found_from_wherever_python_was_started(tmp_path, monkeypatch):
    (tmp_path / "apart_networks.py").write_text(
        "from torch import nn\n\ndef net(**_):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    build(spec_of("custom", factory="apart_networks:net", arguments={}), seed=0)
    del sys.modules["apart_networks"]


def test_measure_equals_hand_computed_numbers():
    # weights, then biases of: 1 -> 2 filters 8x8 at 14x14 places, 2 -> 4 6x6 at 5x5, 4 -> 4 5x5 at one, linear 4 -> 10
    model = model_of(spec_of("cnn3", size=28, width=2))
    parameters = (128 + 2) + (288 + 4) + (400 + 4) + (40 + 10)
    macs = {"conv1": 128 * 196, "conv2": 288 * 25, "conv3": 400, "fc": 40}
    assert layer_macs(model, (1, 28, 28)) == {f"network.{name}": count for name, count in macs.items()}
    assert measure(model, {}, (1, 28, 28)) == {
        "parameters": parameters,
        "nonzeros": parameters,
        "channels": 2 + 4 + 4,
        "convolutions": 3,
        "weights": 128 + 288 + 400 + 40,
        "zero_weights": 0,
        "quantized_weights": 0,
        "weight_bits": 32 * (128 + 288 + 400 + 40),
        "macs": sum(macs.values()),
        "bytes": 4 * parameters,
        "packed_bytes": 4 * parameters,
    }


def test_a_depthwise_convolution_multiplies_each_channel_once():
    macs = layer_macs(model_of(custom_spec("depthwise_separable", width=4)), (1, 8, 8))
    assert list(macs.values()) == [36 * 64, 36 * 64, 16 * 64, 36 * 64, 32 * 64, 80]


class Reused(nn.Module):
    """One convolution used twice and a linear layer over the positions of the map."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Linear(2, 3)
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, pixels):
        return self.tokens(self.conv(self.conv(pixels)).flatten(2).transpose(1, 2))


def test_macs_count_every_use_of_a_layer_in_order_of_execution():
    assert list(layer_macs(Reused(), (2, 4, 4)).items()) == [("conv", 2 * 36 * 16), ("tokens", 6 * 16)]


def test_masked_tensors_pack_as_their_nonzeros_and_one_bit_per_position():
    model = model_of(spec_of("cnn3", size=28, width=2))
    dense = measure(model, {}, (1, 28, 28))
    weight = model.network.fc.weight
    mask = torch.zeros_like(weight, dtype=torch.bool)
    mask.view(-1)[:13] = True
    weight.data.mul_(mask)
    size = measure(model, {"network.fc.weight": mask}, (1, 28, 28))
    assert size["nonzeros"] == dense["nonzeros"] - 27
    assert size["packed_bytes"] == dense["packed_bytes"] - 4 * 27 + 5
    unchanged = ["parameters", "channels", "macs", "bytes"]
    assert [size[key] for key in unchanged] == [dense[key] for key in unchanged]


def test_a_kept_weight_that_is_zero_packs_as_kept_but_is_no_nonzero():
    model = model_of(spec_of("cnn3", size=28, width=2))
    model.network.fc.weight.data.zero_()
    size = measure(model, {"network.fc.weight": torch.ones(10, 4, dtype=torch.bool)}, (1, 28, 28))
    assert size["nonzeros"] == size["parameters"] - 40
    assert size["packed_bytes"] == size["bytes"] + 5


def hooks_of(model):
    return [hook for module in model.modules() for hook in module._forward_hooks.values()]


@pytest.mark.parametrize("mode", [True, False])
def test_measuring_leaves_the_model_as_it_was(mode):
    spec = EXAMPLES["resnet18"]
    model = model_of(spec).train(mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measure(model, {}, shape_of(spec))
    assert model.training is mode
    assert not hooks_of(model)
    assert_same_tensors(model.state_dict(), before)


def test_a_failing_measurement_removes_its_hooks():
    model = model_of(EXAMPLES["cnn8"]).train()
    with pytest.raises(RuntimeError):
        layer_macs(model, (2, 8, 8))
    assert model.training
    assert not hooks_of(model)
