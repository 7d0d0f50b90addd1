"""Which network a file of weights belongs to, and what its pixels are made of."""

from dataclasses import replace

import pytest
import torch
import torchvision
from attack_fixtures import held_out
from check_examples import CLASSES, NETWORK, safetensors, trained
from safetensors.torch import save_file
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.from_files import known, networks, pairs
from squeezeproof.from_files.known import shapes
from squeezeproof.from_files.networks import find_network
from squeezeproof.from_files.readings import as_good
from squeezeproof.models.build import build, specification
from squeezeproof.models.zoo import torchvision_network


@pytest.fixture(scope="module")
def base():
    return trained()


def test_the_pixels_of_the_base_are_found_by_trying(base, tmp_path):
    path = safetensors(base, tmp_path / "base.safetensors")
    found = find_network(path, *held_out(150), CLASSES, NETWORK)
    assert found.settings == {**NETWORK, "normalization": "half"} and found.accuracy > 0.8
    assert "normalization half: " in found.note and "(none " in found.note
    told = find_network(path, *held_out(150), CLASSES, NETWORK, "none")
    assert told.settings["normalization"] == "none" and told.accuracy < found.accuracy


@pytest.mark.parametrize(("better", "worse", "alike"), [(0, 0, True), (8, 2, True), (6, 0, True), (14, 2, False)])
def test_readings_that_a_handful_of_images_tell_apart_are_alike(better, worse, alike):
    right, other = torch.ones(200, dtype=torch.bool), torch.ones(200, dtype=torch.bool)
    right[:worse], other[worse : worse + better] = False, False
    assert as_good(right, other) is alike


TRUE = torch.arange(200) // 100


def wrong_on(*places):
    """The true labels of 200 images but for those of some slices."""
    labels = TRUE.clone()
    for place in places:
        labels[place] = 1 - labels[place]
    return labels


def pair(monkeypatch, file, bases, compressed):
    """(base, settings, doubts) of `find_pair` and the readings of the base that the compressed model was tried with.

    Args:
        bases: name -> labels of the readings of the base.
        compressed: name of the base's reading -> names and labels of the compressed model's own.
    """
    read = []

    def external(settings, base, *images):
        read.append(base.reading)
        found = {
            name: pairs.Reading({**settings, "read": name}, labels, [])
            for name, labels in compressed[base.reading].items()
        }
        return pairs.External("", found)

    monkeypatch.setattr(pairs, "_external", external)
    monkeypatch.setattr(pairs, "normalization_in", lambda path: None)
    made = [
        networks.Network({**NETWORK, "normalization": name}, 0.9, labels, f"{name}: told", name, {}, name)
        for name, labels in bases.items()
    ]
    images = torch.zeros(200, 1, 8, 8, dtype=torch.uint8)
    found = pairs.find_pair({"file": file}, replace(made[0], others=(*made[1:],)), images, TRUE, CLASSES)
    return found.base, found.settings, found.doubts, read


def test_of_readings_that_are_alike_that_is_taken_with_which_both_models_are_right(monkeypatch):
    """Read by the base's best of the two on 200 images, a sound pruned network lost a fifth of its accuracy."""
    bases = {"bytes": wrong_on(slice(0, 20)), "none": wrong_on(slice(0, 26))}
    compressed = {"bytes": {"": wrong_on(slice(0, 60))}, "none": {"": wrong_on(slice(0, 28))}}
    base, settings, _, read = pair(monkeypatch, "m.safetensors", bases, compressed)
    assert base.reading == "none" and read == ["bytes", "none"] and settings["read"] == ""
    assert base.note == "none: told; taken is none, not bytes: both models are right in 86.5% on average"
    alone, _, doubts, _ = pair(monkeypatch, "m.safetensors", {"bytes": bases["bytes"]}, compressed)
    assert alone.note == "bytes: told" and doubts == []


def test_weights_of_the_base_s_network_that_agree_more_tell_nothing_of_the_reading(monkeypatch):
    """Pixels of less contrast let a base and what is left of it agree, at a lower accuracy of both."""
    bases = {"Fashion-MNIST": wrong_on(slice(0, 20)), "half": wrong_on(slice(0, 25))}
    compressed = {"Fashion-MNIST": {"": wrong_on(slice(15, 45))}, "half": {"": wrong_on(slice(0, 35))}}
    base, *_ = pair(monkeypatch, "m.safetensors", bases, compressed)
    assert base.reading == "Fashion-MNIST"
    # One that knows much less than its base has no part in it.
    for left in (50, 86):
        compressed = {"Fashion-MNIST": {"": TRUE * 0}, "half": {"": wrong_on(slice(0, left), slice(190, 200))}}
        base, *_ = pair(monkeypatch, "m.safetensors", bases, compressed)
        assert base.reading == "Fashion-MNIST" and "the base is right in 90.0%" in base.note


def test_what_the_images_leave_open_of_both_files_is_in_doubt(monkeypatch):
    """The answer rests on it, and the page says so where it stands."""
    bases = {"bytes": wrong_on(slice(0, 20)), "none": wrong_on(slice(0, 26))}
    compressed = {"bytes": {"": wrong_on(slice(0, 60))}, "none": {"": wrong_on(slice(0, 28))}}
    _, _, doubts, _ = pair(monkeypatch, "m.safetensors", bases, compressed)
    assert doubts == [
        "200 images do not tell by which normalization the base is to be read: none (taken) or bytes (3.0% "
        "other labels). NORMALIZATION= says which"
    ]
    own = {"half": wrong_on(slice(0, 22)), "none": wrong_on(slice(0, 24)), "bytes": wrong_on(slice(0, 22))}
    _, _, doubts, _ = pair(monkeypatch, "m.onnx", {"half": bases["bytes"]}, {"half": own})
    assert doubts == [
        "200 images do not tell by which normalization the compressed model is to be read: half (taken) or "
        "none (1.0% other labels). OPTIONS='{normalization: ...}' says which"
    ]


def test_where_a_file_of_its_own_agrees_clearly_more_the_base_is_in_no_doubt(monkeypatch):
    bases = {"half": wrong_on(slice(0, 20)), "none": wrong_on(slice(20, 44))}
    base, _, doubts, _ = pair(monkeypatch, "m.onnx", bases, {"half": {"": bases["none"]}})
    assert base.reading == "none" and doubts == []
    _, _, doubts, _ = pair(monkeypatch, "m.onnx", bases, {"half": {"": TRUE}})
    assert len(doubts) == 1 and "the base is to be read: half (taken) or none (" in doubts[0]


def test_a_file_that_holds_its_network_decides_where_it_agrees_clearly_more(monkeypatch):
    bases = {"half": wrong_on(slice(0, 20)), "none": wrong_on(slice(20, 44))}
    base, settings, _, read = pair(monkeypatch, "m.onnx", bases, {"half": {"": bases["none"]}})
    # It is read once, whatever the base's pixels are.
    assert (base.reading, settings["read"], read) == ("none", "", ["half"])
    assert base.note.endswith("taken is none, not half: the compressed model agrees in 100.0%")
    # So does the base of the file's own readings.
    of_file = {"bytes": wrong_on(slice(100, 119)), "": bases["half"]}
    base, settings, _, _ = pair(monkeypatch, "m.onnx", {"half": bases["half"]}, {"half": of_file})
    assert settings["read"] == ""
    # Two images are no difference.
    near = {"half": wrong_on(slice(0, 20)), "none": wrong_on(slice(2, 24))}
    base, *_ = pair(monkeypatch, "m.onnx", near, {"half": {"": wrong_on(slice(2, 22))}})
    assert base.reading == "half"


def test_a_network_of_torchvision_is_recognised_by_its_tensors(tmp_path, monkeypatch):
    network = torchvision_network(in_channels=3, num_classes=2, image_size=32, name="mobilenet_v3_small")
    # Black images and white ones, which the last layer is made to tell apart.
    images = torch.cat([torch.zeros(20, 3, 32, 32), torch.full((20, 3, 32, 32), 255)]).to(torch.uint8)
    labels = torch.arange(40) // 20
    hidden = nn.Sequential(network.features, network.avgpool, nn.Flatten(), *network.classifier[:3])
    last = network.eval().classifier[3]
    with torch.no_grad():
        dark, bright = hidden(images[[0, 20]] / 255)
        last.weight.copy_(torch.stack([dark - bright, bright - dark]))
        last.bias.copy_(-last.weight @ (dark + bright) / 2)
    tried = []
    monkeypatch.setattr(known, "shapes", lambda *given: tried.append(given[0]) or shapes(*given))
    found = find_network(safetensors(network, tmp_path / "b.safetensors"), images, labels, 2)
    # Of its 80 networks, in two forms each.
    assert len([one for one in tried if one["kind"] == "torchvision"]) < 20
    assert found.settings["name"] == "mobilenet_v3_small" and found.accuracy == 1.0


@pytest.mark.parametrize("name", ["regnet_y_400mf", "regnet_x_400mf", "swin_t", "googlenet"])
def test_a_network_of_torchvision_is_known_without_its_values(name):
    """RegNets compute their widths with tensors, which have to have values."""
    dataset = {"shape": [3, 32, 32], "classes": [0, 1, 2]}
    network = torchvision_network(in_channels=3, num_classes=3, image_size=32, name=name)
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert shapes({"kind": "torchvision", "name": name}, dataset) == expected


def test_weights_of_no_network_are_refused_with_what_to_write(base, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.models, "list_models", lambda module: ["resnet18"])
    path = safetensors(base, tmp_path / "base.safetensors")
    with pytest.raises(InputError, match=r"those of no network .* write FACTORY=module:function.*ARCHITECTURE="):
        find_network(path, *held_out(50), CLASSES)


def test_weights_that_hold_a_network_twice_are_refused_with_how_to_keep_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.models, "list_models", lambda module: ["resnet18"])
    dataset = {"shape": [1, 28, 28], "classes": list(range(CLASSES)), "mean": [0.0], "std": [1.0]}
    tensors = build(
        specification({"kind": "cnn3", "width": 32, "normalization": "half"}, dataset), 0
    ).network.state_dict()
    path = tmp_path / "twice.safetensors"
    save_file(
        {f"{prefix}.{name}": tensor.clone() for prefix in ("ema", "model") for name, tensor in tensors.items()}, path
    )
    images = torch.zeros(CLASSES, 1, 28, 28, dtype=torch.uint8)
    with pytest.raises(
        InputError, match=r"BASE=.*: holds such a network several times, under ema\. and model\.; keep one"
    ):
        find_network(path, images, torch.arange(CLASSES), CLASSES)


def test_a_base_that_knows_nothing_is_refused_with_what_was_tried(tmp_path):
    dataset = {"shape": [1, 8, 8], "classes": list(range(CLASSES)), "mean": [0.0], "std": [1.0]}
    random = build(specification({**NETWORK, "normalization": "none"}, dataset), seed=1).network
    path = safetensors(random, tmp_path / "base.safetensors")
    with pytest.raises(InputError, match=r"at best, answers that had nothing to do .* Tried: .*normalization bytes"):
        find_network(path, *held_out(150), CLASSES, NETWORK)


def test_the_normalization_that_a_checkpoint_of_a_study_says_is_taken_or_refused(base, tmp_path):
    """The others would label fewer images rightly, and the page would say so of a base that is better."""
    images, labels = held_out(100)
    state = {f"network.{name}": tensor for name, tensor in base.state_dict().items()}
    for name, moments in {"half": (0.5, 0.5), "own": (0.3, 0.4)}.items():
        told = {
            f"normalize.{key}": torch.tensor([[[number]]]) for key, number in zip(("mean", "std"), moments, strict=True)
        }
        save_file({**state, **told}, tmp_path / f"{name}.safetensors")
    path = str(tmp_path / "half.safetensors")
    found = find_network(path, images, labels, CLASSES, NETWORK)
    assert found.settings["normalization"] == "half" and "none" not in found.note.partition("; ")[0]
    with pytest.raises(
        InputError, match=r"takes pixels minus 0\.5 over 0\.5, as the file says, and would get them minus 0 o"
    ):
        find_network(path, images, labels, CLASSES, NETWORK, "none")
    own = find_network(str(tmp_path / "own.safetensors"), images, labels, CLASSES, NETWORK)
    assert own.settings["normalization"] == {"mean": [0.3], "std": [0.4]}


def refused(path, dataset):
    raise InputError("of no network that is known")


@pytest.mark.parametrize("architecture", [NETWORK, None])
def test_weights_among_which_a_normalization_lies_are_told_with_what_to_save(base, tmp_path, monkeypatch, architecture):
    """It was told to name its network, or that none is known."""
    monkeypatch.setattr(networks, "fitting", refused)
    numbers = {f"normalize.{key}": torch.tensor([[[number]]]) for key, number in (("mean", 0.5), ("std", 0.25))}
    path = str(tmp_path / "own.safetensors")
    save_file({**base.state_dict(), **numbers}, path)
    images, labels = held_out(50)
    told = r"own\.safetensors: holds normalize\.mean and normalize\.std among its weights, as of a network that "
    told += (
        "normalizes by itself: {}FACTORY= names that one; or save the weights without these two, and write {}='{}mean"
    )
    with pytest.raises(InputError, match=told.format("", "NORMALIZATION", r"\{")):
        find_network(path, images, labels, CLASSES, architecture)
    sound = find_network(safetensors(base, tmp_path / "base.safetensors"), images, labels, CLASSES, NETWORK)
    with pytest.raises(InputError, match=told.format("COMPRESSED_", "OPTIONS", r"\{normalization: \{")):
        pairs.find_pair({"method": "external", "file": path}, sound, images, labels, CLASSES)
