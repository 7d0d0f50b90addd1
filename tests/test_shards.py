"""Sets in shards: what several jobs craft is what one would have, and a strange shard is refused by name."""

import copy
import re
from collections import Counter

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network, settings
from conftest import TINY
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from shard_examples import write_split
from torch import nn

from squeezeproof.attacks.checks import check_stored
from squeezeproof.attacks.craft import craft, fit
from squeezeproof.attacks.learnt import load_fitted, save_fitted
from squeezeproof.entries.attack import SHARED
from squeezeproof.errors import InputError
from squeezeproof.evaluation.sweep import sweep
from squeezeproof.store.adversarial import SHARD, save_set
from squeezeproof.store.datasets import open_set, open_split, read_split
from squeezeproof.store.shards import combined, discard_shards, join_shards, shard_rows
from squeezeproof.store.tensors import (
    read_arrays,
    read_metadata,
    verify,
    write_tensors,
)
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.estimate import Size, jobs
from squeezeproof.study.outputs import jobs as planned_jobs
from squeezeproof.study.plan import Study
from squeezeproof.study.rates import Rates

# --- Shards are what one job crafts

SHARDS, COUNT = 3, 40


@hypothesis_settings(max_examples=100)
@given(st.integers(1, 500), st.data())
def test_shards_cover_every_example_once_in_order(count, data):
    shards = data.draw(st.integers(1, count))
    ranges = [shard_rows(count, shard, shards) for shard in range(1, shards + 1)]
    assert [row for rows in ranges for row in rows] == list(range(count))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_more_shards_than_images_are_refused():
    with pytest.raises(InputError, match="41 shards of 40 test images leave some empty; write shards: 40"):
        shard_rows(40, 1, 41)


def staged(method):
    return {key: value for key, value in settings(method).items() if key not in SHARED}


ENTRIES = {
    "fgsm": settings("fgsm"),
    "pgd": settings("pgd", stop_on_success=True, restarts=3, eps=0.1),
    "suite": settings(
        "suite", stop_on_success=True, eps=0.08, stages=[staged(name) for name in ("fgsm", "pgd", "apgd")]
    ),
    "square": settings("square", eps=0.2),
    "substitute": settings("substitute", eps=0.2),
    "uap": settings("uap", eps=0.2),
    "uint8": settings("pgd", eps=0.1, stored="uint8"),
    "uint8, stopped": settings("pgd", eps=0.06, stored="uint8", stop_on_success=True),
    "uint8, nearest": settings("deepfool", stored="uint8"),
    "cw": settings("cw", norm="l2"),
}
NAMES = {"dataset": "digits", "source": "cnn", "attack": "made", "entry": "made", "device": "cpu"}
SOURCE = {"fingerprint": "of the model"}


class Crafting:
    """Sets of one network on a prepared split, whole and in shards."""

    def __init__(self, folder, model=None, count=COUNT):
        self.folder, self.model = folder, model or network()
        images, labels = held_out(count)
        write_split(folder / "test", images.numpy(), labels.numpy())
        self.test = open_split(folder / "test")

    def craft(self, entry, rows=None, name="whole", source=SOURCE, **metadata):
        images, labels, split = self.test
        options = {"seed": 3, "batch_size": 8, "training": held_out(60)}
        tensors, told = craft(self.model, images, labels, entry, rows=rows, **options)
        save_set(self.folder / name, tensors, entry, told | NAMES | metadata, source, split)
        return self.folder / name

    def shards(self, entry, count=SHARDS, **options):
        rows = [shard_rows(len(self.test[1]), shard, count) for shard in range(1, count + 1)]
        return [self.craft(entry, own, f"{index}of{count}", **options) for index, own in enumerate(rows)]

    def join(self, shards):
        join_shards(self.folder / "joined", shards, SOURCE["fingerprint"])
        return self.folder / "joined"


@pytest.fixture
def crafting(tmp_path):
    return Crafting(tmp_path)


def without_seconds(path):
    metadata = read_metadata(path, "adversarial")
    assert metadata.pop("seconds") > 0
    return metadata


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_joined_shards_are_the_set_of_one_job(crafting, entry):
    whole, joined = crafting.craft(entry), crafting.join(crafting.shards(entry))
    expected, found = read_arrays(whole), read_arrays(joined)
    assert found.keys() == expected.keys()
    for name in ("labels", "clean_predictions", "predictions", "stage"):
        np.testing.assert_array_equal(found[name], expected[name])
    for name in ("adversarial", "norm"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-6)
    for name in ("loss", "margin"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
    assert {name: array.dtype for name, array in found.items()} == {n: a.dtype for n, a in expected.items()}
    assert without_seconds(joined) == without_seconds(whole)
    verify(joined)
    stored, _ = open_set(joined, crafting.test[2])
    check_stored(stored, crafting.test[0], entry)


@pytest.mark.parametrize("method", ["uap", "substitute"])
def test_what_is_fitted_once_is_what_every_shard_fits(tmp_path, method):
    model, (images, labels), source = network(), held_out(30), {"fingerprint": "of the model"}
    options = {"seed": 3, "batch_size": 7, "training": held_out(60)}
    save_fitted(tmp_path / "fitted", fit(model, images, labels, settings(method), **options), source)
    fitted = load_fitted(tmp_path / "fitted", source, torch.device("cpu"))
    found = []
    for known in (None, fitted):
        shards = [
            craft(model, images, labels, settings(method), rows=shard_rows(30, shard, 3), fitted=known, **options)
            for shard in (1, 2, 3)
        ]
        found.append((shards, combined([metadata for _, metadata in shards])))
    (several, once), passes = zip(*found, strict=True), ("forwards_per_example", "backwards_per_example")
    for (first, _), (second, _) in zip(*several, strict=True):
        assert all(first[name].equal(second[name]) for name in first)
    assert {key: once[0][key] for key in passes} == {key: once[1][key] for key in passes}
    assert once[0].keys() == once[1].keys() and fitted.passes["forwards"] > 0
    with pytest.raises(InputError, match="was fitted on other weights than the source has"):
        load_fitted(tmp_path / "fitted", {"fingerprint": "of another"}, torch.device("cpu"))


def test_an_attack_that_learns_nothing_is_not_fitted():
    with pytest.raises(InputError, match="pgd learns nothing before it attacks"):
        fit(network(), *held_out(4), settings("pgd"), seed=0, batch_size=None)


def test_the_plan_fits_an_attack_once_for_all_shards():
    config = copy.deepcopy(TINY)
    config["attacks"] = {"uap": {"eps": 0.1, "images": 20}, "fgsm": {"eps": 0.1}}
    planned = [Counter(job.rule for job in planned_jobs(Study(config)))]
    config["datasets"]["digits"]["shards"] = 3
    planned.append(Counter(job.rule for job in planned_jobs(Study(config))))
    whole, sharded = planned
    assert "fit_attack" not in whole
    assert sharded["craft_shard"] == 3 * whole["craft"] and 2 * sharded["fit_attack"] == whole["craft"]


def test_a_shard_is_no_set_and_a_set_no_shard(crafting):
    whole, shards = crafting.craft(ENTRIES["fgsm"]), crafting.shards(ENTRIES["fgsm"])
    with pytest.raises(InputError, match=f"holds a '{SHARD}', a 'adversarial' is needed"):
        open_set(shards[0], crafting.test[2])
    with pytest.raises(InputError, match=f"holds a 'adversarial', a '{SHARD}' is needed"):
        crafting.join([shards[0], whole])


def test_a_shard_is_checked_against_its_own_images(crafting):
    images, _, split = crafting.test
    stored, _ = open_set(crafting.shards(ENTRIES["fgsm"])[1], split, SHARD)
    rows = shard_rows(COUNT, 2, SHARDS)
    check_stored(stored, images, ENTRIES["fgsm"], rows)
    with pytest.raises(InputError, match="ball"):
        check_stored(stored, images, ENTRIES["fgsm"], range(rows.start - 1, rows.stop - 1))
    with pytest.raises(InputError, match="returned"):
        check_stored(stored, images, ENTRIES["fgsm"], range(rows.start, rows.stop + 1))


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (["torch 1", "torch 1"], "torch 1"),
        (["torch 2", "torch 1"], "torch 1; torch 2"),
        (["torch 2", None], "torch 2; versions not recorded"),
        ([None, None], None),
    ],
)
def test_a_set_has_the_versions_of_all_its_shards(crafting, versions, said):
    shards = crafting.shards(ENTRIES["fgsm"], count=2)
    for path, version in zip(shards, versions, strict=True):
        metadata = read_metadata(path) | {"made_with": version}
        write_tensors(path, read_arrays(path), {key: value for key, value in metadata.items() if value is not None})
    assert read_metadata(crafting.join(shards)).get("made_with") == said


STRANGE = {
    "another source": ({"source": {"fingerprint": "of another"}}, "crafted on other weights"),
    "other settings": ({"entry": settings("fgsm", eps=0.2)}, "differs from .* in settings"),
    "another attack's name": ({"attack": "other"}, "differs from .* in attack"),
    "another split": ({"clean_fingerprint": "of others"}, "differs from .* in clean_fingerprint"),
    "a fit of its own": ({"queries": 7}, "differs from .* in queries"),
    "rows of another shard": ({"rows": range(13)}, "holds the examples 0 to 12 of 40, those from 13 of 40 on"),
    "a gap": ({"rows": range(14, 26)}, "holds the examples 14 to 25 of 40, those from 13 of 40 on"),
    "an overlap": ({"rows": range(12, 26)}, "holds the examples 12 to 25 of 40, those from 13 of 40 on"),
}


@pytest.mark.parametrize("changes, said", STRANGE.values(), ids=STRANGE)
def test_a_strange_shard_is_refused_by_name(crafting, changes, said):
    shards = crafting.shards(ENTRIES["fgsm"])
    options = {"entry": ENTRIES["fgsm"], "rows": shard_rows(COUNT, 2, SHARDS)} | changes
    shards[1] = crafting.craft(**options, name="strange")
    with pytest.raises(InputError, match=f"^{re.escape(str(shards[1]))}: .*{said}"):
        crafting.join(shards)
    assert not (crafting.folder / "joined").exists()


def test_missing_and_damaged_shards_are_refused_by_name(crafting):
    shards = crafting.shards(ENTRIES["fgsm"])
    with pytest.raises(InputError, match=f"^{re.escape(str(shards[1]))}: ends at example 25, the split has 40"):
        crafting.join(shards[:2])
    with pytest.raises(InputError, match=f"^{re.escape(str(shards[2]))}: holds the examples 26"):
        crafting.join([shards[0], shards[2]])
    content = bytearray(shards[2].read_bytes())
    content[-5] ^= 1
    shards[2].write_bytes(content)
    with pytest.raises(InputError, match=rf"^{re.escape(str(shards[2]))}: its \w+ is not what was written"):
        crafting.join(shards)


class Saturated(nn.Module):
    """The trained network, but for images with a set of labels without any gradient."""

    def __init__(self, marked):
        super().__init__()
        self.network, self.marked = network(), marked

    def forward(self, points):
        logits = self.network(points)
        dead = torch.cdist(points.detach().flatten(1), self.marked).amin(1) < 2
        return torch.where(dead[:, None], (0 * points.sum((1, 2, 3)))[:, None] + logits.detach(), logits)


def test_a_shard_without_gradients_is_fine_while_another_has_some(tmp_path):
    pixels = held_out(COUNT)[0].flatten(1) / 255
    rows = shard_rows(COUNT, 2, SHARDS)
    crafting = Crafting(tmp_path, Saturated(pixels[rows.start : rows.stop]))
    entry = settings("fgsm", eps=0.01)
    metadata = read_metadata(crafting.join(crafting.shards(entry)), "adversarial")
    assert metadata["zero_gradients"] == without_seconds(crafting.craft(entry))["zero_gradients"] >= len(rows) / COUNT
    crafting.model = Saturated(pixels)
    shards = crafting.shards(entry)
    with pytest.raises(InputError, match="every input gradient"):
        crafting.join(shards)


@pytest.mark.parametrize("name", ["pgd", "substitute"])
def test_a_sweep_in_shards_is_that_of_all_images(crafting, name):
    images, labels, _ = crafting.test
    attacks = [(f"rising-{eps}", {**ENTRIES[name], "stop_on_success": True, "eps": eps}) for eps in (0.05, 0.2)]
    options = {"classes": 10, "stops": False, "seed": lambda name: 5, "batch_size": 8}
    whole = list(sweep(crafting.model, *read_split(crafting.folder / "test")[:2], attacks, **options))
    shards = list(sweep(crafting.model, images, labels, attacks, **options, shards=SHARDS))
    for one, several in zip(whole, shards, strict=True):
        assert torch.equal(one.predictions, several.predictions) and one.costs == several.costs


def test_shards_of_another_count_do_not_stay(tmp_path):
    names = ["pgd.safetensors", "pgd2.shard1of4.safetensors", *(f"pgd.shard{shard}of3.safetensors" for shard in (1, 2))]
    for name in [*names, "pgd.shard1of4.safetensors", "pgd.shard3of4.safetensors"]:
        (tmp_path / name).touch()
    discard_shards(tmp_path / "pgd.safetensors", kept=[tmp_path / name for name in names[2:]])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    discard_shards(tmp_path / "pgd.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[:2])


# --- The plan


def planned(shards=None, **changes):
    config = copy.deepcopy(TINY) | changes
    if shards is not None:
        config["datasets"]["digits"]["shards"] = shards
    return Study(config)


def test_shards_change_no_prepared_data():
    plain, sharded = planned().datasets["digits"], planned(3).datasets["digits"]
    assert (plain.key("test"), plain.settings) == (
        sharded.key("test"),
        sharded.settings,
    ) and "shards" not in plain.settings
    assert (plain.shards, sharded.shards) == (1, 3)


def test_more_shards_than_test_images_contradict():
    planned(40)
    with pytest.raises(ConfigError, match=r"datasets\.digits\.shards: 41 is more than the 40 test images; write at"):
        planned(41)
    with pytest.raises(ConfigError, match=r"datasets\.digits\.shards: 0 is not in \[1, 10000\]"):
        planned(0)


def test_the_estimate_counts_every_shard():
    sizes = {("digits", "cnn8"): Size(1000, 0, 0)}
    whole, sharded = (list(jobs(planned(shards), sizes)) for shards in (1, 3))
    crafted = [job for job in sharded if job.rule == "craft_shard"]
    once = [job for job in whole if job.rule == "craft"]
    assert len(crafted) == 3 * len(once) and len({job.benchmark for job in crafted}) == len(crafted)
    assert sum(job.work for job in crafted) == pytest.approx(sum(job.work for job in once))
    rates = Rates(lambda job: 1.0, [(once[0], 10.0), (once[1], 30.0)])
    assert rates.seconds(crafted[0]) < rates.seconds(once[0])
