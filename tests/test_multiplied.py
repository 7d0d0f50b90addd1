"""Quantization of what `forward` computes by functions: padded convolutions, bare parameters, borrowed weights."""

import copy
import sys
from types import ModuleType

import onnxruntime
import pytest
import torch
from model_examples import assert_same_tensors, shape_of, spec_of, split, training
from quantization_examples import bits_of, entry, quantized
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.gradient import loss_and_gradient
from squeezeproof.attacks.objective import LOSSES
from squeezeproof.compression.compress import compress
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prune_weights
from squeezeproof.deployment.export import export_onnx, export_program
from squeezeproof.deployment.integer import export_integer, integer_graph
from squeezeproof.deployment.plain import run_session
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import check_rebuilds, load_model, save_model
from squeezeproof.models.measure import measure
from squeezeproof.runtime import place
from squeezeproof.training.loop import fit

SAME = (0, 1, 0, 1)


class Same(nn.Conv2d):
    """Pads at the end as TensorFlow does, by the size of its input, and calls the function."""

    def forward(self, maps):
        pads = []
        for size, kernel, step in zip(maps.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            missing = max((-(-size // step) - 1) * step + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return functional.conv2d(functional.pad(maps, pads), self.weight, self.bias, self.stride, groups=self.groups)


class Twin(nn.Module):
    """What the others compute, of torch's layers alone."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8)
        self.conv, self.second = nn.Conv2d(8, 8, 3, 2, groups=4), nn.BatchNorm2d(8)
        self.fc = nn.Linear(32, 10)

    def stemmed(self, pixels):
        return self.stem(functional.pad(pixels, SAME))

    def convolved(self, maps):
        return self.conv(functional.pad(maps, SAME))

    def classified(self, maps):
        return self.fc(maps.flatten(1))

    def forward(self, pixels):
        maps = functional.relu(self.norm(self.stemmed(pixels)))
        return self.classified(functional.relu(self.second(self.convolved(maps))))


class Padded(Twin):
    """Of convolutions that pad their maps themselves."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = Same(1, 8, 3, 2), Same(8, 8, 3, 2, groups=4)

    def stemmed(self, pixels):
        return self.stem(pixels)

    def convolved(self, maps):
        return self.conv(maps)


class Bare(Twin):
    """Of parameters that no layer holds."""

    def __init__(self):
        super().__init__()
        self.kernel, self.shift = self.stem.weight, self.stem.bias
        self.more = nn.ParameterList([self.conv.weight, self.conv.bias])
        self.head, self.lift = self.fc.weight, self.fc.bias
        del self.stem, self.conv, self.fc

    def stemmed(self, pixels):
        return functional.conv2d(functional.pad(pixels, SAME), self.kernel, self.shift, stride=2)

    def convolved(self, maps):
        return torch.conv2d(functional.pad(maps, SAME), self.more[0], self.more[1], 2, groups=4)

    def classified(self, maps):
        return functional.linear(maps.flatten(1), bias=self.lift, weight=self.head)


class Borrowed(Twin):
    """Of the weights of layers that are not called."""

    def stemmed(self, pixels):
        return functional.conv2d(functional.pad(pixels, SAME), self.stem.weight, self.stem.bias, 2)


NAMES = {
    Twin: ["network.stem", "network.conv", "network.fc"],
    Padded: ["network.stem.product_weight", "network.conv.product_weight", "network.fc"],
    Bare: ["network.product_kernel", "network.product_more:0", "network.product_head"],
    Borrowed: ["network.product_stem:weight", "network.conv", "network.fc"],
}
OTHERS = [Padded, Bare, Borrowed]


@pytest.fixture
def spec(monkeypatch):
    def of(factory):
        module = ModuleType("made_up_networks")
        module.factory = lambda **_: factory()
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return spec_of("custom", factory="made_up_networks:factory", arguments={})

    return of


@pytest.fixture(scope="module")
def twin():
    """The twin, trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential()
        model.network = Twin()
    model = place(model, "cpu", (1, 8, 8))
    fit(model, split(0, 400), split(0, 0), training(4, batch_size=32, optimizer="adam", learning_rate=0.01), seed=0)
    return model.eval()


def weights_of(twin, given, factory):
    """A model of another class with the twin's weights."""
    model = build(given, seed=0)
    state = {f"network.{name}": value for name, value in twin.network.state_dict().items()}
    if factory is Bare:
        new = {"stem.weight": "kernel", "stem.bias": "shift", "conv.weight": "more.0", "conv.bias": "more.1"}
        new |= {"fc.weight": "head", "fc.bias": "lift"}
        state = {f"network.{new.get(name[8:], name[8:])}": value for name, value in state.items()}
    own = model.state_dict()
    model.load_state_dict({**own, **state})
    return place(model, "cpu", shape_of(given)).eval()


def both(twin, spec, factory, bits=8, **changes):
    """(specification, the model of a class, the twin's), quantized on the same images."""
    given, images = spec(Twin), split(0, 200)[0]
    expected = quantized(given, bits, weights_of(twin, given, Twin), images, **changes)
    given = spec(factory)
    return given, quantized(given, bits, weights_of(twin, given, factory), images, **changes), expected


def trained(model, **changes):
    recipe = training(1, batch_size=32, learning_rate=0.02, **changes)
    fit(model, split(0, 96), split(0, 0), recipe, seed=0)
    return model


def assert_equal(found, expected):
    pixels = split(400, 500)[0] / 255
    torch.testing.assert_close(found(pixels), expected(pixels), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"bits": 3}, {"bits": 4, "mode": "qat"}, {"bits": 1, "activation_bits": 4}])
@pytest.mark.parametrize("factory", OTHERS)
def test_a_network_is_rounded_as_its_twin_of_layers_is_before_and_after_a_training(factory, changes, twin, spec):
    _, found, expected = both(twin, spec, factory, **changes)
    assert [bits_of(found)[name] for name in NAMES[factory]] == [bits_of(expected)[name] for name in NAMES[Twin]]
    assert len(bits_of(found)) == 3
    assert_equal(found, expected)
    pixels = split(400, 500)[0] / 255
    assert not torch.equal(found(pixels), weights_of(twin, spec(factory), factory)(pixels))
    assert_equal(trained(found).eval(), trained(expected).eval())


@pytest.mark.parametrize("factory", OTHERS)
def test_the_order_of_execution_says_which_layers_are_first_and_last(factory, twin, spec):
    _, found, _ = both(twin, spec, factory, bits=2, first_last="keep")
    assert [bits_of(found)[name][0] for name in NAMES[factory]] == [8, 2, 8]


@pytest.mark.parametrize("factory", OTHERS)
def test_sizes_are_those_of_the_twin(factory, twin, spec):
    given, found, expected = both(twin, spec, factory, bits=4)
    sizes = [measure(model, {}, shape_of(given)) for model in (found, expected)]
    assert sizes[0]["quantized_weights"] == sizes[0]["weights"] == 8 * 9 + 8 * 2 * 9 + 320
    # Filters are those of layers that hold their weights.
    assert {**sizes[0], "channels": 0, "convolutions": 0} == {**sizes[1], "channels": 0, "convolutions": 0}


@pytest.mark.parametrize("factory", OTHERS)
def test_a_checkpoint_rebuilds_it_and_a_copy_is_independent(factory, twin, spec, tmp_path):
    given, model, _ = both(twin, spec, factory, bits=4, mode="qat")
    trained(model).eval()
    save_model(tmp_path / "model", model, given)
    check_rebuilds(tmp_path / "model", model)
    loaded, _, metadata = load_model(tmp_path / "model")
    assert sorted(metadata["quantization"]) == sorted(NAMES[factory])
    assert_same_tensors(loaded.state_dict(), model.state_dict())
    pixels = split(400, 420)[0] / 255
    other = copy.deepcopy(model)
    before = model(pixels)
    assert torch.equal(other(pixels), before)
    for parameter in other.parameters():
        parameter.data += 1
    assert torch.equal(model(pixels), before) and not torch.equal(other(pixels), before)


@pytest.mark.parametrize("factory", OTHERS)
def test_gradients_pass_and_zeros_of_a_pruned_network_stay(factory, twin, spec):
    given = spec(factory)
    model, train = weights_of(twin, given, factory), split(0, 96)
    masks = prune_weights(model, 0.6, scope="layer", shape=shape_of(given))
    recipe = training(1, batch_size=32, learning_rate=0.02)
    train_on = lambda model, masks, _: fit(model, train, split(0, 0), recipe, seed=0, masks=masks)  # noqa: E731
    assert compress(Task(model, shape_of(given), entry(4), train_on, train, masks=masks)) is masks
    parameters = dict(model.named_parameters())
    assert len(masks) == 3 and all(not parameters[name][~mask].any() for name, mask in masks.items())
    pixels, labels = split(400, 420)
    _, _, gradient = loss_and_gradient(model.eval(), pixels / 255, labels, LOSSES["cross_entropy"])
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("factory", OTHERS)
def test_the_int8_model_is_that_of_the_twin(factory, twin, spec, tmp_path):
    _, found, expected = both(twin, spec, factory)
    images, labels = split(400, 600)
    told, of_twin = (
        export_integer(tmp_path / "a.onnx", model, images, labels, split(0, 200)[0], 200, 0)
        for model in (found, expected)
    )
    assert told["agreement"] == of_twin["agreement"] > 0.98
    assert told["layers"] == told["integer_layers"] == 3
    graphs = [integer_graph(model, (1, 8, 8), split(0, 200)[0])[0] for model in (found, expected)]
    logits = [run_session(session(graph), (images / 255).numpy()) for graph in graphs]
    torch.testing.assert_close(*map(torch.from_numpy, logits), rtol=0, atol=1e-5)


def session(graph):
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("factory", OTHERS)
def test_the_simulated_model_is_exported(factory, twin, spec, tmp_path):
    _, model, _ = both(twin, spec, factory, bits=4)
    images = split(400, 450)[0]
    assert export_onnx(tmp_path / "a.onnx", model, images)["agreement"] > 0.95
    assert export_program(tmp_path / "a.pt2", model, images)["agreement"] > 0.95


class Gain(Same):
    """Multiplies with another weight than it holds."""

    def forward(self, maps):
        return functional.conv2d(functional.pad(maps, SAME), 2 * self.weight, self.bias, self.stride)


class Gained(Padded):
    def __init__(self):
        super().__init__()
        self.stem = Gain(1, 8, 3, 2)


class Turned(Twin):
    """Multiplies without a function that is known."""

    def classified(self, maps):
        return maps.flatten(1) @ self.fc.weight.t() + self.fc.bias


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (Gained, r"conv2d and linear of torch.nn.functional .* a parameter; network.stem is a Gain$"),
        (Turned, r"leave 59.7 % of the weights float: no call of .* multiplies with network.fc.weight; hold them"),
    ],
)
def test_what_is_multiplied_in_another_way_is_refused_by_name(factory, told, spec):
    with pytest.raises(InputError, match=told):
        quantized(spec(factory), 8)


class Scaled(Same):
    """Feeds its convolution something else than it is fed."""

    def forward(self, maps):
        return super().forward(10 * maps - 2)


class Shifted(Padded):
    def __init__(self):
        super().__init__()
        self.stem = Scaled(1, 8, 3, 2)


def test_ranges_are_those_of_what_is_multiplied(spec):
    model = quantized(spec(Shifted), 8, images=split(0, 100)[0])
    seen = []
    product = model.network.stem.product_weight
    product.register_forward_pre_hook(lambda _, fed: seen.append(fed[0].detach()))
    model(split(0, 100)[0] / 255)
    quantizer = product.input_quantizer
    assert (255 * quantizer.scale).item() == pytest.approx((seen[0].max() - seen[0].min()).item(), rel=1e-4)


def test_a_checkpoint_that_names_a_product_of_nothing_is_refused(twin, spec, tmp_path):
    given, model, _ = both(twin, spec, Bare)
    settings = {part: {"bits": 8, "learned": False} for part in ("weight", "input")}
    for wrong in ("network.product_other", "product_network", "network.other.product_weight"):
        save_model(tmp_path / "model", model, given, quantization={wrong: settings})
        with pytest.raises(InputError, match="cannot be rebuilt"):
            load_model(tmp_path / "model")
