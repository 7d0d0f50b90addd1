from typing import Literal

from squeezeproof.entries.architecture import Architecture, Stem


class ResNet18(Architecture):
    """torchvision's ResNet-18 [he2016resnet]; images up to 64 pixels get a 3x3 stem of stride 1 and no first pool."""

    function = "squeezeproof.models.vision:resnet18"
    display = "ResNet-18"
    minimum_size = 8

    kind: Literal["resnet18"] = "resnet18"
    width: Stem = 64
