"""What a device must compute as the CPU does: networks, adversaries and compressions."""

from adversary_examples import DROPOUT, NORMALISED, PLAIN, adversary

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
