"""squeezeproof.attack says of what cannot be meant what to write instead."""

import numpy as np
import pytest
import torch
from attack_fixtures import held_out, network
from python_examples import black_box
from torch import nn

import squeezeproof

WRONG = {
    "name": ({"name": "apdg"}, "no attack 'apdg', did you mean apgd?"),
    "of a library": ({"name": "torchattacks.PDG"}, "no attack 'torchattacks.PDG', did you mean torchattacks.PGD?"),
    "setting": ({"step": 3}, "pgd: step: unknown, did you mean steps?"),
    "any target": ({"targeted": True}, "'least-likely', 'random', 'next', or a label as text, such as '3'$"),
    "no target": ({"targeted": False}, "targeted: False is no class to reach; leave it out$"),
    "flag for a text": ({"name": "torchattacks.PGD", "targeted": True}, "a label as text, such as '3'$"),
    "several": ({"steps": 0, "restarts": 0}, r"steps: 0 is not in \[1, 100000\]; restarts: 0 is not"),
    "no eps": ({"eps": None}, "pgd: eps: missing"),
    "eps of 255": ({"eps": 8}, "did you mean 8/255"),
    "l2 of 255": ({"eps": 128, "norm": "l2"}, r"eps: 128 is not in \(0, .*\], the l2 distance.*did you mean 128/255"),
    "two eps": ({"eps": [0.1, 0.2]}, "2 values, give one"),
    "norm": ({"norm": "l1"}, "norm: 'l1' is unknown"),
    "0 to 255": ({"images": held_out(8)[0].float()}, r"lie in \[0, 255\].*divide them by 255"),
    "normalised": ({"images": held_out(8)[0] / 128 - 1}, r"lie in \[-1, .*put that into the model"),
    "twice": ({"images": held_out(8)[0] / 255 / 256}, "divided by 255 twice"),
    "twice, rounded": ({"images": held_out(8)[0] / 255 / 255}, "none has a pixel above 0.00392 in .*by 255 twice"),
    "not finite": ({"images": held_out(8)[0] / 0}, "not finite"),
    "int64": ({"images": held_out(8)[0].long()}, "int64; give uint8"),
    "last": ({"images": held_out(8)[0].permute(0, 2, 3, 1)}, r"last; write images\.permute\(0, 3, 1, 2\)"),
    "last, array": (
        {"images": held_out(8)[0].permute(0, 2, 3, 1).numpy()},
        r"last; write images\.transpose\(0, 3, 1, 2\)",
    ),
    "one": ({"images": held_out(8)[0][0]}, r"images\[None\]"),
    "none": ({"images": held_out(8)[0][:0], "labels": []}, r"there are none, as their shape is \(0, 1, 8, 8\)"),
    "words": ({"images": ["a.png"]}, "images"),
    "fewer": ({"labels": [1, 2]}, "there are 8 images"),
    "one-hot": ({"labels": np.eye(10)[:8]}, r"labels.argmax\(1\)"),
    "probabilities": ({"labels": torch.full((8, 10), 0.1)}, r"labels.argmax\(1\)"),
    "column": ({"labels": held_out(8)[1][:, None]}, r"\(8, 1\), \[N\] is needed; write labels\[:, 0\]"),
    "lists": ({"labels": [[1]] * 8}, r"write numpy\.array\(labels\)\[:, 0\]"),
    "row": ({"labels": held_out(8)[1][None]}, r"write labels\[0\]"),
    "several each": ({"labels": np.full((8, 3), 2)}, r"\[N\] is needed, one class for each image$"),
    "floats": ({"labels": [0.5] * 8}, "whole numbers"),
    "negative": ({"labels": [-1] * 8}, "counted from 0"),
    "classes": ({"labels": [10] * 8}, "the model has 10 classes"),
    "path": ({"model": "model.pt"}, "cannot be called"),
    "shape": ({"model": nn.Sequential(nn.Flatten(), nn.Linear(9, 10))}, r"fails on float32 pixels \(2, 1, 8, 8\)"),
    "weights in half": (
        {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).half()},
        "its weights are float16, write model.float",
    ),
    "map": ({"model": nn.Conv2d(1, 10, 3)}, "one logit for each class"),
    "dictionary": ({"model": lambda pixels: {"logits": network()(pixels)}}, r"returns a dict.*\['logits'\]"),
    "tuple": ({"model": lambda pixels: (network()(pixels), pixels)}, r"returns a tuple.*\(pixels\)\[0\]"),
    "tuple of one": ({"model": lambda pixels: (network()(pixels),)}, r"returns a tuple.*\(pixels\)\[0\]"),
    "tuple of arrays": (
        {"model": lambda pixels: (network()(pixels).detach().numpy(), pixels.detach().numpy())},
        r"returns a tuple.*\(pixels\)\[0\]",
    ),
    "tuple with none": ({"model": lambda pixels: (network()(pixels).detach().numpy(), None)}, "returns a tuple"),
    "list": ({"model": lambda pixels: [network()(pixels), pixels]}, r"returns a list.*\(pixels\)\[0\]"),
    "half": ({"model": lambda pixels: network()(pixels).half()}, r"float16, float32 is needed; .* logits\.float"),
    "ends in double": ({"model": lambda pixels: network()(pixels).double()}, "logits are float64, float32 is needed"),
    "softmax": ({"model": nn.Sequential(network(), nn.Softmax(1))}, "probabilities.*the logarithm will do"),
    "no gradient": ({"model": black_box(network())}, "gives no gradient"),
    "training": ({"name": "uap"}, r"give training=\(images, labels\)"),
    "binary": ({"name": "autoattack", "model": lambda p: network()(p)[:, :2], "labels": [0] * 8}, "needs 4 classes"),
    "stored": ({"images": held_out(8)[0] / 255, "stored": "uint8"}, "stored: uint8 needs uint8 images"),
    "bytes of 0 and 1": ({"images": (held_out(8)[0] > 99).byte()}, "none has a pixel above 1 of 255; .*images \\* 255"),
    "beyond by rounding": ({"images": held_out(8)[0] / 254.9}, r"1\.0003.*write images\.clip\(0, 1\)"),
    "below by rounding": ({"images": held_out(8)[0] / 255 - 1e-7}, r"-1e-07, .*write images\.clip\(0, 1\)"),
    "sparse": ({"images": (held_out(8)[0] / 255).to_sparse()}, r"write images\.to_dense\(\)"),
    "meta": ({"images": (held_out(8)[0] / 255).to("meta")}, "images: have no values"),
    "batch of none": ({"batch_size": 0}, "batch_size: 0 is no whole number; write one from 1 on"),
    "batch below none": ({"batch_size": -3}, "batch_size: -3 is no whole number"),
    "part of a batch": ({"batch_size": 2.5}, r"batch_size: 2\.5 is no whole number"),
    "seed": ({"seed": "a"}, "seed: 'a' is no whole number; write one from 0 on"),
    "flag": ({"seed": True}, "seed: True is no whole number"),
    "class": ({"model": nn.Flatten}, r"model: Flatten is a class; give a model that was made of it: Flatten\(\)"),
    "weights": ({"model": network().state_dict()}, "model: a OrderedDict cannot be called"),
    "script": ({"model": torch.jit.script(network())}, r"torch\.jit\.script.*lambda pixels: model\(pixels\)"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_refused_in_words(changes, message):
    images, labels = held_out(8)
    arguments = {"model": network(), "images": images, "labels": labels, "name": "pgd", "eps": 0.1} | changes
    with pytest.raises(squeezeproof.InputError, match=message):
        squeezeproof.attack(**arguments)
