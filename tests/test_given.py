"""What a model was given on the way to its labels is noted, and held against what the files have."""

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network, settings

from squeezeproof.evaluation.again import ask_again
from squeezeproof.evaluation.given import IMAGES, Given, digests
from squeezeproof.evaluation.scoring import score
from squeezeproof.models.predict import predict
from squeezeproof.store.adversarial import save_set
from squeezeproof.store.kept import Kept
from squeezeproof.store.tensors import fingerprint, write_tensors

COUNT = 60


@pytest.fixture(params=["float32", "uint8"])
def files(tmp_path, request):
    """A test split and a set of images near it, stored in either type."""
    images, labels = held_out(COUNT)
    split = {
        "kind": "dataset",
        "fingerprint": fingerprint(images.numpy(), labels.numpy()),
        "classes": list("0123456789"),
    }
    write_tensors(tmp_path / "test", {"images": images.numpy(), "labels": labels.numpy()}, split)
    points = (images / 255 + 0.01).clamp(0, 1)
    stored = points if request.param == "float32" else (255 * points).round().to(torch.uint8)
    zeros = torch.zeros(COUNT)
    tensors = {"adversarial": stored, "labels": labels, "predictions": labels, "clean_predictions": labels}
    tensors |= {"margin": zeros, "loss": zeros, "norm": zeros}
    told = {"attack": "pgd", "source": "base", "stages": [], "zero_gradients": 0.0, "entry": "pgd"}
    entry = settings("pgd", eps=0.1, stored=request.param)
    save_set(tmp_path / "set", tensors, entry, told, {"fingerprint": "base"}, split)
    return tmp_path, request.param


def unlike(folder, change=lambda images: images, kept=None, size=25):
    """By set, for how many images the model was given others than the files have, where they `change` on the way."""
    model, given = network(), Given()
    with given.watching(model):
        found = score(
            lambda images: predict(model, change(images), size), folder / "test", [folder / "set"], kept, given
        )
    told = ask_again(model, folder / "test", [folder / "set"], found[1], given=given.found)
    return {name: one["unlike"] for name, one in told.items()}


class Rounded:
    """Images that are rounded to 8 bits as they are read."""

    def __init__(self, images):
        self.images, self.dtype, self.shape = images, images.dtype, images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        pixels = self.images[rows]
        return pixels if pixels.dtype == torch.uint8 else (255 * pixels).round() / 255


def test_what_is_read_is_what_the_model_is_given(files):
    assert unlike(files[0]) == {"clean": 0, "pgd": 0}


def test_a_rounding_on_the_way_is_seen_where_it_changes_anything(files):
    folder, kind = files
    assert unlike(folder, Rounded) == {"clean": 0, "pgd": IMAGES if kind == "float32" else 0}


def test_what_was_given_is_kept_with_the_labels(files):
    folder, kind = files
    for _ in range(2):
        kept = Kept(folder / "output", ["code"], worth=0)
        assert unlike(folder, Rounded, kept)["pgd"] == (IMAGES if kind == "float32" else 0)
        kept.save()
    assert kept.seconds == 0


def test_a_batch_that_is_given_again_counts_once():
    images, given, model = torch.rand(COUNT, 1, 8, 8), Given(), network()
    read = given.begin(images)
    with given.watching(model):
        for first, last in ((0, 40), (0, 20), (20, 40), (40, 60)):
            model(read[first:last])
    assert np.array_equal(given.digests, digests(images[given.rows])) and len(set(given.digests)) == IMAGES
