"""Prepared splits: their sizes, shares, moments and order."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from squeezeproof.datasets.prepare import Moments, prepare, stratified
from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.store.datasets import read_split
from squeezeproof.store.tensors import fingerprint, read_arrays, read_metadata

SPLITS = ("train", "validation", "test")


TRAIN, TEST = 97, 41


def numbered(count, offset):
    """Images [N, 2, 3, 3] that carry their own number, with unequal classes."""
    numbers = np.arange(count) + offset
    images = np.zeros((count, 2, 3, 3), np.uint8)
    images[:, 0], images[:, 1] = (numbers // 256)[:, None, None], (numbers % 256)[:, None, None]
    return images, np.minimum(np.arange(count) * 7 % 11, 4)


def numbered_kind(monkeypatch, loaded):
    """Let `numbered` be a kind of data sets that loads these images."""
    kind = SimpleNamespace(imported=lambda: lambda _: loaded)
    monkeypatch.setitem(registry.datasets()._entries, "numbered", kind)


@pytest.fixture
def split(tmp_path, monkeypatch):
    """Prepares the numbered images; returns split -> (arrays, metadata), and leaves the files in a folder `run`."""
    numbered_kind(monkeypatch, (numbered(TRAIN, 0), numbered(TEST, 1000), list("abcde")))

    def split(train=None, validation=0, test=None, subset_seed=0, run="run"):
        paths = {name: tmp_path / run / f"{name}.safetensors" for name in SPLITS}
        options = {"train": train, "validation": validation, "test": test, "subset_seed": subset_seed}
        prepare({"kind": "numbered", **options}, paths, "mine")
        return {name: (read_arrays(path), read_metadata(path, "dataset")) for name, path in paths.items()}

    return split


# --- Splits and subsets


@st.composite
def subsets(draw):
    labels = np.array(draw(st.lists(st.integers(0, 6), max_size=40)), dtype=np.int64)
    count = draw(st.integers(0, len(labels)))
    return labels, count, np.random.default_rng(draw(st.integers(0, 2**32))).permutation(len(labels))


@given(subsets())
def test_a_stratified_subset_keeps_every_share(subset):
    labels, count, order = subset
    picked = stratified(labels, count, order)
    assert len(picked) == count == len(set(picked.tolist()))
    np.testing.assert_array_equal(picked, stratified(labels, count, order))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        taken = picked[labels[picked] == label]
        assert abs(len(taken) - count * len(members) / len(labels)) < 1
        np.testing.assert_array_equal(taken, members[: len(taken)])


def test_the_order_decides_which_examples_are_picked():
    labels = np.repeat([0, 1], 50)
    first, second = (stratified(labels, 10, np.random.default_rng(seed).permutation(100)) for seed in (0, 1))
    assert set(first.tolist()) != set(second.tolist())
    assert sorted(stratified(labels, 4).tolist()) == [0, 1, 50, 51]


def moments_in_parts(images):
    seen = Moments(images.shape[1])
    for first in range(0, len(images), 1024):
        seen.add(images[first : first + 1024])
    return seen.result()


@pytest.mark.parametrize("count", [1, 1024, 2500])
def test_moments_agree_with_numpy(count):
    images = np.random.default_rng(5).integers(0, 256, (count, 3, 5, 4), dtype=np.uint8)
    images[:, 1] //= 9
    mean, std = moments_in_parts(images)
    pixels = images / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_constant_channel_is_not_divided_by_zero(level):
    images = np.random.default_rng(6).integers(0, 256, (2000, 2, 8, 8), dtype=np.uint8)
    images[:, 1] = level
    mean, std = moments_in_parts(images)
    assert mean[1] == pytest.approx(level / 255) and std[1] == 1
    assert std[0] == pytest.approx(images[:, 0].std() / 255)


def numbers_of(images):
    return images[:, 0, 0, 0].astype(int) * 256 + images[:, 1, 0, 0]


def assert_shares(labels, whole, slack):
    for label in np.unique(whole):
        assert abs((labels == label).sum() - len(labels) * (whole == label).mean()) < slack


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        (None, 0, None),
        (None, 13, None),
        (None, TRAIN - 15, 1),
        (40, 0, 20),
        (40, 20, TEST),
        (TRAIN - 5, 5, 7),
        (12, 0, 1),
    ],
)
def test_splits_have_the_asked_size_and_shares(split, train, validation, test):
    splits = split(train, validation, test)
    sizes = {"train": TRAIN - validation if train is None else train, "validation": validation, "test": test or TEST}
    (_, labels), (_, test_labels) = numbered(TRAIN, 0), numbered(TEST, 1000)
    chosen = {}
    for name, (arrays, metadata) in splits.items():
        numbers = numbers_of(arrays["images"])
        chosen[name] = set(numbers.tolist())
        assert arrays["images"].dtype == np.uint8 and arrays["labels"].dtype == np.int64
        assert len(numbers) == len(arrays["labels"]) == len(chosen[name]) == sizes[name]
        assert (np.diff(numbers) > 0).all()
        truth = test_labels[numbers - 1000] if name == "test" else labels[numbers]
        np.testing.assert_array_equal(arrays["labels"], truth)
        assert metadata["fingerprint"] == fingerprint(arrays["images"], arrays["labels"])
        assert (metadata["dataset"], metadata["split"], metadata["classes"]) == ("mine", name, list("abcde"))
        # Test images are prepared without the training images, by whose moments networks normalize.
        assert ("mean" in metadata) == ("std" in metadata) == (name != "test")
    pixels = splits["train"][0]["images"] / 255
    for name in ("train", "validation"):
        np.testing.assert_allclose(splits[name][1]["mean"], pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    assert not chosen["train"] & chosen["validation"]
    together = np.array(sorted(chosen["train"] | chosen["validation"]))
    assert_shares(labels[together], labels, 1)
    assert_shares(splits["validation"][0]["labels"], labels[together], 1)
    assert_shares(splits["test"][0]["labels"], test_labels, 1)


def test_an_empty_validation_split_is_a_split(split, tmp_path):
    split(validation=0)
    images, labels, metadata = read_split(tmp_path / "run" / "validation.safetensors")
    assert images.shape == (0, 2, 3, 3) and images.dtype == torch.uint8
    assert labels.shape == (0,) and labels.dtype == torch.int64
    assert metadata["shape"] == [2, 3, 3]


def test_the_same_settings_give_the_same_files(split, tmp_path):
    for run in ("first", "second"):
        split(40, 20, 10, subset_seed=3, run=run)
    for name in SPLITS:
        first, second = (tmp_path / run / f"{name}.safetensors" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_the_seed_draws_other_images(split):
    first, second = (split(40, 20, 10, subset_seed=seed) for seed in (0, 1))
    for name in SPLITS:
        assert not np.array_equal(first[name][0]["images"], second[name][0]["images"])


def test_the_test_images_do_not_depend_on_the_training_images(split):
    first, second = split(40, 0, 10), split(None, 20, 10)
    np.testing.assert_array_equal(first["test"][0]["images"], second["test"][0]["images"])


@pytest.mark.parametrize("sorted_by_class", [False, True])
def test_the_training_images_do_not_depend_on_the_number_of_test_images(tmp_path, monkeypatch, sorted_by_class):
    (images, labels), test = numbered(TRAIN, 0), numbered(TEST, 1000)
    order = np.argsort(labels, kind="stable") if sorted_by_class else np.arange(TRAIN)
    numbered_kind(monkeypatch, ((images[order], labels[order]), test, list("abcde")))
    settings = {"kind": "numbered", "train": None, "validation": 20, "subset_seed": 0}
    for count in (None, 5, 10):
        paths = {split: tmp_path / str(count) / f"{split}.safetensors" for split in ("train", "validation")}
        prepare({**settings, "test": count}, paths, "mine")
        assert sorted(path.name for path in (tmp_path / str(count)).iterdir()) == [
            "train.safetensors",
            "validation.safetensors",
        ]
    for split in ("train", "validation"):
        assert len({(tmp_path / str(count) / f"{split}.safetensors").read_bytes() for count in (None, 5, 10)}) == 1


def test_a_split_that_is_written_alone_is_the_same(split, tmp_path):
    split(40, 20, 10)
    alone = tmp_path / "test.safetensors"
    prepare({"kind": "numbered", "train": 40, "validation": 20, "test": 10, "subset_seed": 0}, {"test": alone}, "mine")
    assert alone.read_bytes() == (tmp_path / "run" / "test.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [(TRAIN + 1, 0, "98"), (TRAIN, 1, "97"), (50, 48, "50"), (None, TRAIN, "null"), (None, TRAIN + 1, "null")],
)
def test_more_training_images_than_there_are(split, tmp_path, train, validation, said):
    with pytest.raises(InputError, match=rf"datasets\.mine: train: {said} with validation: {validation} .* {TRAIN} "):
        split(train, validation)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("train", "validation", "lost"), [(3, 0, "[a-e], [a-e]"), (3, 2, ""), (None, TRAIN - 3, "")])
def test_a_class_without_a_training_image_in_the_subset_is_named(split, tmp_path, train, validation, lost):
    with pytest.raises(
        InputError, match=rf"datasets\.mine: .* leaves no training image of {lost or '[a-e], '}.*larger"
    ):
        split(train, validation)
    assert not (tmp_path / "run").exists()


def test_more_test_images_than_there_are(split, tmp_path):
    with pytest.raises(InputError, match=rf"datasets\.mine\.test: {TEST + 1} is more than the {TEST}"):
        split(test=TEST + 1)
    assert not (tmp_path / "run").exists()


def test_examples_that_lie_class_by_class_are_mixed(split, monkeypatch):
    """Folders of images are read class by class; a substitute, UAP and the check of a file look at the first ones."""
    (images, labels), (test_images, test_labels) = numbered(TRAIN, 0), numbered(TEST, 1000)
    by_class, tests = np.argsort(labels, kind="stable"), np.argsort(test_labels, kind="stable")
    mine = (images[by_class], labels[by_class]), (test_images[tests], test_labels[tests]), list("abcde")
    numbered_kind(monkeypatch, mine)
    splits = split(validation=20)
    for name, (arrays, _) in splits.items():
        numbers = numbers_of(arrays["images"])
        truth = test_labels[numbers - 1000] if name == "test" else labels[numbers]
        np.testing.assert_array_equal(arrays["labels"], truth)
        assert len(set(numbers.tolist())) == len(numbers)
        assert len(set(arrays["labels"][:20].tolist())) > 3
