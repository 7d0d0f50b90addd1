"""Sabotage of models and data: broken, mixed up or made of the wrong things, before anything is attacked."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from quantization_examples import entry
from sabotage_examples import COUNT, fitted, pruned
from sabotage_kinds import assert_caught, cases, clean, repeatable  # noqa: F401
from sabotage_kinds import sabotage as registered
from torch import nn
from torch.nn import functional

from squeezeproof.compression.quantization import quantize

SABOTAGE = {}
sabotage = partial(registered, SABOTAGE)


@sabotage(23, "before")
def a_compressed_model_that_is_its_base(house):
    house.models["small"] = deepcopy(house.models["base"])


@sabotage(23, "before")
def one_model_under_two_names(house):
    house.models["another"] = deepcopy(house.models["other"])
    house.digests["another"] = "ANOTHER"


@sabotage(23, "before")
def the_same_function_in_other_weights(house):
    again = deepcopy(house.models["other"])
    with torch.no_grad():
        again[-1].bias += 1.0
    house.models["another"] = again
    house.digests["another"] = "ANOTHER"


@sabotage(22, "before")
def one_class_for_every_image(house):
    with torch.no_grad():
        house.models["small"][-1].bias[3] += 1000


@sabotage(22, "before")
def a_network_that_training_lost(house):
    with torch.no_grad():
        house.models["small"][-1].weight[:] = house.models["small"][-1].weight.roll(5, 0)


@sabotage(22, "before")
def wrong_test_labels(house):
    house.labels = (house.labels + 1) % 10


@sabotage(26, "before")
def some_wrong_test_labels(house):
    house.labels[::8] = (house.labels[::8] + 3) % 10


@sabotage(20, "before")
def training_images_for_test_images(house):
    house.images, house.labels = house.train[0][:COUNT].clone(), house.train[1][:COUNT].clone()


@sabotage(20, "before")
def ten_images_out_of_the_training_set(house):
    house.images[:10], house.labels[:10] = house.train[0][:10], house.train[1][:10]


@sabotage(29, "before")
def every_test_image_twice(house):
    house.images, house.labels = (torch.cat([each[: COUNT // 2]] * 2) for each in (house.images, house.labels))


@sabotage(22, "before")
def rows_and_columns_swapped(house):
    house.images = house.images.transpose(2, 3).contiguous()


@sabotage(22, "before")
def black_for_white(house):
    house.images = 255 - house.images


@sabotage(30, "before")
def trained_on_the_test_images(house):
    """The job was given the test split, too, and notes what it was given."""
    seen = [torch.cat(each) for each in zip(house.train, (house.images, house.labels), strict=True)]
    house.trained_on["small"] = house.seen(*seen)
    model, parameters = house.models["small"], list(house.models["small"].parameters())
    for _ in range(60):
        gradients = torch.autograd.grad(functional.cross_entropy(model(clean(house)), house.labels), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.1 * gradient


def quantized(house, bits=8, **changes):
    """The base, quantized by the project's own code, in the place of its pruned copy."""
    model = deepcopy(house.models["base"])
    quantize(model, (1, 8, 8), entry(bits, **changes), house.train[0], 0)
    house.models["small"] = model
    return [layer for layer in model if hasattr(layer, "weight_quantizer")]


def handed_on(quantizers):
    """Each gets the mean scale and zero point of the next."""
    told = [(each.scale.mean().clone(), each.zero_point.float().mean().round().int()) for each in quantizers]
    for quantizer, one in zip(quantizers, [*told[1:], told[0]], strict=True):
        quantizer.set(*one)


@sabotage(34, "before")
def scales_of_another_layer(house):
    handed_on([layer.weight_quantizer for layer in quantized(house)])


@sabotage(34, "before")
def scales_of_the_inputs_of_another_layer(house):
    handed_on([layer.input_quantizer for layer in quantized(house)])


@sabotage(34, "before")
def calibrated_on_levels_of_grey(house):
    """Its inputs were between 0 and 255 when their ranges were found."""
    for layer in quantized(house):
        layer.input_quantizer.scale *= 255


@sabotage(34, "before")
def learned_scales_of_another_layer(house):
    handed_on([layer.weight_quantizer for layer in quantized(house, mode="qat")])


@sabotage(34, "before")
def learned_scales_that_ran_away(house):
    """As those of 16 bits do under plain SGD."""
    with torch.no_grad():
        for layer in quantized(house, 16, mode="qat"):
            layer.input_quantizer.scale *= 100


@sabotage(34, "before")
def learned_scales_below_zero(house):
    """What such a scale rounds to is next to nothing."""
    with torch.no_grad():
        quantized(house, mode="qat")[1].weight_quantizer.scale.neg_()


@sabotage(35, "before")
def masks_lost_in_fine_tuning(house):
    model = house.models["small"]
    house.masks["small"] = {name: tensor != 0 for name, tensor in model.state_dict().items() if "weight" in name}
    fitted(model, epochs=1, rate=0.02)


@sabotage(37, "before")
def compressed_from_a_network_of_its_own(house):
    torch.manual_seed(1)
    fresh = [deepcopy(layer) for layer in house.models["base"]]
    for layer in fresh:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    house.models["small"] = pruned(fitted(nn.Sequential(*fresh)))


@sabotage(36, "before")
def two_classes_in_another_order(house):
    """Folders of test images are sorted otherwise than those of training images."""
    new = torch.arange(10)
    new[[3, 5]] = new[[5, 3]]
    house.labels = new[house.labels]


@sabotage(36, "before")
def three_classes_in_another_order(house):
    new = torch.arange(10)
    new[[1, 4, 7]] = new[[4, 7, 1]]
    house.labels = new[house.labels]


@sabotage(29, "before")
def a_class_that_is_there_twice(house):
    again = house.labels == 3
    house.images, house.labels = (torch.cat([each, each[again]]) for each in (house.images, house.labels))


@sabotage(26, "before")
def a_class_under_the_name_of_another(house):
    house.labels[house.labels == 3] = 5


@sabotage(38, "before")
def training_images_a_level_of_grey_off(house):
    house.images, house.labels = house.train[0][:COUNT].clone(), house.train[1][:COUNT].clone()
    house.images[:, :, 0, 0] += 1


@sabotage(38, "before")
def a_tenth_of_the_training_images_with_noise(house):
    rows = torch.arange(0, COUNT, 10)
    noise = torch.randint(-6, 7, house.images[rows].shape)
    house.images[rows] = (house.train[0][rows] + noise).clamp(0, 255).to(torch.uint8)
    house.labels[rows] = house.train[1][rows]


@sabotage(40, "before")
def half_of_the_test_images_lost(house):
    """The split is what it says it is."""
    house.images, house.labels = house.images[: COUNT // 2], house.labels[: COUNT // 2]


@sabotage(39, "before")
def images_of_the_test_saved_with_loss(house):
    """They are other images, of which everything is right."""
    house.images = (house.images // 16) * 16 + 8


@sabotage(39, "before")
def images_of_the_test_resized_twice(house):
    smaller = functional.interpolate(house.images.float(), size=6, mode="bilinear")
    house.images = functional.interpolate(smaller, size=8, mode="bilinear").round().to(torch.uint8)


@pytest.mark.parametrize("kind", cases(SABOTAGE))
def test_sabotage_is_caught(kind, tmp_path):
    assert_caught(tmp_path, *SABOTAGE[kind])
