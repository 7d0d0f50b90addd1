from typing import Literal

from squeezeproof.entries.architecture import Architecture, Stem


class ResNet34(Architecture):
    """torchvision's ResNet-34 [he2016resnet], the stem as of resnet18; 21.3 million parameters on CIFAR-10."""

    function = "squeezeproof.models.vision:resnet34"
    display = "ResNet-34"
    minimum_size = 8

    kind: Literal["resnet34"] = "resnet34"
    width: Stem = 64
