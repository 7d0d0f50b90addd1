"""Which function each name of a config stands for, by dotted name, so that a job imports only what it uses.

Standard library only. This file is no part of any digest of code (study.code): a job that uses an entry has the modules
of that entry in its digest, and a job that does not is none of the entry's business.
"""

from collections import UserDict
from importlib import import_module

NAMES = {
    "attacks": {
        "fgsm": "squeezeproof.attacks.fgsm:fgsm",
        "bim": "squeezeproof.attacks.pgd:bim",
        "pgd": "squeezeproof.attacks.pgd:pgd",
        "apgd": "squeezeproof.attacks.apgd:apgd",
        "apgd_t": "squeezeproof.attacks.apgd:apgd_t",
        "fab": "squeezeproof.attacks.fab:fab",
        "fab_t": "squeezeproof.attacks.fab:fab_t",
        "square": "squeezeproof.attacks.square:square",
        "cw": "squeezeproof.attacks.carlini_wagner:cw",
        "deepfool": "squeezeproof.attacks.deepfool:deepfool",
        "uap": "squeezeproof.attacks.uap:uap",
        "substitute": "squeezeproof.attacks.substitute:substitute",
        "mifgsm": "squeezeproof.attacks.momentum:mifgsm",
        "difgsm": "squeezeproof.attacks.momentum:difgsm",
        "noise": "squeezeproof.attacks.noise:noise",
    },
    # Attacks that learn from images before they attack any.
    "fits": {
        "uap": "squeezeproof.attacks.fitted:fit_universal_attack",
        "substitute": "squeezeproof.attacks.fitted:fit_substitute_attack",
    },
    "architectures": {
        "cnn3": "squeezeproof.models.networks:cnn3",
        "cnn8": "squeezeproof.models.networks:cnn8",
        "resnet18": "squeezeproof.models.vision:resnet18",
        "resnet34": "squeezeproof.models.vision:resnet34",
        "resnet50": "squeezeproof.models.vision:resnet50",
        "wrn": "squeezeproof.models.wide_resnet:wrn",
        "densenet121": "squeezeproof.models.vision:densenet121",
        "vgg19": "squeezeproof.models.vgg:vgg19",
        "vgg19_bn": "squeezeproof.models.vgg:vgg19_bn",
        "mobilenet_v1": "squeezeproof.models.mobilenet:mobilenet_v1",
        "mobilenet_v2": "squeezeproof.models.vision:mobilenet_v2",
    },
    "compressions": {
        "filter": "squeezeproof.compression.filters:compress_filters",
        "weight": "squeezeproof.compression.weights:compress_weights",
        "quantization": "squeezeproof.compression.quantization:compress_bits",
        "admm": "squeezeproof.compression.sparse_training:compress_admm",
    },
    "datasets": {
        "digits": "squeezeproof.datasets.digits:load_digits",
        "mnist": "squeezeproof.datasets.downloads:load_mnist",
        "fashion_mnist": "squeezeproof.datasets.downloads:load_fashion_mnist",
        "cifar10": "squeezeproof.datasets.downloads:load_cifar10",
        "cifar100": "squeezeproof.datasets.downloads:load_cifar100",
        "image_folder": "squeezeproof.datasets.image_folder:load_image_folder",
    },
}
# The attacks that version "standard" of AutoAttack runs.
AUTOATTACK = ("apgd", "apgd_t", "fab_t", "square")


class Functions(UserDict):
    """Name -> function of a section, imported when it is asked for."""

    def __init__(self, section):
        super().__init__(NAMES[section])

    def __getitem__(self, name):
        found = super().__getitem__(name)
        if isinstance(found, str):
            module, _, function = found.partition(":")
            found = self[name] = getattr(import_module(module), function)
        return found


def modules_of(section, settings):
    """Dotted names of the modules that a job with these settings of an entry runs, beside what its script imports.

    `section` is `attacks`, `architectures`, `compressions` or `datasets`. The user's own module of a custom
    architecture is not among them.
    """
    kind = settings["method" if section in ("attacks", "compressions") else "kind"]
    names = [kind]
    if section == "attacks":
        names = {"autoattack": AUTOATTACK, "suite": [stage["method"] for stage in settings.get("stages", ())]}.get(
            kind, names
        )
    sections = ("attacks", "fits") if section == "attacks" else (section,)
    found = {NAMES[place][name].partition(":")[0] for place in sections for name in names if name in NAMES[place]}
    return sorted(found)
