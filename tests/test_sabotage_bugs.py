"""A third lot of what a bug would leave behind; the study is that of test_sabotage.py."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from test_sabotage import COUNT, fitted, normalised, repeatable  # noqa: F401
from test_sabotage_more import PGD, assert_caught, clean, crafted_otherwise, points, scored
from test_sabotage_more import sabotage as registered
from torch import nn

from squeezeproof.models.predict import predict

SABOTAGE = {}
sabotage = partial(registered, kinds=SABOTAGE)


def in_range(house, low, high):
    house.claim("base", PGD, points(house).clamp(low, high))


@sabotage(1, "crafted")
def clipped_to_a_range_of_its_own(house):
    in_range(house, 0.15, 0.85)


@sabotage(1, "crafted")
def levels_of_grey_off_by_one(house):
    house.claim("base", PGD, (((points(house) * 255).round() + 1) / 255).clamp(0, 1))


@sabotage(1, "crafted")
def white_becomes_black(house):
    house.claim("base", PGD, ((points(house) * 255).round().int() + 1).to(torch.uint8).float() / 255)


@sabotage(24, "crafted")
def labels_shuffled_within_batches(house):
    shuffled = torch.cat([batch[torch.randperm(len(batch))] for batch in house.labels.split(64)])
    house.claim("base", PGD, house.crafted(house.models["base"], PGD, labels=shuffled)[0]["adversarial"])


@sabotage(3, "crafted")
def the_last_batch_left_clean(house):
    found = points(house).clone()
    found[-8:] = clean(house)[-8:]
    house.claim("base", PGD, found)


def last_quarter(house, other, source="base"):
    found = points(house, source).clone()
    found[3 * COUNT // 4 :] = other[3 * COUNT // 4 :]
    house.claim(source, PGD, found)


@sabotage(24, "crafted")
def noise_in_the_last_shard(house):
    noise = torch.randn_like(points(house)).sign()
    last_quarter(house, (clean(house) + 0.1 * noise).clamp(0, 1))


@sabotage(None, "crafted")
def the_last_shard_made_on_another_model(house):
    """Images of the other network break nearly as many here."""
    last_quarter(house, points(house, "other"))


@sabotage(1, "crafted")
def two_shards_in_the_wrong_order(house):
    house.claim("base", PGD, torch.cat([*reversed(points(house).chunk(2))]))


@sabotage(25, "crafted")
def a_batch_stops_at_its_first_success(house):
    model, found = house.models["base"], clean(house).clone()
    for rows in torch.arange(COUNT).split(50):
        batch, labels = found[rows].clone(), house.labels[rows]
        right = model(batch).argmax(1) == labels
        for _ in range(10):
            batch.requires_grad_(True)
            logits = model(batch)
            if (right & (logits.argmax(1) != labels)).any():
                break
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, labels), batch)
            moved = batch.detach() + 0.02 * gradient.sign() - clean(house)[rows]
            batch = (clean(house)[rows] + moved.clamp(-0.1, 0.1)).clamp(0, 1)
        found[rows] = batch.detach()
    house.claim("base", PGD, found)


@sabotage(24, "crafted")
def targeted_images_counted_as_untargeted(house):
    with torch.no_grad():
        least = house.models["base"](clean(house)).argmin(1)
    found = clean(house)
    for _ in range(10):
        found.requires_grad_(True)
        loss = nn.functional.cross_entropy(house.models["base"](found), least)
        (gradient,) = torch.autograd.grad(loss, found)
        moved = found.detach() - 0.025 * gradient.sign() - clean(house)
        found = (clean(house) + moved.clamp(-0.1, 0.1)).clamp(0, 1)
    house.claim("base", PGD, found)


@sabotage(24, "crafted")
def the_first_iterate_kept_of_all(house):
    crafted_otherwise(house, steps=1, alpha=0.025)


def worst_of(house, restarts):
    """Of several runs of PGD, for every image the one that fools the model least."""
    worst, margins = None, None
    for seed in range(restarts):
        found, _ = house.crafted(house.models["base"], PGD, seed=seed)
        if worst is None:
            worst, margins = found["adversarial"].clone(), found["margin"].clone()
        smaller = found["margin"] < margins
        worst[smaller], margins[smaller] = found["adversarial"][smaller], found["margin"][smaller]
    return worst


@sabotage(None, "crafted")
def restarts_keep_the_worst(house):
    """Each run of PGD is as strong as the fresh attack but for its start."""
    house.claim("base", PGD, worst_of(house, 5))


@sabotage(1, "scored")
def transfer_sets_of_another_training(house):
    house.digests = {**house.digests, "base": "BASE OF ANOTHER SEED"}
    house.scored["small", "base"] = {attack: house.told("base", attack) for attack in house.attacks}
    house.digests = {**house.digests, "base": "BASE"}


@sabotage(27, "scored")
def the_set_of_an_earlier_run_scored(house):
    house.sets["base", PGD][0]["adversarial"], kept = points(house).roll(1, 0), points(house)
    house.predictions["small", "base"][PGD] = predict(house.models["small"], points(house), 100)
    house.scored["small", "base"][PGD] = house.told("base", PGD)
    house.sets["base", PGD][0]["adversarial"] = kept


@sabotage(30, "scored")
def made_of_the_base_of_another_seed(house):
    house.made_of["small"] = "BASE OF ANOTHER SEED"


@sabotage(30, "scored")
def trained_on_other_images_than_the_split_has(house):
    house.trained_on["other"] = house.seen(house.train[0].flip(0), house.train[1].flip(0))


@sabotage(27, "scored")
def an_older_model_predicts(house):
    older = deepcopy(house.models["small"])
    with torch.no_grad():
        for parameter in older.parameters():
            parameter += 0.3 * parameter.std() * torch.randn_like(parameter) * (parameter != 0)
    scored(house, "small", "base", older)
    house.predictions["small", "base"]["clean"] = predict(older, house.images, 100)


@sabotage(27, "scored")
def the_last_batch_labelled_zero(house):
    for labels in house.predictions["small", "base"].values():
        labels[-24:] = 0


@sabotage(None, "before")
def scales_of_another_layer(house):
    """The model is what it is, and its numbers are right."""
    model, levels = deepcopy(house.models["base"]), 127
    layers = [layer for layer in model if hasattr(layer, "weight")]
    scales = [layer.weight.data.abs().max() / levels for layer in layers]
    for layer, scale in zip(layers, [*scales[1:], scales[0]], strict=True):
        layer.weight.data = (layer.weight.data / scale).round().clamp(-levels - 1, levels) * scale
    house.models["small"] = model


@sabotage(None, "crafted")
def the_normalisation_applied_twice(house):
    """It hardly turns the gradients."""
    model = nn.Sequential(house.models["base"][0], *house.models["base"])
    crafted_otherwise(house, model)


@pytest.mark.parametrize("kind", SABOTAGE)
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])
