"""What is tried where a person asks about two models and no more: attacks and budgets that take minutes."""

from typing import Any

from squeezeproof.norms import Norm

# Method -> what is not its default. Noise is the control that every attack must beat.
ATTACKS = {
    "noise": {"samples": 5},
    "pgd": {"steps": 10},
    "apgd": {"steps": 25},
    "square": {"queries": 80, "reference": False},
}
# Beside them where one of the two models gives no gradients: it asks for labels alone, as everybody can who is served.
BY_LABELS = {"rays": {"queries": 200}}
LARGE = 64


def attacks(gradients: bool, norm: str = "linf") -> dict[str, dict[str, Any]]:
    """Method -> what is not its default.

    Args:
        gradients: whether both models give them.
        norm: of the ball; nothing here asks for labels alone in another one than linf.
    """
    return ATTACKS if gradients or norm != Norm.LINF else ATTACKS | BY_LABELS


def stopping(method: str, gradients: bool) -> dict[str, bool]:
    """The setting that ends the longest of these attacks where they succeed; no other model is tried on their images.

    Args:
        gradients: whether both models give them; on one that does not, APGD's images of the other are the strongest.
    """
    return {"stop_on_success": True} if method == "square" or (method == "apgd" and gradients) else {}


def budgets(channels: int, side: int) -> list[str]:
    """Two radii of linf balls for images of so many channels and pixels a side, as a config writes them.

    The larger one is what attacks on MNIST, CIFAR and ImageNet usually have, the smaller one no person sees.
    """
    if channels == 1:
        return ["0.05", "0.2"]
    return ["1/255", "4/255"] if side > LARGE else ["2/255", "8/255"]
