"""Networks of torchvision and timm by name: for small images, trained, rebuilt and compressed, or refused."""

import sys

import pytest
import torch
from model_examples import assert_same_tensors, spec_of
from safetensors.numpy import save_file
from torch import nn
from torchvision import models

from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import check_rebuilds, load_model, save_model
from squeezeproof.models.measure import measure
from squeezeproof.models.pretrained import load_pretrained, start_from
from squeezeproof.models.zoo import adapt_stem


def spec(name, size=32, channels=3, stem="auto"):
    return spec_of("torchvision", channels=channels, size=size, name=name, stem=stem)


def timm_spec(name, size=32, channels=3):
    pytest.importorskip("timm")
    return spec_of("timm", channels=channels, size=size, name=name, stem="auto")


def stem_of(network):
    return next(module for module in network.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize(
    ("name", "stride", "kernel"),
    [
        ("resnet18", 1, 3),
        ("mobilenet_v3_small", 1, 3),
        ("shufflenet_v2_x0_5", 1, 3),
        ("squeezenet1_1", 1, 3),
        ("mnasnet0_5", 1, 3),
        ("regnet_y_400mf", 1, 3),
        ("googlenet", 1, 3),
        ("convnext_tiny", 4, 4),
    ],
)
def test_small_images_get_a_stem_for_them(name, stride, kernel):
    small, original = (models.get_model(name, weights=None, num_classes=10) for _ in range(2))
    adapt_stem(small, 1, True)
    adapt_stem(original, 3, False)
    stem = stem_of(small)
    assert (stem.in_channels, stem.stride, stem.kernel_size) == (1, (stride,) * 2, (kernel,) * 2)
    plain = models.get_model(name, weights=None, num_classes=10)
    assert stem_of(original).stride == stem_of(plain).stride
    pools = [sum(isinstance(module, nn.MaxPool2d) for module in network.modules()) for network in (small, original)]
    assert pools[1] - pools[0] == (name in ("resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "googlenet"))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5"])
def test_a_network_is_pruned_saved_and_rebuilt(name, tmp_path):
    given = spec(name)
    model, shape = build(given, seed=0).eval(), (3, 32, 32)
    dense = measure(model, {}, shape)
    prune_filters(model, shape, dense_sizes(model, shape), 0.3, importance="l1", scope="layer", measure="channels")
    masks = prune_weights(model, 0.8, scope="global", shape=shape)
    size = measure(model, masks, shape)
    assert 1 - size["channels"] / dense["channels"] == pytest.approx(0.3, abs=0.02)
    assert size["zero_weights"] / size["weights"] == pytest.approx(0.8, abs=1e-3)
    save_model(tmp_path / "model", model, given, masks)
    check_rebuilds(tmp_path / "model", model)
    assert_same_tensors(load_model(tmp_path / "model")[0].state_dict(), model.state_dict())


def test_a_network_whose_widths_are_tensors_is_built():
    model = build(spec("regnet_y_400mf", channels=1, size=16), seed=0).eval()
    assert model(torch.rand(2, 1, 16, 16)).shape == (2, 10)


def test_the_weights_are_a_function_of_the_seed():
    first, again, other = (build(spec("squeezenet1_1"), seed).state_dict() for seed in (1, 1, 2))
    assert_same_tensors(first, again)
    assert not torch.equal(first["network.features.0.weight"], other["network.features.0.weight"])


def test_an_unknown_name_is_told_with_its_nearest():
    with pytest.raises(InputError, match=r"torchvision has no classifier 'mobilenet_v3'; .*mobilenet_v3_small"):
        build(spec("mobilenet_v3"), seed=0)


def test_images_that_a_network_cannot_cut_are_refused():
    with pytest.raises(InputError, match=r"torchvision's vit_b_16 takes no images of 40 pixels"):
        build(spec("vit_b_16", size=40), seed=0)


@pytest.mark.parametrize("name", ["lcnet_050", "resnet10t"])
def test_networks_of_timm_have_stems_for_small_images_and_rebuild(name, tmp_path):
    given = timm_spec(name, channels=1)
    model = build(given, seed=0).eval()
    assert stem_of(model.network).stride == (1, 1) and stem_of(model.network).in_channels == 1
    assert model(torch.rand(2, 1, 32, 32)).shape == (2, 10)
    save_model(tmp_path / "model", model, given)
    check_rebuilds(tmp_path / "model", model)


def test_timm_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="kind: timm needs the package timm: pip install"):
        build(spec_of("timm", size=32, name="lcnet_050", stem="auto"), seed=0)


def test_a_name_unknown_to_timm_is_told_with_its_nearest():
    with pytest.raises(InputError, match=r"timm has no classifier 'lcnet_05'; .*lcnet_050"):
        build(timm_spec("lcnet_05"), seed=0)


@pytest.fixture
def weights(tmp_path):
    """Weights of squeezenet1_1 for large colour images and 1000 classes, made up."""
    torch.manual_seed(0)
    network = models.get_model("squeezenet1_1", weights=None)
    write = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    save_file(write, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors", network.state_dict()


def test_weights_of_a_library_are_loaded_but_for_the_layer_of_the_classes(weights):
    path, given = weights
    model = build(spec("squeezenet1_1"), seed=1)
    before = model.network.classifier[1].weight.clone()
    assert load_pretrained(model, path, (3, 32, 32)) == ["classifier.1.bias", "classifier.1.weight"]
    assert torch.equal(model.network.features[3].squeeze.weight, given["features.3.squeeze.weight"])
    assert torch.equal(model.network.features[0].weight, given["features.0.weight"])
    assert torch.equal(model.network.classifier[1].weight, before)


def test_a_first_layer_for_other_images_stays_random_and_is_told(weights):
    path, _ = weights
    model = build(spec("squeezenet1_1", channels=1), seed=1)
    assert "features.0.weight" in load_pretrained(model, path, (1, 32, 32))


def test_random_layers_that_nothing_would_train_are_refused(weights):
    path, _ = weights
    with pytest.raises(InputError, match=r"classifier.1.weight would stay random: train for an epoch or more"):
        start_from(build(spec("squeezenet1_1"), seed=1), path, (3, 32, 32), epochs=0)


def test_weights_of_another_network_are_refused(weights):
    path, _ = weights
    with pytest.raises(InputError, match="are no weights of this network: "):
        load_pretrained(build(spec("squeezenet1_0"), seed=1), path, (3, 32, 32))
