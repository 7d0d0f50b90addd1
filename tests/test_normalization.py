"""What the pixels of a network are made of: by name, by numbers, and as images tell."""

import numpy as np
import pytest
import torch
import yaml
from check_examples import safetensors
from plan_examples import SMALL
from study_examples import changed
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.from_files.networks import find_network
from squeezeproof.from_files.readings import THESE, in_numbers, read_normalization, usual
from squeezeproof.models.build import build, specification
from squeezeproof.models.moments import PUBLIC, moments
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

CIFAR = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.2435, 0.2616]}


# --- in a config


def of(normalization):
    return changed(SMALL, {"architectures.cnn3": {"normalization": normalization}})


def test_a_config_says_the_numbers_of_each_channel():
    study = Study(of({"mean": 0.1307, "std": "0.3081"}))
    found = study.architecture_settings("cnn3")["normalization"]
    assert found == {"mean": [0.1307], "std": [0.3081]}
    dataset = {"shape": [1, 8, 8], "classes": [0, 1], "mean": [0.5], "std": [0.5]}
    model = build(specification({**study.architecture_settings("cnn3"), "normalization": found}, dataset), seed=0)
    pixels = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(model.normalize(pixels), (pixels - 0.1307) / 0.3081)
    assert moments("dataset", dataset) == ([0.5], [0.5])


@pytest.mark.parametrize(
    ("normalization", "told"),
    [
        (CIFAR, "normalization: mean and std are of 3 channels, datasets.digits has 1"),
        ({"mean": [0.1], "std": [0.1, 0.2]}, "normalization: has 1 numbers in mean and 2 in std; give one per channel"),
        ({"mean": [0.1], "std": [0]}, r"normalization.std\[0\]: 0 is not in \(0, inf\)"),
        ({"mean": [0.1]}, "normalization.std: missing"),
        (
            {"mean": [123.675], "std": [58.395]},
            r"normalization: has a mean outside \[0, 1\]; divide mean and std by 255",
        ),
        ({"mean": [0.1], "std": [1], "sd": 1}, "normalization.sd: unknown, did you mean std"),
        ("haf", "normalization: 'haf' is unknown, did you mean half"),
        ("Half", r"normalization: 'Half' is unknown, did you mean half\?$"),
        ([0.5], r"normalization: \[0.5\] is unknown; allowed: dataset, .*; or numbers, one per channel: \{mean"),
        ("CIFAR-10", r"normalization: 'CIFAR-10' is unknown; .*; or numbers, one per channel: \{mean: \[0\.4914"),
    ],
)
def test_what_is_wrong_with_a_normalization_is_told_by_its_key(normalization, told):
    with pytest.raises(ConfigError, match=rf"architectures\.cnn3\.{told}"):
        Study(of(normalization))


# --- as images tell


def coloured(count=300):
    """Images whose class is told by the sum of what CIFAR-10's numbers make of the middle pixel, and few by others."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return images, (middle(images, *PUBLIC["CIFAR-10"]) > 0).long()


def middle(images, mean, std):
    shifted = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    return shifted[:, :, 4, 4] @ torch.tensor([1.0, -2.0, 1.5])


def sum_of_the_middle(in_channels, num_classes, image_size):
    """A network of the images of `coloured`."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))


COLOURED = {"kind": "custom", "factory": "tests.test_normalization:sum_of_the_middle"}


@pytest.fixture
def by_cifar(tmp_path):
    network = sum_of_the_middle(3, 2, 8)
    weight = torch.zeros(3, 8, 8)
    weight[:, 4, 4] = torch.tensor([1.0, -2.0, 1.5])
    with torch.no_grad():
        network[1].weight.copy_(torch.stack([-weight.flatten(), weight.flatten()]))
        network[1].bias.zero_()
    return safetensors(network, tmp_path / "cifar.safetensors")


def test_the_mean_and_std_of_public_data_sets_are_tried(by_cifar):
    """Most recipes normalise so, and none of the round numbers is near enough to it."""
    images, labels = coloured()
    found = find_network(by_cifar, images, labels, 2, COLOURED)
    mean, std = PUBLIC["CIFAR-10"]
    assert found.settings["normalization"] == {"mean": mean, "std": std} and found.accuracy == 1.0
    assert found.reading == "CIFAR-10" and "normalization CIFAR-10: 100.0% of 300" in found.note
    named = find_network(by_cifar, images, labels, 2, COLOURED, "cifar-10")
    told = find_network(by_cifar, images, labels, 2, COLOURED, f"{{mean: {mean}, std: {std}}}")
    written = find_network(by_cifar, images, labels, 2, {**COLOURED, "normalization": {"mean": mean, "std": std}})
    assert named.settings == told.settings == written.settings == found.settings
    assert yaml.safe_load(yaml.safe_dump(told.settings)) == told.settings
    assert find_network(by_cifar, images, labels, 2, {**COLOURED, "normalization": "half"}).reading == "half"


def test_the_images_own_mean_and_std_are_tried_where_they_are_near_none_that_is_known():
    images, _ = coloured()
    found = usual(None, images)
    assert [*found] == ["none", "half", "imagenet", "bytes", *(name for name in PUBLIC if "MNIST" not in name), THESE]
    pixels = images / 255
    np.testing.assert_allclose(found[THESE]["mean"], pixels.mean((0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(found[THESE]["std"], pixels.std((0, 2, 3)), atol=1e-4)
    assert next(iter(usual(None, images, "half"))) == "half"


@pytest.mark.parametrize(("shift", "tried"), [(0.0, False), (0.015, False), (0.03, True)])
def test_images_that_are_nearly_those_of_a_public_data_set_are_read_as_these(shift, tried):
    [mean], [std] = PUBLIC["Fashion-MNIST"]
    generator = torch.Generator().manual_seed(0)
    # With a mean and a std of those numbers.
    bright = (torch.rand(64, 1, 8, 8, generator=generator) < mean**2 / (mean**2 + std**2)) * (mean + std**2 / mean)
    assert (THESE in usual(None, (bright + shift).clamp(0, 1).mul(255).round().byte())) is tried


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("CIFAR10", "CIFAR-10"), ("cifar-10", "CIFAR-10"), ("cifar_100", "CIFAR-100"), ("svhn", "SVHN"),
        ("ImageNet", "imagenet"), ("Half", "half"), ("FashionMNIST", "Fashion-MNIST"),
        ("fashion mnist", "Fashion-MNIST"),
    ],
)  # fmt: skip
def test_data_sets_are_known_by_torchvision_s_names_too(text, meant):
    images = torch.zeros(1, 1 if "MNIST" in meant else 3, 8, 8, dtype=torch.uint8)
    numbers = dict(zip(("mean", "std"), PUBLIC[meant], strict=True)) if meant in PUBLIC else meant
    assert read_normalization(text, images) == numbers
    # In a mapping of settings a config's own names are left to it.
    left = numbers if meant in PUBLIC else text
    assert in_numbers({"normalization": text, "a": 1}) == {"normalization": left, "a": 1}
    assert in_numbers({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("imagenett", r"'imagenett' is unknown, did you mean imagenet\?; NORMALIZATION='\{mean"),
        ("dataset", r"'dataset' is unknown; no training images are at hand; NORMALIZATION='\{mean"),
        ("MNIST", r"MNIST: has 1 channel, the images have 3"),
        ("{mean: 0.5, std: 0.5}", r"has 1 channel, the images have 3"),
        (
            "{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5]}",
            r"std: \[0\.5, 0\.5\]\}: has 3 numbers in mean and 2 in std; give one per channel",
        ),
        ("{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0]}", r"std\[2\]: 0 is not in \(0, inf\)"),
        ("{mean: [0.5", r"is no mapping such as"),
        ("{std: 1}", r"mean: missing"),
    ],
)
def test_a_normalization_that_cannot_be_meant_is_refused(text, told):
    with pytest.raises(InputError, match=told):
        read_normalization(text, torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
