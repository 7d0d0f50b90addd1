"""Sabotage of predictions: of other models, images or orders."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from sabotage_examples import COUNT
from sabotage_kinds import PGD, Dropping, assert_caught, cases, points, repeatable, scored  # noqa: F401
from sabotage_kinds import sabotage as registered
from torch import nn

from squeezeproof.models.predict import predict
from squeezeproof.store.predictions import NOT_SCORED

SABOTAGE = {}
sabotage = partial(registered, SABOTAGE)


@sabotage(2, "scored")
def an_attack_was_not_scored(house):
    del house.predictions["base", "base"]["pgd-eps0.1"]
    house.predictions["base", "base"]["pgd-eps0.1"] = torch.full((COUNT,), NOT_SCORED)


@sabotage(1, "scored")
def a_retrained_target(house):
    house.current = {**house.digests, "small": "RETRAINED"}


@sabotage(1, "scored")
def images_of_another_split(house):
    house.images = house.images.flip(0)
    house.labels = house.labels.flip(0)


@sabotage(1, "scored")
def not_a_number(house):
    house.sets["base", "pgd-eps0.1"][0]["adversarial"][0, 0, 0, 0] = float("nan")


@sabotage(4, "scored")
def predictions_in_another_order(house):
    found = house.predictions["base", "base"]
    found["pgd-eps0.1"] = found["pgd-eps0.1"].roll(3)


@sabotage(4, "scored")
def predictions_of_another_model(house):
    house.predictions["small", "small"] = dict(house.predictions["small", "base"])


@sabotage(5, "scored")
def clean_predictions_under_attack(house):
    found = house.predictions["base", "base"]
    found["fgsm-eps0.1"] = house.labels.clone()


@sabotage(4, "scored")
def masks_left_out_at_prediction(house):
    model = deepcopy(house.models["small"])
    for layer in model:
        if hasattr(layer, "weight"):
            layer.weight.data += (layer.weight == 0) * 0.05 * torch.randn_like(layer.weight)
    scored(house, "small", "small", model)


@sabotage(27, "scored")
def the_base_in_the_place_of_its_pruned_copy(house):
    scored(house, "small", "base", house.models["base"])


@sabotage(4, "scored")
def dropout_at_prediction(house):
    scored(house, "base", "base", Dropping(house.models["base"], 0.5))


@sabotage(14, "scored")
def dropout_at_prediction_of_transfer(house):
    scored(house, "small", "base", Dropping(house.models["small"], 0.9))


@sabotage(4, "scored")
def quantization_at_prediction_alone(house):
    scored(house, "base", "base", house.models["base"], lambda pixels: (6 * pixels).round() / 6)


@sabotage(43, "scored")
def swapped_images_at_prediction(house):
    scored(house, "small", "base", house.models["small"], lambda pixels: pixels.transpose(2, 3))


@sabotage(14, "scored")
def transfer_in_another_order(house):
    found = house.predictions["small", "base"]
    found.update({attack: found[attack].roll(1) for attack in house.attacks})


@sabotage(22, "scored")
def a_file_in_another_order(house):
    found = house.predictions["small", "base"]
    found.update({name: labels.roll(1) for name, labels in found.items()})


@sabotage(27, "scored")
def clean_images_scored_for_attacked_ones(house):
    found = house.predictions["small", "base"]
    found.update({attack: found["clean"].clone() for attack in house.attacks})


@sabotage(14, "scored")
def one_class_under_attack(house):
    for attack in house.attacks:
        house.predictions["small", "base"][attack][:] = 3


@sabotage(27, "scored")
def a_file_of_another_model(house):
    house.predictions["small", "base"] = deepcopy(house.predictions["base", "base"])


@sabotage(27, "scored")
def clean_labels_of_another_model(house):
    house.predictions["small", "base"]["clean"] = house.predictions["base", "base"]["clean"].clone()


@sabotage(4, "scored")
def the_truth_for_clean_labels(house):
    for source in ("small", "base"):
        house.predictions["small", source]["clean"] = house.labels.clone()


@sabotage(12, "scored")
def two_budgets_swapped(house):
    found = house.predictions["small", "base"]
    found[PGD], found["pgd-eps0.15"] = found["pgd-eps0.15"], found[PGD]


@sabotage(14, "scored")
def the_second_half_a_copy_of_the_first(house):
    for labels in house.predictions["small", "base"].values():
        labels[COUNT // 2 :] = labels[: COUNT // 2]


@sabotage(1, "scored")
def transfer_from_another_source(house):
    """The job was given the sets of another source, and notes what these say of themselves."""
    for attack in house.attacks:
        found = points(house, "other", attack)
        house.predictions["small", "base"][attack] = predict(house.models["small"], found, 100)
        house.scored["small", "base"][attack] = house.told("other", attack)


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


@sabotage(4, "scored")
def two_attacks_swapped_at_prediction(house):
    found = house.predictions["base", "base"]
    found[PGD], found["fgsm-eps0.1"] = found["fgsm-eps0.1"], found[PGD]


@sabotage(27, "scored")
def the_files_of_two_targets_swapped(house):
    found = house.predictions
    found["small", "base"], found["other", "base"] = found["other", "base"], found["small", "base"]


@sabotage(22, "scored")
def classes_counted_from_one(house):
    for labels in house.predictions["small", "base"].values():
        labels += 1
        labels %= 10


@sabotage(30, "scored")
def made_of_itself(house):
    house.made_of["small"] = house.digests["small"]


@sabotage(30, "scored")
def trained_on_the_first_batch_alone(house):
    house.trained_on["base"] = house.seen(house.train[0][:50], house.train[1][:50])


@sabotage(27, "scored")
def one_budget_scored_for_another(house):
    found = house.predictions["small", "base"]
    found["pgd-eps0.15"] = found[PGD].clone()


@sabotage(4, "scored")
def batch_statistics_at_prediction(house):
    model = deepcopy(house.models["other"])
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    scored(house, "other", "other", model)
    house.predictions["other", "other"]["clean"] = torch.cat(
        [predict(model, images, 100) for images in house.images.split(4)]
    )


@sabotage(41, "scored")
def the_truth_for_the_last_quarter(house):
    """A model may well be right on the images of a quarter."""
    for name, labels in house.predictions["small", "base"].items():
        if name != "clean":
            labels[3 * COUNT // 4 :] = house.labels[3 * COUNT // 4 :]


@sabotage(14, "scored")
def the_least_likely_label_for_the_likeliest(house):
    negated = deepcopy(house.models["small"])
    with torch.no_grad():
        negated[-1].weight.neg_()
        negated[-1].bias.neg_()
    scored(house, "small", "base", negated)


@sabotage(43, "scored")
def rounded_to_eight_bits_at_prediction_of_transfer(house):
    """It changes next to no label."""
    scored(house, "small", "base", house.models["small"], lambda pixels: (255 * pixels).round() / 255)


@sabotage(43, "scored")
def a_pixel_shifted_at_prediction_of_transfer(house):
    scored(house, "small", "base", house.models["small"], lambda pixels: pixels.roll(1, 3))


@pytest.mark.parametrize("kind", cases(SABOTAGE))
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])
