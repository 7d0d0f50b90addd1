"""`make check`: two files and a folder of images become a study that a person can read, and one page."""

import copy
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import check as check_command
import pytest
import torch
import torchvision
import yaml
from attack_fixtures import TRAIN, digits, held_out
from conftest import ROOT, Workspace
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from squeezeproof.deployment.export import onnx_bytes
from squeezeproof.entries.settings import read_number
from squeezeproof.errors import InputError
from squeezeproof.from_files import known, networks, pairs
from squeezeproof.from_files.equal import refuse_equal
from squeezeproof.from_files.images import SET_ASIDE, as_given, read_images
from squeezeproof.from_files.known import shapes
from squeezeproof.from_files.networks import find_network
from squeezeproof.from_files.readings import as_good
from squeezeproof.from_files.study import Asked, question, understand
from squeezeproof.models.build import build, specification
from squeezeproof.models.zoo import torchvision_network
from squeezeproof.study.files import read_file
from squeezeproof.study.plan import Study
from squeezeproof.study.quick import ATTACKS, batch_size, budgets, in_minutes, radii

NETWORK = {"kind": "cnn8", "width": 8}
CLASSES = 10


def trained():
    """A small network that was trained on digits in [-1, 1]."""
    images, labels = digits()
    dataset = {"shape": [1, 8, 8], "classes": list(range(CLASSES)), "mean": [0.0], "std": [1.0]}
    model = build(specification({**NETWORK, "normalization": "half"}, dataset), seed=0)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(6):
        for batch in torch.randperm(TRAIN, generator=generator).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch] / 255), labels[batch]).backward()
            optimizer.step()
    return model.network.eval()


def folder(path, count=100, size=8):
    """The held-out digits as PNG files in a folder per class."""
    for index, (image, label) in enumerate(zip(*held_out(count), strict=True)):
        place = path / str(label.item())
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).resize((size, size)).save(place / f"{index:03d}.png")
    return path


def safetensors(network, path):
    save_file(network.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def base():
    return trained()


# --- images -----------------------------------------------------------------------------------------------------------


def test_class_folders_become_a_test_split_and_a_few_images_beside_it(tmp_path):
    source = folder(tmp_path / "images", 100)
    found = read_images(source, tmp_path / "links")
    assert (found.classes, found.side, found.channels) == (10, 8, 1)
    files = {split: sorted((found.root / split).glob("*/*.png")) for split in ("train", "test")}
    assert len(files["train"]) == SET_ASIDE * 10 and len(files["test"]) == found.count == 100 - SET_ASIDE * 10
    assert not {path.resolve() for path in files["train"]} & {path.resolve() for path in files["test"]}
    next(source.glob("3/*")).unlink()
    assert read_images(source, tmp_path / "links").count == 99 - SET_ASIDE * 10


def test_a_folder_with_splits_is_taken_as_it_is(tmp_path):
    folder(tmp_path / "images/test", 30)
    folder(tmp_path / "images/train", 40)
    found = read_images(tmp_path / "images", tmp_path / "links")
    assert found.root.parent == tmp_path / "links" and found.count == 30 and found.note.startswith("30 of ")
    assert len(list(found.root.glob("test/*/*"))) == 30 and len(list(found.root.glob("train/*/*"))) == 40


def test_a_study_of_other_images_is_another_study(tmp_path):
    """Prepared data are known by the settings alone: other images of the same names were taken for those before."""
    first, second = (folder(tmp_path / name / "images", 60) for name in ("one", "two"))
    roots = [read_images(source, tmp_path / "links").root for source in (first, first, second)]
    assert roots[0] == roots[1] != roots[2] and not roots[0].exists()
    image = next(second.glob("3/*"))
    Image.new("L", (8, 8), 200).save(image)
    os.utime(image, (1, 1))
    assert read_images(second, tmp_path / "links").root != roots[2]


def test_classes_of_an_earlier_call_do_not_stay(tmp_path):
    source = folder(tmp_path / "images", 60)
    (source / "0").rename(source / "zero")
    assert (read_images(source, tmp_path / "links").root / "test/zero").is_dir()
    (source / "zero").rename(source / "0")
    found = read_images(source, tmp_path / "links")
    assert sorted(path.name for path in (found.root / "test").iterdir()) == list("0123456789")
    assert list((tmp_path / "links").iterdir()) == [found.root]


def test_images_that_do_not_say_their_size_are_refused(tmp_path):
    source = folder(tmp_path / "images", 60)
    Image.new("L", (9, 7)).save(source / "0/odd.png")
    with pytest.raises(InputError, match=r"several sizes or not square .*; write SIZE="):
        read_images(source, tmp_path / "links")
    assert read_images(source, tmp_path / "links", side=8).side == 8
    (source / "0/odd.png").write_text("no image")
    with pytest.raises(InputError, match=r"odd\.png: not a readable image"):
        read_images(source, tmp_path / "links", side=8)


def test_a_class_without_an_image_is_told(tmp_path):
    source = folder(tmp_path / "images", 40)
    (source / "10").mkdir()
    with pytest.raises(InputError, match="10 holds no image; the class folders are the classes"):
        read_images(source, tmp_path / "links")


@pytest.mark.parametrize("made", ["", "one"])
def test_a_folder_of_no_classes_is_refused(tmp_path, made):
    with pytest.raises(InputError, match="there is no such folder"):
        read_images(tmp_path / "none", tmp_path / "links")
    (tmp_path / "images" / made).mkdir(parents=True)
    with pytest.raises(InputError, match="0 class folders with images, two at least"):
        read_images(tmp_path / "images", tmp_path / "links")


@pytest.mark.parametrize("splits", [False, True])
def test_files_whose_names_are_no_text_are_images_too(tmp_path, splits):
    source = folder(tmp_path / "images/test" if splits else tmp_path / "images", 60)
    if splits:
        shutil.copytree(source, tmp_path / "images/train")
    image = next(source.glob("3/*.png"))
    os.rename(bytes(image), bytes(image.parent) + b"/\xff.png")
    found = read_images(tmp_path / "images", tmp_path / "links")
    assert found.count == 60 if splits else 60 - SET_ASIDE * 10


def test_what_stands_where_images_do_and_is_no_file_is_named(tmp_path):
    source = folder(tmp_path / "images", 60)
    (source / "3/gone.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"3/gone\.png: a link to a file that is not there, .* move it out"):
        read_images(source, tmp_path / "links")
    (source / "3/gone.png").unlink()
    os.mkfifo(source / "3/pipe.png")
    with pytest.raises(InputError, match=r"3/pipe\.png: not a file, though it stands"):
        read_images(source, tmp_path / "links")


def test_a_class_of_which_no_image_would_be_attacked_is_named(tmp_path):
    source = folder(tmp_path / "images", 60)
    for path in sorted((source / "3").iterdir())[SET_ASIDE:]:
        path.unlink()
    with pytest.raises(InputError, match=r"images: 3 holds 2 images, of which none would be attacked: .* 3 at least"):
        read_images(source, tmp_path / "links")


def test_class_folders_that_lie_deeper_are_named(tmp_path):
    folder(tmp_path / "images/val", 60)
    shutil.copytree(tmp_path / "images/val", tmp_path / "images/train")
    with pytest.raises(
        InputError, match=r"0 class folders .*; (.*)/images/val holds such folders, is IMAGES=\1/images/val"
    ):
        read_images(tmp_path / "images", tmp_path / "links")


@pytest.mark.parametrize("splits", [False, True])
def test_messages_name_a_person_s_images_and_not_the_links_to_them(tmp_path, splits):
    source = folder(tmp_path / "images/test" if splits else tmp_path / "images", 60)
    if splits:
        shutil.copytree(source, tmp_path / "images/train")
    links = tmp_path / "check-files/images"
    found = read_images(tmp_path / "images", links)
    [link] = sorted(found.root.glob("test/3/*"))[:1]
    told = as_given(f"{link}: not a readable image\n{found.root}/train: no", tmp_path / "images", links)
    first, second = told.splitlines()
    assert first == f"{link.resolve()}: not a readable image"
    assert second == f"{tmp_path}/images{'/train' if splits else ''}: no"


# --- networks ---------------------------------------------------------------------------------------------------------


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


def test_of_readings_that_are_alike_that_is_taken_with_which_the_compressed_model_agrees(monkeypatch):
    """Read by the best of the two on 200 images, a sound pruned network lost a fifth of its accuracy."""
    labels = {"bytes": torch.zeros(10, dtype=torch.int64), "none": torch.arange(10) // 5}
    first, second = (
        networks.Network({**NETWORK, "normalization": name}, 0.9, f"{name}: told", name, {}, name)
        for name in ("bytes", "none")
    )
    read = []

    def external(settings, base, *images):
        read.append(base.reading)
        found = pairs.Reading({**settings, "read": base.reading}, labels["none"], ["read"])
        return pairs.External("", {base.reading: found})

    monkeypatch.setattr(pairs, "_external", external)
    monkeypatch.setattr(pairs, "predict", lambda model, images: labels[model])
    given = None, torch.arange(10) // 5, CLASSES
    both = replace(first, others=(second,))
    base, external, note = pairs.find_pair({"file": "m.safetensors"}, both, *given)
    assert base.settings["normalization"] == external["read"] == "none" and read == ["bytes", "none"]
    assert note == "normalization none, 100.0% of 10 images right, as the base in 100.0%; read"
    assert base.note == "none: told; taken is none, with which the compressed model agrees in 100.0%, 50.0% with bytes"
    alone, external, _ = pairs.find_pair({"file": "m.safetensors"}, first, *given)
    assert alone.note == "bytes: told" and external["read"] == "bytes"
    # A file that holds its network is read once, whatever the base's pixels are.
    read.clear()
    base, external, _ = pairs.find_pair({"file": "m.onnx"}, both, *given)
    assert base.reading == "none" and read == ["bytes"]


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
    with pytest.raises(InputError, match=r"at best, the largest class alone is .* Tried: .*normalization bytes"):
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


# --- the study --------------------------------------------------------------------------------------------------------


def asked(base, tmp_path, compressed=None, **changes):
    tmp_path.mkdir(exist_ok=True)
    path = safetensors(base, tmp_path / "base.safetensors")
    compressed = compressed or safetensors(base, tmp_path / "3 small.v2.safetensors")
    written = {"BASE": path, "COMPRESSED": compressed, "IMAGES": "images"}
    given = {"base": path, "compressed": compressed, "images": str(folder(tmp_path / "images"))}
    given |= {"study": tmp_path / "check.yaml", "files": tmp_path / "files", "architecture": NETWORK}
    return Asked(**given | {"written": written} | changes)


def test_the_study_is_readable_and_says_what_was_understood(base, tmp_path):
    found = understand(asked(base, tmp_path))
    config = yaml.safe_load(found.text)
    study = Study(config)
    [(dataset, name)] = [key for key in study.models if not study.model(*key).is_base]
    assert re.fullmatch("check-m3_small_v2-[0-9a-f]{6}", study.name)
    assert str(found.page) == f"results/{study.name}/replacement/{dataset}/{name}.html"
    assert set(study.pairs) == {("images", *pair) for pair in [(a, b) for a in names(study) for b in names(study)]}
    assert config["attacks"].keys() == ATTACKS.keys() and config["attacks"]["pgd"]["eps"] == [0.05, 0.2]
    assert config["question"] == "May 3 small.v2.safetensors replace base.safetensors?"
    assert len(found.lines) == 5 and all("\n" not in line for line in found.lines)
    assert all(len(line) < 200 for line in found.text.splitlines() if not line.startswith("#") and "root" not in line)


def test_the_command_at_the_head_of_the_study_can_be_pasted(base, tmp_path):
    given = asked(base, tmp_path)
    given.written["ARCHITECTURE"] = "{kind: cnn8, width: 8}"
    command = understand(given).text.splitlines()[1].removeprefix("# ")
    assert shlex.split(command) == ["make", "check", *(f"{name}={text}" for name, text in given.written.items())]


@pytest.mark.parametrize("stem", ["no", "null", "none", "y", "on", "1e5", "0x1f", "2024-01-01", "_", "é", "base"])
def test_a_file_may_have_any_name(base, tmp_path, stem):
    found = understand(asked(base, tmp_path, safetensors(base, tmp_path / f"{stem}.safetensors")))
    (tmp_path / "check.yaml").write_text(found.text)
    study = Study(read_file(tmp_path / "check.yaml"))
    assert len(study.models) == 2


def test_a_folder_of_any_name_can_be_pasted(base, tmp_path):
    place = tmp_path / "my models"
    place.mkdir()
    found = understand(asked(base, tmp_path, study=place / "check.yaml"))
    command = shlex.split(found.text.splitlines()[3].removeprefix("# "))
    assert command[4] == str(place / "check.yaml")


def test_classes_that_are_numbers_are_tried_in_their_order(base, tmp_path):
    """The names are sorted as texts, and a network may have been trained on numbers."""
    numbers = {
        r"labels [\d.]+% of the images right so, and labels 9": [0, 1, 2, 3, 4, 5, 7, 60, 600, 9999],
        "knows nothing so, and labels 9": range(2, 12),
    }
    for told, names in numbers.items():
        place = tmp_path / str(len(told))
        given = asked(base, place)
        for number, name in list(enumerate(names))[::-1]:
            (place / "images" / str(number)).rename(place / "images" / str(name))
        with pytest.raises(InputError, match=f"in which 10 comes before 2; the base {told}"):
            understand(given)


def test_readings_of_a_file_that_images_cannot_tell_apart_are_named(base, tmp_path):
    """Of a network that brightness hardly matters to, its pixels may be in [0, 1] or in bytes."""
    path = tmp_path / "small.onnx"
    # In pixels and in bytes most images are of one class.
    path.write_bytes(onnx_bytes(nn.Sequential(base, Scaled()), (1, 8, 8)))
    lines = understand(asked(base, tmp_path, str(path))).lines
    assert "normalization half, " in lines[1] and not {"none", "bytes"} & set(re.findall(r"[a-z]+", lines[1]))
    path.write_bytes(onnx_bytes(nn.Sequential(Levelled(), base), (1, 8, 8)))
    lines = understand(asked(base, tmp_path, str(path))).lines
    told = r"\(so or nearly so by normalization [A-Za-z -]+: OPTIONS='\{normalization: \.\.\.\}' says which\)"
    assert re.search(told, lines[1])


class Scaled(nn.Module):
    def forward(self, logits):
        return 2 * logits


class Levelled(nn.Module):
    """Brings pixels of any brightness to those that the base knows, and forgets a little."""

    def forward(self, pixels):
        pixels = pixels / pixels.amax((1, 2, 3), keepdim=True).clamp_min(0.01)
        return 2 * (pixels + 0.5 * (pixels.sum((1, 2, 3), keepdim=True) % 0.5)) - 1


def test_a_file_that_holds_its_network_is_read_by_trying_too(base, tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(onnx_bytes(base, (1, 8, 8)))
    found = understand(asked(base, tmp_path, str(path)))
    config = yaml.safe_load(found.text)
    assert config["compressions"]["small"]["normalization"] == "half"
    assert "normalization half, " in found.lines[1] and "as the base in 100.0%" in found.lines[1]
    assert "those with gradients on the base alone" in found.lines[4]
    study = Study(config)
    followed = {attack for (_, source), attacks in study.sets.items() if ".small." in source for attack in attacks}
    assert followed == {"noise-eps0.2", "square-eps0.05", "square-eps0.2", "rays-eps0.2"}
    of_base = {attack for (_, source), attacks in study.sets.items() if ".none." in source for attack in attacks}
    assert of_base == followed | {"apgd-eps0.05", "apgd-eps0.2"}
    tried = {attack for (_, target, source), attacks in study.pairs.items() if target != source for attack in attacks}
    assert tried == {"noise-eps0.2", "apgd-eps0.05", "apgd-eps0.2"}
    assert "APGD 25 steps, tried on both" in found.lines[4] and "RayS 100 queries (at 0.2 alone)" in found.lines[4]


def test_options_that_cannot_be_meant_are_named(base, tmp_path):
    with pytest.raises(InputError, match=r"OPTIONS=: layout: 'nchv' is unknown, did you mean nchw"):
        understand(asked(base, tmp_path, options={"layout": "nchv"}))


def names(study):
    return [model.name for model in study.models.values()]


def test_what_a_person_says_goes_before_what_is_usual(base, tmp_path):
    changes = {"eps": ["1/255", "0.3"], "count": 40, "normalization": "half", "compressed_architecture": NETWORK}
    found = understand(asked(base, tmp_path, **changes))
    config = yaml.safe_load(found.text)
    assert config["attacks"]["apgd"]["eps"] == ["1/255", 0.3] and config["datasets"]["images"]["test"] == 40
    # A network of its own is read as its base, as far as the images tell.
    assert config["compressions"]["m3_small_v2"]["architecture"] == {**NETWORK, "normalization": "half"}
    assert "none" not in found.lines[0]


@pytest.mark.parametrize(("channels", "side", "larger"), [(1, 28, 0.2), (3, 32, 8 / 255), (3, 224, 4 / 255)])
def test_budgets_fit_the_images(channels, side, larger):
    smaller, found = (float(read_number(text)) for text in budgets(channels, side))
    assert smaller < found == pytest.approx(larger)


def test_the_longest_attacks_end_where_they_succeed_and_the_weakest_are_at_the_largest_budget():
    assert in_minutes(gradients=True).keys() == ATTACKS.keys() and "pgd" not in in_minutes(gradients=False)
    for gradients in (True, False):
        stops = {method for method, settings in in_minutes(gradients).items() if settings.get("stop_on_success")}
        assert stops == ({"apgd", "square"} if gradients else {"rays", "square"})
    assert radii("rays", ["8/255", 0.02]) == ["8/255"] and radii("apgd", ["8/255", 0.02]) == ["8/255", 0.02]
    assert radii("noise", ["8/255", "nine"]) == ["8/255", "nine"]


@pytest.mark.parametrize(("side", "images"), [(8, 128), (28, 128), (32, 128), (64, 32), (224, 8)])
def test_a_pass_is_of_fewer_images_where_they_are_large(side, images):
    assert batch_size(side) == images


# --- the command ------------------------------------------------------------------------------------------------------


def with_pruned(base, place, amount):
    """A workspace with images, the base, and it with a share of the weights of every layer pruned."""
    workspace = Workspace.create(place / "study", {})
    folder(workspace.path / "my/images", 120)
    network = copy.deepcopy(base)
    torch.save(network.state_dict(), workspace.path / "my/base.pt")
    for layer in [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]:
        prune.l1_unstructured(layer, "weight", amount=amount)
    torch.save(network.state_dict(), workspace.path / "my/small.pt")
    return workspace


def test_two_files_and_a_folder_become_a_page(base, tmp_path):
    workspace = with_pruned(base, tmp_path, amount=0.7)
    place = workspace.path / "my"

    done = check(workspace.path, ARCHITECTURE="{kind: cnn8, width: 8}", EPS="0.1")

    assert done.returncode == 0, done.stdout
    page = (place / "small.pt.check.html").read_text()
    assert "The page: my/small.pt.check.html" in done.stdout and "normalization half" in done.stdout
    headline = done.stdout.strip().splitlines()[-2]
    assert f"<h1>{headline}</h1>" in page and "May small.pt replace base.pt?" in page
    assert "100 of the test split of images, 10 classes" in page
    [files] = (place / "check-files").iterdir()
    made = f"<dd>my/check-files/{files.name}"
    assert f"{made}/base/base.pt.safetensors (base.given.none.none.s0 in the tables)</dd>" in page
    assert f"{made}/compressed/small.pt.safetensors (base.given.small.none.s0 in the tables)</dd>" in page
    for text in ("Size", "of these zero", "multiplied 8 weights by the masks of torch.nn.utils.prune"):
        assert text in page, text
    # The base that is attacked again is no name of the study's.
    assert "base.given." not in page.partition("<dt>Base</dt>")[0]

    (place / "small.pt.check.yaml").write_text("study: mine\n")
    broken = check(
        workspace.path, ARCHITECTURE="{kind: cnn8, width: 8}", EPS="0.1", COUNT="50", COMPRESSED="my/none.pt"
    )
    assert broken.returncode and "COMPRESSED=my/none.pt: there is no such file" in broken.stdout
    assert (place / "small.pt.check.yaml").read_text() == "study: mine\n"


@pytest.mark.slow
def test_a_model_that_pruning_broke_is_answered_and_not_taken_for_misread(base, tmp_path):
    """Its file is read as its base is: that another normalization suits the wreck better says nothing."""
    workspace = with_pruned(base, tmp_path, amount=0.99)

    done = check(workspace.path, ARCHITECTURE="{kind: cnn8, width: 8}", EPS="0.1")

    assert done.returncode == 0, done.stdout
    assert done.stdout.strip().splitlines()[-2].lower().startswith("do not ship"), done.stdout


def check(folder, **said):
    values = {"BASE": "my/base.pt", "COMPRESSED": "my/small.pt", "IMAGES": "my/images"} | said
    command = [sys.executable, "workflow_scripts/tools/check.py", "--cores", "2"]
    command += [part for name, value in values.items() for part in (f"--{name.lower()}", value)]
    return subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_a_whole_module_is_refused_with_the_lines_that_make_a_state_dict(base, tmp_path, name):
    files = {one: tmp_path / f"{one}.pt" for one in ("base", "compressed")}
    for one, path in files.items():
        torch.save(base if one == name else base.state_dict(), path)
    given = {**dict.fromkeys(check_command.FURTHER), **{one: str(path) for one, path in files.items()}, "images": ""}
    with pytest.raises(InputError, match=rf"(?s){name}\.pt.*state_dict\(\)"):
        check_command.ask(SimpleNamespace(**given))


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_messages_name_the_files_of_a_person_and_not_their_copies(base, tmp_path, monkeypatch, name):
    """What is wrong is seen in the safetensors file that is made of a torch file."""
    other = nn.Sequential(nn.Conv2d(1, 3, 3))
    files = {one: tmp_path / f"{one}.pt" for one in ("base", "compressed")}
    for one, path in files.items():
        torch.save((other if one == name else base).state_dict(), path)
    said = {**files, "images": folder(tmp_path / "images"), "architecture": "{kind: cnn8, width: 8}"}
    words = [str(word) for key, value in said.items() for word in (f"--{key}", value)]
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    with pytest.raises(SystemExit) as ended:
        check_command.main()
    told = str(ended.value)
    assert f"{files[name]}: " in told and "check-files" not in told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"eps": "8"}, r"EPS=8: '8' is no radius in \(0, 1\]; write EPS=8/255"),
        ({"eps": "0.1,abc"}, r"EPS=0\.1,abc: 'abc' is no radius"),
        ({"eps": ","}, "'' is no radius"),
        ({"eps": "0.1,1/10"}, "the same radius stands there twice"),
        ({"compressed": "base.safetensors"}, r"BASE=.*base\.safetensors, COMPRESSED=.*base\.safetensors: are one file"),
        ({"compressed": "images"}, r"COMPRESSED=.*images: is a folder; name the file in it"),
        ({"base": "link.pt"}, r"BASE=.*link\.pt: is a link to a file that is not there"),
        ({"compressed": "net.pt2"}, r"net\.pt2: is a TorchScript program"),
        (
            {"architecture": "", "factory": "own.py:net"},
            r"FACTORY=own\.py:net: a module is named without \.py; write own:net",
        ),
        ({"architecture": "", "factory": "own:nett"}, r"FACTORY: own\.py defines no nett, did you mean net\?"),
        (
            {"architecture": "", "factory": "own:net"},
            r"FACTORY: own\.py: net takes no image_size: add it, or \*\*others",
        ),
        ({"normalization": "hlaf"}, "NORMALIZATION=hlaf: 'hlaf' is unknown, did you mean half?"),
        ({"normalization": "imagenet"}, "NORMALIZATION=imagenet: has 3 channels, the images have 1"),
        ({"architecture": "{kind: cnn9}"}, "ARCHITECTURE=: kind: 'cnn9' is unknown, did you mean cnn"),
        ({"architecture": "{kind: cnn8, widht: 8}"}, "ARCHITECTURE=: widht: unknown, did you mean width?"),
        ({"architecture": "{width: 8}"}, "ARCHITECTURE=: kind: 'None' is unknown; allowed"),
        ({"count": 0}, "COUNT=0: is no number of images"),
        ({"size": -1}, "SIZE=-1: is no number of pixels"),
        ({"base": "net.onnx"}, r"BASE=.*net\.onnx: holds a network without gradients"),
        ({"base": "net.PT"}, r"BASE=.*net\.PT: is no model by its name, .* rename it"),
        (
            {"compressed": "net.ONNX"},
            r"COMPRESSED=.*net\.ONNX: is no model by its name, .*none of \.pt, .*\.onnx, \.tflite",
        ),
        ({"compressed": "net.h5"}, r"COMPRESSED=.*net\.h5: is no model by its name"),
        ({"compressed": "a\nb.onnx"}, r"COMPRESSED='.*a\\nb\.onnx': has a line break"),
        ({"images": "a\udcff"}, r"IMAGES='a\\udcff': has a line break or another letter that cannot be printed"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_told_before_anything_is_written(base, tmp_path, monkeypatch, said, told):
    files = {name: safetensors(base, tmp_path / f"{name}.safetensors") for name in ("base", "compressed")}
    for name in ("net.onnx", "net.ONNX", "net.PT", "net.h5"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link.pt").symlink_to("nowhere.pt")
    (tmp_path / "own.py").write_text("def net(in_channels, num_classes):\n    return 1\n")
    with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
    monkeypatch.chdir(tmp_path)
    given = {**files, "images": str(folder(tmp_path / "images")), "architecture": "{kind: cnn8, width: 8}"} | said
    given |= {name: str(tmp_path / given[name]) for name in ("base", "compressed")}
    words = [part for key, value in given.items() for part in (f"--{key}", str(value))]
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    with pytest.raises(SystemExit, match=told):
        check_command.main()
    assert not list(tmp_path.glob("*.check.*"))


def places(folder, base="base.pt", compressed="small.pt", images="images"):
    """Where the study, what is made on the way and the page of a call lie; no file is read."""
    written = {"BASE": f"{folder}/{base}", "COMPRESSED": f"{folder}/{compressed}", "IMAGES": f"{folder}/{images}"}
    return check_command.places(written)


def test_two_questions_never_share_a_file_and_one_question_always_does(tmp_path):
    """Files of one stem in one folder, files of one name in two, another base, other images."""
    calls = [
        places(tmp_path / "a"), places(tmp_path / "b"), places(tmp_path / "a", compressed="small.onnx"),
        places(tmp_path / "a", compressed="small.tflite"), places(tmp_path / "a", base="other.pt"),
        places(tmp_path / "a", images="others"),
    ]  # fmt: skip
    assert len({files for _, files in calls}) == len(calls)
    assert len({study for study, _ in calls[:4]}) == 4
    assert places(tmp_path / "a/../a")[1].name == places(tmp_path / "a")[1].name
    named = ("s.pt", "./s.pt", "a/../s.pt", "a/s.pt")
    written = [{"BASE": "x.pt", "COMPRESSED": name, "IMAGES": "y"} for name in named]
    assert len({question(one) for one in written}) == 2


def test_what_another_call_wrote_is_kept_and_told(tmp_path, capsys):
    study, page = tmp_path / "small.pt.check.yaml", tmp_path / "made.html"
    for number in range(3):
        check_command.save(study, f"study: {number}\n")
    check_command.save(study, "study: 2\n")
    kept = sorted(path.name for path in tmp_path.glob("*.yaml"))
    assert kept == ["small.pt.check.old1.yaml", "small.pt.check.old2.yaml", "small.pt.check.yaml"]
    assert [(tmp_path / name).read_text() for name in kept] == ["study: 0\n", "study: 1\n", "study: 2\n"]
    assert capsys.readouterr().out.count("was another study, which is now") == 2

    shown = tmp_path / "small.pt.check.html"
    for text in ("one", "one", "two", "three"):
        page.write_text(f"<h1>{text}</h1>")
        check_command.show(page, shown, check_command.set_aside(shown))
    pages = {path.name: path.read_text() for path in tmp_path.glob("small*.html")}
    assert pages == {
        "small.pt.check.html": "<h1>three</h1>",
        "small.pt.check.old1.html": "<h1>one</h1>",
        "small.pt.check.old2.html": "<h1>two</h1>",
    }
    told = capsys.readouterr().out
    assert told.count("was another page, which is now") == 2 and "The page: " in told


def test_numbers_are_part_of_the_command_at_the_head_of_the_study(base, tmp_path):
    files = {name: safetensors(base, tmp_path / f"{name}.safetensors") for name in ("base", "compressed")}
    given = {**files, "images": str(folder(tmp_path / "images")), "architecture": "{kind: cnn8, width: 8}"}
    given |= {"size": 8, "channels": 1, "count": 40}
    found = understand(check_command.ask(SimpleNamespace(**{**dict.fromkeys(check_command.FURTHER), **given})))
    command = shlex.split(found.text.splitlines()[1])
    assert {"SIZE=8", "CHANNELS=1", "COUNT=40"} <= set(command)
    assert yaml.safe_load(found.text)["datasets"]["images"]["test"] == 40


def test_make_runs_the_command():
    command = ["make", "--dry-run", "check", "BASE=a b.pt", "CORES=3"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert "workflow_scripts/tools/check.py --cores 3" in done.stdout


def test_the_threads_of_a_shell_do_not_limit_the_cores_of_a_run():
    shell = {name: value for name, value in os.environ.items() if name not in ("CORES", "OMP_NUM_THREADS")}
    command = ["make", "--dry-run", "check"]
    plain, told = (
        subprocess.run(command, cwd=ROOT, env={**shell, **said}, text=True, capture_output=True).stdout
        for said in ({}, {"OMP_NUM_THREADS": "123"})
    )
    assert plain == told and "check.py --cores " in told


def test_arguments_are_those_of_make_and_no_variables_of_the_shell(tmp_path):
    """A shell may well have a variable KEY or SIZE."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    text = (
        (tmp_path / "Makefile").read_text().replace(".venv/bin/python workflow_scripts/tools/check.py", '"$(SHOW)" #')
    )
    (tmp_path / "Makefile").write_text(text.replace("check: $(READY)", "check:"))
    (tmp_path / "show").write_text("#!/bin/sh\nenv | grep -E '^(WRITTEN|ARCHITECTURE|KEY)='\n")
    (tmp_path / "show").chmod(0o755)
    command = ["make", "check", "BASE=a b.pt", "ARCHITECTURE={kind: cnn8, width: 8}", f"SHOW={tmp_path}/show"]
    # What was given to the make that runs the tests is not given to this one.
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=tmp_path, env={**shell, "KEY": "stray"}, text=True, capture_output=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert sorted(found["WRITTEN"].split()) == ["ARCHITECTURE", "BASE", "SHOW"]
    assert found["ARCHITECTURE"] == "{kind: cnn8, width: 8}"
    given = {**found, "KEY": "stray", "WRITTEN": "ARCHITECTURE CORES"}
    assert check_command.from_make(given) == {"architecture": "{kind: cnn8, width: 8}"}


@pytest.mark.parametrize(
    ("name", "told"),
    [("COMPRESED", "did you mean COMPRESSED="), ("base", "did you mean BASE="), ("X", "known are BASE=")],
)
def test_an_argument_that_nobody_knows_is_named(name, told):
    with pytest.raises(InputError, match=f"^{name}= is unknown; {told}"):
        check_command.from_make({"WRITTEN": f"BASE {name}", "BASE": "a", name: "b"})


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_a_file_with_several_networks_names_the_argument_that_chooses_one(base, tmp_path, name):
    torch.save({"left": base.state_dict(), "right": base.state_dict()}, tmp_path / "two.pt")
    option = {"base": " by KEY=", "compressed": " by COMPRESSED_KEY="}[name]
    with pytest.raises(InputError, match=f"name left or right,{option}$"):
        check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, None)
    assert check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, "left")


@pytest.mark.parametrize("name", ["base", "compressed"])
def test_an_entry_that_is_taken_silently_is_told_with_the_argument_for_the_other(base, tmp_path, name, capsys):
    torch.save({"model": base.state_dict(), "ema": base.state_dict()}, tmp_path / "two.pt")
    option = {"base": "KEY=", "compressed": "COMPRESSED_KEY="}[name]
    check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, None)
    told = f"two.pt: took the entry model, not ema, which {option} would take\n"
    assert (printed := capsys.readouterr().out).endswith(told) and printed.startswith(f"{name.upper()}=")
    check_command.weights(str(tmp_path / "two.pt"), tmp_path / "files", name, "ema")
    assert capsys.readouterr().out == ""


def pair(folder, base, compressed, **changes):
    """The Asked of two state_dicts as files."""
    for name, state in (("base", base), ("compressed", compressed)):
        save_file(state, folder / f"{name}.safetensors")
    files = {name: str(folder / f"{name}.safetensors") for name in ("base", "compressed")}
    return Asked(**files, images="", study=folder, files=folder, **changes)


def test_a_compressed_file_of_the_weights_of_its_base_ends_the_check(tmp_path):
    own = {"w": torch.tensor([[1.0, float("nan")]]), "n": torch.tensor(3)}
    equal = pair(tmp_path, own, {name: tensor.clone() for name, tensor in own.items()})
    with pytest.raises(InputError, match=r"^COMPRESSED=.*: holds the weights of BASE=.*, bit for bit"):
        refuse_equal(equal)
    others = [
        {**own, "w": torch.tensor([[1.0, 0.0]])}, {**own, "w": own["w"].half()}, {**own, "w": own["w"].T.contiguous()},
        {"w": own["w"]}, {**own, "n": torch.tensor(3, dtype=torch.int32)},
    ]  # fmt: skip
    for other in others:
        refuse_equal(pair(tmp_path, own, other))
    # The same weights, used by another network or for other pixels.
    for changes in ({"compressed_architecture": {"kind": "cnn8"}}, {"options": {"normalization": "half"}}):
        refuse_equal(pair(tmp_path, own, own, **changes))
    (tmp_path / "small.onnx").write_bytes(b"")
    refuse_equal(replace(equal, compressed=str(tmp_path / "small.onnx")))


def test_equal_weights_are_told_by_the_command_before_it_writes_a_study(base, tmp_path, monkeypatch):
    states = {"model": base.state_dict(), "ema": base.state_dict()}
    torch.save(states, tmp_path / "two.pt")
    monkeypatch.chdir(tmp_path)
    words = ["--base", "two.pt", "--compressed", "two.pt", "--images", str(folder(tmp_path / "images"))]
    words += ["--architecture", "{kind: cnn8, width: 8}"]
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    with pytest.raises(SystemExit, match="are one file"):
        check_command.main()
    monkeypatch.setattr(sys, "argv", ["check.py", *words, "--compressed-key", "ema"])
    with pytest.raises(SystemExit, match=r"COMPRESSED=two\.pt: holds the weights of BASE=two\.pt, bit for bit"):
        check_command.main()
    assert not list(tmp_path.glob("*.check.*"))


def test_what_is_missing_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "workflow_scripts/tools/check.py"], cwd=tmp_path, text=True, capture_output=True
    )
    told = "check: BASE=, COMPRESSED=, IMAGES= missing; write make check BASE="
    assert done.returncode == 1 and done.stderr.startswith(told) and done.stderr.count("\n") == 1
