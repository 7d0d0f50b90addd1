"""What is tried where a person asks about two models and no more: attacks and budgets that take minutes."""

# Method -> what is not its default. Noise is the control that every attack must beat.
ATTACKS = {
    "noise": {"samples": 5},
    "pgd": {"steps": 10},
    "apgd": {"steps": 25},
    "square": {"queries": 80, "reference": False},
}
LARGE = 64


def budgets(channels: int, side: int) -> list[str]:
    """Two radii of linf balls for images of so many channels and pixels a side, as a config writes them.

    The larger one is what attacks on MNIST, CIFAR and ImageNet usually have, the smaller one no person sees.
    """
    if channels == 1:
        return ["0.05", "0.2"]
    return ["1/255", "4/255"] if side > LARGE else ["2/255", "8/255"]
