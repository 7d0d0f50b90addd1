from typing import Literal

from squeezeproof.entries.architecture import Architecture, Stem


class ResNet50(Architecture):
    """torchvision's ResNet-50 [he2016resnet], the stem as of resnet18; 23.5 million parameters on CIFAR-10."""

    function = "squeezeproof.models.vision:resnet50"
    display = "ResNet-50"
    minimum_size = 8

    kind: Literal["resnet50"] = "resnet50"
    width: Stem = 64
