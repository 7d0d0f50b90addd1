"""Attacks of ART, by their names."""

from importlib import import_module

import numpy as np
import torch
from torch import nn

from squeezeproof.attacks.libraries.call import Call
from squeezeproof.norms import Norm

# They take the model's outputs for probabilities; `call.model` gives logits.
OF_PROBABILITIES = ("SimBA", "VirtualAdversarialMethod")
ORDERS = {Norm.LINF: np.inf, Norm.L2: 2, Norm.L1: 1}


def run(call: Call) -> torch.Tensor:
    """See squeezeproof.entries.library.Library."""
    # One of the extras: nothing but a job with such an attack may need it.
    estimators = import_module("art.estimators.classification")
    values = {"eps": call.eps, "norm": ORDERS.get(call.norm), "batch": len(call.inputs), "targeted": call.targeted}
    model = nn.Sequential(call.model, nn.Softmax(dim=1)) if call.name in OF_PROBABILITIES else call.model
    classifier = estimators.PyTorchClassifier(
        model, loss=nn.CrossEntropyLoss(), input_shape=tuple(call.inputs.shape[1:]), nb_classes=call.classes,
        clip_values=(0, 1), device_type="gpu" if call.inputs.device.type == "cuda" else "cpu",
    )  # fmt: skip
    attack = getattr(call.package, call.name)(classifier, **call.parameters, **call.filled({**values, "quiet": False}))
    labels = np.eye(call.classes, dtype=np.float32)[call.labels.cpu().numpy()]
    return torch.from_numpy(np.asarray(attack.generate(x=call.inputs.cpu().numpy(), y=labels))).to(call.inputs)
