"""Features of layers for one class of images, their file, t-SNE and its panels."""

import numpy as np
import pandas as pd
import pytest
import torch
from attack_fixtures import network, pixels
from model_examples import model_of, pixels_of, spec_of
from study_examples import changed

from squeezeproof.classes import class_number
from squeezeproof.errors import InputError
from squeezeproof.evaluation.layers import first_of_class, layer_features
from squeezeproof.evaluation.tsne import COLUMNS, coordinates, embed
from squeezeproof.figures.style import save
from squeezeproof.figures.tsne import tsne_panels
from squeezeproof.models.features import features
from squeezeproof.store.features import read_features, save_features
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

STUDY = """
study: small
datasets: {digits: {}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 4}}
attacks: {fgsm: {eps: 0.1}, pgd: {eps: 0.1}}
evaluations: {all: {attacks: [fgsm*]}}
features: {threes: {class: 3, attack: fgsm-eps0.1}}
"""
CLASSES = ["Ankle boot", "Bag", "2"]


@pytest.mark.parametrize(("name", "number"), [("Bag", 1), (0, 0), ("2", 2), (2, 2)])
def test_a_class_goes_by_its_name_or_its_number(name, number):
    assert class_number(name, CLASSES) == number


@pytest.mark.parametrize("name", ["Bug", 3, "coat"])
def test_a_class_that_is_not_there_is_told(name):
    with pytest.raises(InputError, match=f"no class {name!r}"):
        class_number(name, CLASSES)


@pytest.mark.parametrize(
    ("named", "dataset", "told"),
    [
        (10, {"digits": {}}, "of datasets.digits: the data set has no class 10; its classes are numbered from 0 to 9"),
        ("three", {"fashion_mnist": {}}, "of datasets.fashion_mnist: the data set has no class 'three'"),
        (100, {"cifar100": {}}, "of datasets.cifar100: the data set has no class 100"),
        ("bag", {"mine": {"kind": "image_folder", "root": "images", "size": 28}}, "of datasets.mine: the data set has"),
    ],
)
def test_a_class_that_a_data_set_does_not_have_is_refused_in_the_config(named, dataset, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog", "__MACOSX"):
        (tmp_path / "images" / "train" / name).mkdir(parents=True)
        (tmp_path / "images" / "train" / name / "0.png").touch()
    changes = {"datasets": dataset, "features": {"one": {"class": named, "attack": "fgsm-eps0.1"}}}
    with pytest.raises(ConfigError) as caught:
        Study(changed(STUDY, changes))
    [problem] = caught.value.problems
    assert problem.startswith(f"features.one.class: {told}")


@pytest.mark.parametrize(
    ("named", "dataset"),
    [
        (9, {"digits": {}}),
        ("ship", {"cifar10": {}}),
        # Whose files are not there yet.
        ("bag", {"mine": {"kind": "image_folder", "root": "images", "size": 28}}),
        ("apple", {"cifar100": {}}),
    ],
)
def test_a_class_that_a_data_set_may_have_is_looked_into(named, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {"datasets": dataset, "features": {"one": {"class": named, "attack": "fgsm-eps0.1"}}}
    assert len(Study(changed(STUDY, changes)).features) == 1


def test_the_first_images_of_a_class_are_taken():
    labels = torch.tensor([1, 0, 1, 2, 1, 0])
    assert first_of_class(labels, 1, 2).tolist() == [0, 2] and first_of_class(labels, 0, 9).tolist() == [1, 5]
    with pytest.raises(InputError, match="1 test images are of class 2"):
        first_of_class(labels, 2, 5)


def test_features_are_the_layers_own_in_any_batches():
    inputs, _ = pixels(7)
    model = network()
    found, predictions = layer_features(model, inputs, ["1", "6"], "flatten", batch_size=3)
    assert list(found) == ["inputs", "1", "6"]
    with torch.no_grad():
        torch.testing.assert_close(found["1"], model[:2](inputs).flatten(1))
        torch.testing.assert_close(found["6"], model(inputs))
    assert torch.equal(found["inputs"], inputs.flatten(1)) and torch.equal(predictions, model(inputs).argmax(1))


def test_maps_may_be_averaged_and_the_last_layers_found():
    spec = spec_of("cnn8", width=4)
    images = (pixels_of(spec) * 255).to(torch.uint8)
    found, _ = layer_features(model_of(spec), images, ["auto"], "mean")
    assert list(found) == ["inputs", "network.conv6", "network.fc1", "network.fc2"]
    whole, _ = layer_features(model_of(spec), images, ["network.conv6"], "flatten")
    channels = found["network.conv6"].shape[1]
    torch.testing.assert_close(found["network.conv6"], whole["network.conv6"].view(3, channels, -1).mean(2))
    assert found["network.fc2"].shape == (3, 10) and found["inputs"].max() <= 1


def test_a_part_that_a_gpu_has_no_memory_for_is_there_once(monkeypatch):
    """The memory may end where the last layer's maps are averaged, when the others' are there."""
    inputs, _ = pixels(6)
    expected, predictions = layer_features(network(), inputs, ["1", "6"], "flatten", batch_size=3)

    class Short:
        def dim(self):
            raise torch.OutOfMemoryError("CUDA out of memory")

    def short_of_memory(model, layers, images):
        outputs = features(model, layers, images)
        return outputs | ({layers[-1]: Short()} if len(images) > 3 else {})

    monkeypatch.setattr("squeezeproof.evaluation.layers.features", short_of_memory)
    found, again = layer_features(network(), inputs, ["1", "6"], "mean", batch_size=6)
    assert torch.equal(again, predictions) and torch.equal(found["inputs"], expected["inputs"])
    assert {name: len(rows) for name, rows in found.items()} == dict.fromkeys(expected, 6)


def test_a_file_gives_features_back(tmp_path):
    features = {kind: {"inputs": torch.rand(2, 5), "network.fc": torch.rand(2, 3)} for kind in ("clean", "adversarial")}
    predictions = {"clean": torch.tensor([3, 3]), "adversarial": torch.tensor([1, 3])}
    metadata = {"class": "three", "label": 3}
    prints = {"fingerprint": "f"}
    save_features(tmp_path / "f", torch.tensor([4, 9]), features, predictions, metadata, prints, prints)
    examples, found, labels, metadata = read_features(tmp_path / "f")
    assert examples.tolist() == [4, 9] and labels["adversarial"].tolist() == [1, 3]
    assert metadata["layers"] == ["inputs", "network.fc"] and metadata["class"] == "three"
    for kind, layers in features.items():
        for layer, values in layers.items():
            np.testing.assert_array_equal(found[kind][layer], values.numpy())


def clusters(count, features=6):
    """Two clouds far apart, float32 [count, features] each."""
    noise = np.random.default_rng(0).normal(size=(2, count, features))
    return noise[0].astype(np.float32), (noise[1] + 40).astype(np.float32)


def test_clouds_that_are_apart_stay_apart_and_repeat_bit_for_bit():
    first, second = clusters(20)
    clean, adversarial = embed(first, second, perplexity=10, seed=1)
    assert clean.shape == adversarial.shape == (20, 2)
    distance = np.linalg.norm(clean.mean(0) - adversarial.mean(0))
    within = max(np.linalg.norm(cloud - cloud.mean(0), axis=1).max() for cloud in (clean, adversarial))
    assert distance > within
    again = embed(first, second, perplexity=10, seed=1)
    np.testing.assert_array_equal(again[0], clean)


@pytest.mark.parametrize(("count", "features"), [(2, 6), (3, 1)])
def test_few_images_and_few_features_lower_the_perplexity(count, features):
    clean, adversarial = embed(*clusters(count, features), perplexity=30, seed=0)
    assert np.isfinite(clean).all() and len(adversarial) == count


def test_a_layer_that_says_nothing_lies_at_the_origin():
    clean, adversarial = embed(np.ones((3, 4)), np.ones((3, 4)), perplexity=30, seed=0)
    assert not clean.any() and not adversarial.any()


def test_every_image_has_a_row_in_every_layer_clean_ones_first():
    first, second = clusters(3)
    features = {"clean": {"a": first, "b": second}, "adversarial": {"a": second, "b": first}}
    predictions = {"clean": [7, 7, 1], "adversarial": [1, 1, 1]}
    rows = list(coordinates([4, 8, 9], features, predictions, {"layers": ["b", "a"], "label": 7}, perplexity=1, seed=0))
    assert [row[:5] for row in rows[:4]] == [
        ["b", 4, "clean", 7, 7], ["b", 8, "clean", 7, 7], ["b", 9, "clean", 7, 1], ["b", 4, "adversarial", 7, 1],
    ]  # fmt: skip
    assert len(rows) == 12 and {len(row) for row in rows} == {len(COLUMNS)} and rows[6][0] == "a"
    placed = embed(second, first, perplexity=1, seed=0)
    assert np.array([row[5:] for row in rows[:6]], float) == pytest.approx(np.concatenate(placed), rel=1e-5)


def test_panels_show_every_image_once(tmp_path):
    rows = [
        {"layer": layer, "kind": kind, "label": 3, "prediction": prediction, "x": index, "y": -index}
        for layer in ("inputs", "network.conv1", "a", "b", "c")
        for kind in ("clean", "adversarial")
        for index, prediction in enumerate((3, 3, 1))
    ]
    figure = tsne_panels(pd.DataFrame(rows), "a title")
    assert [axes.get_title("left") for axes in figure.axes] == ["inputs", "conv1", "a", "b", "c"]
    for axes in figure.axes:
        assert sorted(len(points.get_offsets()) for points in axes.collections) == [1, 1, 2, 2]
    save(figure, [tmp_path / "f.svg"])


# The plan


def test_a_study_tells_which_models_are_looked_into():
    study = Study(changed(STUDY, {}))
    assert study.features == [("digits", "cnn3.standard.none.none.s0", "threes")]
    settings = study.config["features"]["threes"]
    assert (settings["layers"], settings["images"], settings["class"]) == (["auto"], 200, 3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"features.threes.attack": "fgsm"}, "'fgsm' is no attack with its budget; allowed: fgsm-eps0.1"),
        ({"features.threes.attack": "pgd-eps0.1"}, "no evaluation crafts pgd-eps0.1 on cnn3.standard.none.none.s0"),
        ({"features.threes.models": ["cnn8*"]}, "matches no model"),
        ({"features.threes.class": -1}, "features.threes.class: -1"),
        ({"features.threes": {"attack": "fgsm-eps0.1"}}, "features.threes.class: missing"),
        ({"features.threes.maps": "max"}, "'max' is unknown"),
    ],
)
def test_what_cannot_be_looked_into_is_told(changes, told):
    with pytest.raises(ConfigError) as caught:
        Study(changed(STUDY, changes))
    assert any(told in problem for problem in caught.value.problems), caught.value.problems
