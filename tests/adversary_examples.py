"""Networks, images and adversaries of the tests of adversarial training."""

import torch
from entry_examples import complete
from hypothesis import settings as hypothesis_settings
from model_examples import custom_spec, model_of, split

from squeezeproof.store.datasets import to_pixels
from squeezeproof.training.adversaries import make_adversary

quick = hypothesis_settings(max_examples=30)
PLAIN = custom_spec("all_convolutional", width=8)
NORMALISED = custom_spec("depthwise_separable", width=4)
DROPOUT = custom_spec("flattened", width=4)
EMPTY = split(0, 0)
TRAIN, VALIDATION = split(0, 40), split(40, 60)
EPS = 0.1


def adversary(method="pgd", **changes):
    """The complete settings of an adversary."""
    return complete("adversaries", method, **{"eps": EPS, **changes})


def crafted(model, pixels, labels, method="pgd", seed=3, indices=None, precision="float32", **changes):
    """The points and the mean radius of one batch."""
    indices = torch.arange(len(labels)) if indices is None else indices
    made = make_adversary(adversary(method, **changes), model)
    return made.craft(model, pixels, labels, seed=seed, indices=indices, precision=precision)


def batch(count=8):
    images, labels = split(0, count)
    return to_pixels(images, "cpu"), labels


def half_model():
    model = model_of(PLAIN)
    for buffer in (model.normalize.mean, model.normalize.std):
        buffer.fill_(0.5)
    return model
