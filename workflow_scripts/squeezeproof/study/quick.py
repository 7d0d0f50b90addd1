"""What is tried where a person asks about two models and no more: attacks and budgets that take minutes."""

from collections.abc import Iterable
from typing import Any

from squeezeproof.entries.settings import read_number
from squeezeproof.norms import Norm

# Method -> what is not its default. Noise is the control that every attack must beat.
ATTACKS = {
    "noise": {"samples": 5},
    "pgd": {"steps": 10},
    "apgd": {"steps": 25},
    "square": {"queries": 80},
}
# Beside them where one of the two models gives no gradients: it asks for labels alone, as everybody can who is served.
BY_LABELS = {"rays": {"queries": 200}}
# The same where it has to end in minutes: of 80 queries Square breaks more than RayS of 200 does.
IN_MINUTES = {"rays": {"queries": 100}}
# What asks a model often and follows no gradients.
QUERIES = ("square", *BY_LABELS)
# What breaks least, and next to nothing at the smaller of two budgets.
AT_LARGEST = ("noise", *BY_LABELS)
LARGE = 64
# Images in one pass.
SMALLEST, MOST = 8, 128


def attacks(gradients: bool, norm: str = "linf") -> dict[str, dict[str, Any]]:
    """Method -> what is not its default.

    Args:
        gradients: whether both models give them.
        norm: of the ball; nothing here asks for labels alone in another one than linf.
    """
    return ATTACKS if gradients or norm != Norm.LINF else ATTACKS | BY_LABELS


def in_minutes(gradients: bool) -> dict[str, dict[str, Any]]:
    """Those of `attacks`, in the linf ball, that two models in files are attacked with, each with what ends it early.

    Where one of the two gives no gradients, the images that APGD makes of the other are tried on both. PGD, of fewer
    steps, would find next to none beside them, and is left out.

    Args:
        gradients: whether both models give them.
    """
    chosen = {method: settings for method, settings in attacks(gradients).items() if gradients or method != "pgd"}
    return {
        method: settings | IN_MINUTES.get(method, {}) | stopping(method, gradients)
        for method, settings in chosen.items()
    }


def stopping(method: str, gradients: bool) -> dict[str, bool]:
    """The setting that ends the longest of these attacks where they succeed; no other model is tried on their images.

    Args:
        gradients: whether both models give them; on one that does not, APGD's images of the other are the strongest.
    """
    return {"stop_on_success": True} if method in QUERIES or (method == "apgd" and gradients) else {}


def radii(method: str, eps: Iterable[str | float]) -> list[str | float]:
    """The budgets, as a config writes them, that a method is run at: noise and RayS, which break least, at the largest
    alone."""
    listed = list(eps)
    numbers = {radius: read_number(radius) for radius in listed}
    # What is no number is told when the study is checked.
    if method not in AT_LARGEST or not all(isinstance(number, float) for number in numbers.values()):
        return listed
    return [max(listed, key=lambda radius: numbers[radius])]


def batch_size(side: int) -> int:
    """Images of so many pixels a side in one pass on a CPU.

    With a MobileNetV2, 128 images of 32 pixels a side take a sixth less time per image than 240 forward, and 40 % less
    forward and backward: what a layer makes of them stays in the caches, and memory is not taken and given back.
    """
    return max(SMALLEST, min(MOST, MOST * 32**2 // side**2))


def budgets(channels: int, side: int) -> list[str]:
    """Two radii of linf balls for images of so many channels and pixels a side, as a config writes them.

    The larger one is what attacks on MNIST, CIFAR and ImageNet usually have, the smaller one no person sees.
    """
    if channels == 1:
        return ["0.05", "0.2"]
    return ["1/255", "4/255"] if side > LARGE else ["2/255", "8/255"]
