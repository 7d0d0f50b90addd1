"""Data and models for the tests of the attacks: made in seconds, the same in every process."""

from copy import deepcopy
from functools import cache, lru_cache

import pytest
import torch
from entry_examples import SECTIONS, complete
from torch import nn
from torch.nn import functional

from squeezeproof.attacks.craft import OF_THE_MODEL
from squeezeproof.attacks.registry import ATTACKS, FITS
from squeezeproof.entries.attack import UNTOLD
from squeezeproof.models.build import Normalize

NORMS = ("linf", "l2")
EPS = {"linf": 0.15, "l2": 0.6}
both_norms = pytest.mark.parametrize("norm", NORMS)


def dual(weight, norm):
    """The most that a perturbation of unit norm adds to weight @ x."""
    return weight.abs().sum(-1) if norm == "linf" else weight.norm(dim=-1)


TRAIN = 1200
# What makes the attacks small enough for a test, where that is not their default.
SMALL = {
    "bim": {"steps": 5},
    "pgd": {"steps": 5},
    "apgd": {"steps": 20},
    "apgd_t": {"steps": 10, "targets": 4},
    "fab": {"steps": 10},
    "fab_t": {"steps": 10, "targets": 3},
    "rays": {"queries": 60},
    "square": {"queries": 60},
    "cw": {"steps": 20, "searches": 3, "learning_rate": 0.05},
    "uap": {"images": 60, "passes": 2},
    "substitute": {"seeds": 10, "rounds": 4},
}


GRADIENT_METHODS = [name for name in ATTACKS if name not in ("square", "rays", "noise", "substitute", "uap")]


@cache
def digits():
    """scikit-learn's digits: uint8 images [1797, 1, 8, 8] and int64 labels; the first TRAIN are trained on."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy((found.images * 255 / 16).round()).to(torch.uint8)
    return images[:, None], torch.from_numpy(found.target)


def held_out(count):
    """`count` images the network was not trained on: uint8 [count, 1, 8, 8] and labels."""
    images, labels = digits()
    return images[TRAIN : TRAIN + count], labels[TRAIN : TRAIN + count]


def pixels(count):
    """The held-out images as pixels in [0, 1], and labels."""
    images, labels = held_out(count)
    return images / 255, labels


def network():
    """A fresh copy of a small trained CNN in eval mode, about 93 % accurate."""
    return deepcopy(_trained())


@cache
def _trained():
    images, labels = digits()
    images = images / 255
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            Normalize([0.3], [0.4]),
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 10),
        )
        for _ in range(6):
            for batch in torch.randperm(TRAIN).split(50):
                loss = functional.cross_entropy(model(images[batch]), labels[batch])
                gradients = torch.autograd.grad(loss, list(model.parameters()))
                # torch.optim would import torch's compiler, which costs more than the training.
                with torch.no_grad():
                    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                        parameter -= 0.1 * gradient
    return model.eval()


def settings(method, **changes):
    """A complete entry of `attacks` with one eps, small where its defaults are long, but for `changes`."""
    eps = None if SECTIONS["attacks"][method].minimum_norm else 0.1
    return complete("attacks", method, **{"eps": eps, **SMALL.get(method, {}), **changes})


def run(method, model, inputs, labels, *, seed=0, indices=None, goal=None, **changes):
    """The points that an attack returns for one batch; towards classes in the place of labels with that goal."""
    options = settings(method, **changes)
    options = {key: value for key, value in options.items() if key not in (*UNTOLD, *OF_THE_MODEL)}
    indices = torch.arange(len(labels)) if indices is None else indices
    if method in FITS:
        options = _fitted(method, model, seed, *options.items())
    options = options | ({"goal": goal} if goal else {})
    return ATTACKS[method](model, inputs, labels, seed=seed, indices=indices, **options)


@lru_cache(maxsize=1)
def _fitted(method, model, seed, *options):
    """The options of an attack that is fitted on images of a model; its batches share them."""
    images, targets = held_out(60)
    return FITS[method](model, images, targets, (images, targets), dict(options), None, seed)[0]


class Counted:
    """A model that counts the images that pass through it forward and backward."""

    def __init__(self, model):
        self.model, self.forwards, self.backwards = model, 0, 0

    def __call__(self, points):
        self.forwards += len(points)
        logits = self.model(points)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient):
        self.backwards += len(gradient)


def close_examples(points, others, tolerance=1e-5):
    """The share of examples of which no pixel differs by more than `tolerance`.

    A gradient's sign may flip where rounding decides it, so two equal attacks agree on nearly all examples, not all.
    """
    return ((points - others).abs().flatten(1).amax(1) <= tolerance).double().mean().item()
