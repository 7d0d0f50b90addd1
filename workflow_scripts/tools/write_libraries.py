"""Writes the tables of the attacks of other libraries, from the installed libraries: `write_libraries.py [--check]`.

Of every attack its parameters and their defaults are read from its signature. What no signature says, such as what an
attack asks of the model, stands here. The tables lie in workflow_scripts/squeezeproof/entries/libraries/.
"""

import inspect
import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

# The library is not installed; it lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from library_choices import CHOICES, choices_of

from squeezeproof.attacks.library import imported
from squeezeproof.entries import registry

NORMS = ("linf", "l2", "l1", "l0")
# What the adapters fill, by the names that the libraries have for it.
FILLED = {
    **dict.fromkeys(("eps", "max_epsilon", "ε"), "eps"),
    **{"norm": "norm", "distance": "norm", "constraint": "norm", "seed": "seed", "n_classes": "classes"},
}
# Of no use in a job, or no value of a config.
DROPPED = {
    *("verbose", "summary_writer", "tensorboard", "callback", "attacks", "estimator_orig", "init_attack", "directions"),
    *(
        "batch_size",
        "inf_batch",
        "targeted",
        "penalty",
        "parallel_pool_size",
        "args",
        "kwargs",
        "optimizer",
        "return_targets",
    ),
    *("return_unsuccessful", "adv_criterion", "attacker_params", "mask", "importance"),
}


def main(check=False):
    """Write every table, or return the libraries whose table is not what their packages say."""
    stale = []
    for name, library in registry.libraries().items():
        path = Path(sys.modules[library.__module__].__file__).with_suffix(".json")
        text = written(name)
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
    return stale


def written(name):
    """The table of a library as JSON with an attack a line."""
    library = registry.libraries()[name]
    package = imported(library)
    attacks, left_out = TABLES[name](package)
    choices = choices_of(package, attacks, CHOICES[name])
    rows = {"version": version(library.distribution), "attacks": attacks, "choices": choices, "left_out": left_out}
    parts = {key: json.dumps(value) for key, value in rows.items()}
    for key in ("attacks", "choices", "left_out"):
        lines = [
            f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in sorted(rows[key].items())
        ]
        parts[key] = "{\n" + ",\n".join(lines) + "\n }"
    return "{\n" + ",\n".join(f' "{key}": {part}' for key, part in parts.items()) + "\n}\n"


def row(call, norms, *, needs="gradients", finds="ball", targeted=False, skip=1, fills=None):
    """The row of an attack that is made by calling `call`, whose first parameters are the model and the like.

    It `finds` a point of the `ball`, the `nearest` point, or a point of its `own budget`.
    """
    signature = list(inspect.signature(call).parameters.values())[skip:]
    filled = FILLED if fills is None else fills
    own = [parameter for parameter in signature if parameter.name not in DROPPED | filled.keys()]
    required = [parameter.name for parameter in own if parameter.default is parameter.empty]
    defaults = {parameter.name: _json(parameter) for parameter in own if parameter.name not in required}
    return {
        "norms": norms,
        "needs": needs,
        "finds": finds,
        "targeted": targeted,
        "fills": {filled[parameter.name]: parameter.name for parameter in signature if parameter.name in filled},
        "parameters": defaults,
        "required": required,
    }


def _json(parameter):
    value = parameter.default
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    if isinstance(value, tuple):
        return list(value)
    if value is None or isinstance(value, bool | int | float | str | list):
        return value
    raise TypeError(f"{parameter.name}: {value!r} is no value of a config; write it down in DROPPED")


def torchattacks(package):
    """(attacks, left_out) of torchattacks."""
    norms = {
        **{name: ["l2"] for name in ("PGDL2", "PGDRSL2", "CW", "DeepFool", "GN")},
        **{name: ["linf", "l2"] for name in ("APGD", "APGDT", "AutoAttack", "Square")},
        **{name: ["l0"] for name in ("JSMA", "OnePixel", "Pixle", "SparseFool")},
        **{"FAB": ["linf", "l2", "l1"], "EADEN": ["l1", "l2"], "EADL1": ["l1"]},
    }
    finds = {
        **dict.fromkeys(("CW", "DeepFool", "EADEN", "EADL1", "FAB", "SparseFool"), "nearest"),
        **dict.fromkeys(("GN", "JSMA", "OnePixel", "Pixle"), "own budget"),
    }
    needs = {**dict.fromkeys(("OnePixel", "Pixle", "SPSA", "Square"), "logits"), "GN": "nothing"}
    left_out = {
        "LGV": "it trains the source anew",
        "MultiAttack": "it is made of other attacks; write method: suite with them as stages",
        "VANILA": "it returns the clean image",
    }
    attacks = {}
    for name in package.__all__:
        if name not in left_out:
            made = row(getattr(package, name).__init__, norms.get(name, ["linf"]), skip=2)
            modes = getattr(package, name)(torch.nn.Linear(1, 1)).supported_mode
            made |= {"needs": needs.get(name, "gradients"), "finds": finds.get(name, "ball")}
            attacks[name] = made | {"targeted": "targeted" in modes}
    return attacks, left_out


def foolbox(package):
    """(attacks, left_out) of Foolbox."""
    base = package.attacks.base
    labels = {
        *("BoundaryAttack", "HopSkipJumpAttack", "PointwiseAttack", "SaltAndPepperNoiseAttack", "GaussianBlurAttack"),
        *("InversionAttack", "LinearSearchBlendedUniformNoiseAttack", "BinarySearchContrastReductionAttack"),
        "LinearSearchContrastReductionAttack",
    }
    # They look along one direction, where no other class may be.
    limited = labels - {"BoundaryAttack", "HopSkipJumpAttack", "PointwiseAttack"}
    # Of those that ask for gradients: they head for the nearest other class, or start where a blend with noise fools.
    untargeted = ("DeepFool", "NewtonFool", "VirtualAdversarial", "BrendelBethge")
    left_out = {
        "BinarizationRefinementAttack": "it starts from adversarial examples of another attack",
        "DatasetAttack": "it returns images of other examples",
        "SpatialAttack": "it moves and turns images, which is no ball",
    }
    attacks = {}
    for name, attack in vars(package.attacks).items():
        found = isinstance(attack, type) and issubclass(attack, base.Attack) and not inspect.isabstract(attack)
        if not found or name in left_out:
            continue
        kind = attack.__name__
        noise = "Noise" in kind and kind not in labels
        needs = "labels" if kind in labels or "Repeated" in kind else "nothing" if noise else "gradients"
        needs = "nothing" if kind == "L2ContrastReductionAttack" else "logits" if kind == "GenAttack" else needs
        nearest = "own budget" if kind in limited else "nearest"
        finds = "ball" if issubclass(attack, base.FixedEpsilonAttack) else nearest
        fills = {"distance": "norm", "constraint": "norm"}
        follows = needs == "gradients" and not any(name in kind for name in untargeted)
        targeted = follows or kind == "GenAttack"
        made = row(attack.__init__, [], needs=needs, finds=finds, targeted=targeted, fills=fills)
        attacks[name] = made | {"norms": _norms_of_foolbox(package, attack, kind, made["fills"])}
        if "BrendelBethge" in kind:
            attacks[name]["packages"] = {"numba": {}}
    attacks["GenAttack"]["targeted_alone"] = True
    return attacks, left_out


def _norms_of_foolbox(package, attack, kind, fills):
    if "norm" in fills:
        return ["l2", "linf"] if fills["norm"] == "constraint" else ["l2", "linf", "l1"]
    distance = attack.distance
    if isinstance(distance, package.distances.LpDistance):
        return ["linf" if math.isinf(distance.p) else f"l{distance.p:g}"]
    return ["linf"] if kind.startswith("Linf") else ["l2"]


def adv_lib(package):
    """(attacks, left_out) of adv-lib."""
    norms = {
        **{name: ["l2"] for name in ("carlini_wagner_l2", "ddn", "pdgd", "sdf", "str_attack", "perc_al")},
        **{name: ["l0"] for name in ("fga", "vfga", "sigma_zero")},
        **{name: ["linf"] for name in ("carlini_wagner_linf", "pgd_linf")},
        **{name: ["linf", "l2", "l1", "l0"] for name in ("fmn", "pdpgd")},
        **{name: ["linf", "l2", "l1"] for name in ("apgd", "apgd_targeted", "fab")},
        **{"alma": ["l2", "l1"], "df": ["l2", "linf"], "tr": ["l2", "linf"]},
    }
    targeted = {
        *("alma", "apgd", "carlini_wagner_l2", "carlini_wagner_linf", "ddn", "fmn", "pdgd", "pdpgd", "pgd_linf"),
        *("perc_al", "sigma_zero", "str_attack"),
    }
    attacks = {}
    for name, call in vars(package).items():
        if inspect.isfunction(call):
            fills = {**FILLED, "targeted": "targeted", "num_classes": "classes"}
            if name == "tr":
                # Its eps is a step beyond the boundary, which keeps the default.
                fills = {"p": "norm", "targeted": "targeted", "eps": "nothing"}
            in_ball = {"apgd": "ball", "apgd_targeted": "ball", "pgd_linf": "ball", "perc_al": "own budget"}
            options = {"finds": in_ball.get(name, "nearest"), "targeted": name in targeted, "fills": fills}
            attacks[name] = row(call, norms[name], skip=3, **options)
    return attacks, {}


def art(package):
    """(attacks, left_out) of ART."""
    ball, nearest, own = "ball", "nearest", "own budget"
    known = {
        **{
            name: (["linf", "l2"], "gradients", ball)
            for name in ("AutoAttack", "AutoConjugateGradient", "RescalingAutoConjugateGradient")
        },
        **{
            name: (["linf", "l2", "l1"], "gradients", ball)
            for name in (
                "AutoProjectedGradientDescent", "FastGradientMethod", "MomentumIterativeMethod",
                "ProjectedGradientDescent", "ProjectedGradientDescentNumpy", "ProjectedGradientDescentPyTorch",
            )
        },
        "BasicIterativeMethod": (["linf"], "gradients", ball),
        "BoundaryAttack": (["l2"], "labels", nearest),
        "CarliniL0Method": (["l0"], "gradients", nearest),
        "CarliniL2Method": (["l2"], "gradients", nearest),
        "CarliniLInfMethod": (["linf"], "gradients", nearest),
        "DeepFool": (["l2"], "gradients", nearest),
        "ElasticNet": (["l1", "l2"], "gradients", nearest),
        "GeoDA": (["l2", "linf", "l1"], "labels", nearest),
        "HopSkipJump": (["l2", "linf"], "labels", nearest),
        "NewtonFool": (["l2"], "gradients", own),
        "PixelAttack": (["l0"], "logits", own),
        "SaliencyMapMethod": (["l0"], "gradients", own),
        "ShadowAttack": (["l2"], "gradients", own),
        "SimBA": (["l2"], "logits", own),
        "SignOPTAttack": (["l2"], "labels", nearest),
        "SquareAttack": (["linf", "l2"], "logits", ball),
        "ThresholdAttack": (["linf"], "logits", own),
        "UniversalPerturbation": (["linf", "l2"], "gradients", ball),
        "VirtualAdversarialMethod": (["l2"], "logits", ball),
        "ZooAttack": (["l2"], "logits", nearest),
    }  # fmt: skip
    left_out = {
        **dict.fromkeys(
            ("FeatureAdversariesNumpy", "FeatureAdversariesPyTorch"), "it imitates features of given images"
        ),
        **dict.fromkeys(("GRAPHITEBlackbox", "GRAPHITEWhiteboxPyTorch", "LaserAttack"), "it makes objects, not images"),
        "CompositeAdversarialAttackPyTorch": "it changes colours and turns images, which is no ball",
        "LowProFool": "it is for tables",
        "SpatialTransformation": "it moves and turns images, which is no ball",
        "TargetedUniversalPerturbation": "its targets are those of its fit",
        "Wasserstein": "its ball is one of transport",
    }
    fills = {**FILLED, "targeted": "targeted", "batch_size": "batch", "verbose": "quiet"}
    attacks = {}
    for name, (norms, needs, finds) in known.items():
        call = getattr(package, name).__init__
        targeted = "targeted" in inspect.signature(call).parameters
        attacks[name] = row(call, norms, needs=needs, finds=finds, targeted=targeted, skip=2, fills=fills)
    # It takes one image only.
    attacks["ShadowAttack"]["alone"] = True
    del attacks["SimBA"]["fills"]["batch"]
    attacks["AutoAttack"]["packages"] = {"multiprocess": {}}
    for name in ("PixelAttack", "ThresholdAttack"):
        # Its other search is SciPy's.
        attacks[name]["packages"] = {"cma": {"es": 0}}
    return attacks, left_out


TABLES = {"adv_lib": adv_lib, "art": art, "foolbox": foolbox, "torchattacks": torchattacks}

if __name__ == "__main__":
    checking = "--check" in sys.argv
    if found := main(check=checking):
        sys.exit(f"{', '.join(found)}: not the installed version; run `make libraries`")
