"""What a device must compute as the CPU does: networks, adversaries and compressions, and the work on them.

Work takes a function that places a model on a device.
"""

from adversary_examples import DROPOUT, NORMALISED, PLAIN, TRAIN, VALIDATION, adversary
from entry_examples import complete
from model_examples import EXAMPLES, model_of, shape_of, split, training

from squeezeproof.compression.compress import compress
from squeezeproof.compression.constraint import constraint
from squeezeproof.compression.task import Task
from squeezeproof.compression.weights import prunable
from squeezeproof.models.build import build
from squeezeproof.models.predict import predict
from squeezeproof.training.admm import Admm
from squeezeproof.training.loop import fit

MODELS = {"all-convolutional": PLAIN, "depthwise": NORMALISED, "dropout": DROPOUT}
ADVERSARIES = {
    "none": None,
    "fgsm": adversary("fgsm"),
    "pgd": adversary("pgd", steps=2),
    "pgd-l2": adversary("pgd", steps=2, norm="l2", eps=0.5),
}
COMPRESSIONS = {
    "weights": ("weight", {"ratio": 0.6}),
    "weights by layer": ("weight", {"ratio": 0.6, "scope": "layer"}),
    "filters": ("filter", {"ratio": 0.25}),
    "filters by Taylor": ("filter", {"ratio": 0.25, "importance": "taylor"}),
    "8 bits": ("quantization", {"bits": 8}),
    "2 bits": ("quantization", {"bits": 2}),
    "learned scales": ("quantization", {"bits": 4, "mode": "qat"}),
}


def trained_by_admm(to):
    """(model, course, masks) of an adversarial training that compresses."""
    entry = complete("compressions", "admm", ratio=0.5, rho=0.05, rho_max=5.0)
    recipe = training(3, batch_size=20, momentum=0.9, adversary=adversary("pgd", steps=2))
    model = to(build(PLAIN, seed=0))
    solver = Admm(prunable(model), constraint(entry), entry)
    return model, fit(model, TRAIN, VALIDATION, recipe, seed=3, solver=solver), solver.masks


def compressed(name, to):
    """(model, its labels of some images) after a compression of COMPRESSIONS."""
    method, changes = COMPRESSIONS[name]
    images, labels = split(0, 60)
    spec = EXAMPLES["cnn8"]
    model = to(model_of(spec))
    entry = complete("compressions", method, **changes)
    compress(Task(model, shape_of(spec), entry, lambda *_: None, (images, labels)))
    return model, predict(model, images, 20)
