"""torchvision's networks by name: for small images, trained, rebuilt and compressed, or refused."""

import pytest
import torch
from model_examples import assert_same_tensors, spec_of
from torch import nn
from torchvision import models

from squeezeproof.compression.filters import dense_sizes, prune_filters
from squeezeproof.compression.weights import prune_weights
from squeezeproof.errors import InputError
from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import check_rebuilds, load_model, save_model
from squeezeproof.models.measure import measure
from squeezeproof.models.zoo import adapt_stem


def spec(name, size=32, channels=3, stem="auto"):
    return spec_of("torchvision", channels=channels, size=size, name=name, stem=stem)


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
