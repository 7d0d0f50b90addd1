"""What the parameters of attacks of libraries may be that name something, for `write_libraries.py`."""

import inspect

LOSSES = ["cross_entropy", "difference_logits_ratio"]
ATTACKERS = ["carlini", "carlini_inf", "deepfool", "ead", "fgsm", "bim", "pgd", "newtonfool", "jsma"]
MAPPINGS = ["random", "similarity", "similarity_random", "distance", "distance_random"]
# Library -> attack -> parameter -> its values; every parameter that is a text is here.
CHOICES = {
    "torchattacks": {
        "APGD": {"loss": ["ce", "dlr"]},
        "AutoAttack": {"version": ["standard", "plus", "rand"]},
        **{key: {"noise_type": ["guassian", "uniform"]} for key in ("PGDRS", "PGDRSL2")},
        "Pixle": {"pixel_mapping": MAPPINGS},
        "Square": {"loss": ["margin", "ce"]},
        "TIFGSM": {"kernel_name": ["gaussian", "linear", "uniform"]},
        "UPGD": {"loss": ["ce", "dlr", "margin"]},
    },
    "foolbox": {
        "EADAttack": {"decision_rule": ["EN", "L1"]},
        "HopSkipJumpAttack": {"stepsize_search": ["geometric_progression", "grid_search"]},
        **{key: {"loss": ["logits", "crossentropy"]} for key in ("L2DeepFoolAttack", "LinfDeepFoolAttack")},
    },
    "adv_lib": {
        **{key: {"loss_function": ["ce", "dlr"]} for key in ("apgd", "apgd_targeted")},
        "pgd_linf": {"loss_function": ["ce", "dl", "dlr"]},
    },
    "art": {
        **{
            key: {"loss_type": LOSSES}
            for key in ("AutoConjugateGradient", "AutoProjectedGradientDescent", "RescalingAutoConjugateGradient")
        },
        "ElasticNet": {"decision_rule": ["EN", "L1", "L2"]},
        **{key: {"es": [0, 1]} for key in ("PixelAttack", "ThresholdAttack")},
        "SimBA": {"attack": ["px", "dct"], "order": ["random", "diag"]},
        "UniversalPerturbation": {"attacker": ATTACKERS},
    },
}


def choices_of(package, attacks, choices):
    """Those choices, when the library's text has each, and every parameter that is a text is among them."""
    for name, made in attacks.items():
        attack = getattr(package, name, None) or getattr(package.attacks, name)
        listed, text = choices.get(name, {}), inspect.getsource(inspect.getmodule(attack))
        for key, default in made["parameters"].items():
            if isinstance(default, str) and default != "inf" and default not in listed.get(key, ()):
                raise ValueError(f"{name}.{key}: write what it may be into CHOICES, among it {default!r}")
            for choice in listed.get(key, ()):
                if isinstance(choice, str) and f'"{choice}"' not in text and f"'{choice}'" not in text:
                    raise ValueError(f"{name}.{key}: the library has no {choice!r}")
    return choices
