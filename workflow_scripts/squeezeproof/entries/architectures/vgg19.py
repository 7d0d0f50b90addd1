from typing import Literal

from squeezeproof.entries.architecture import Architecture, width
from squeezeproof.entries.settings import Whole


class Vgg19(Architecture):
    """VGG-19 [simonyan2015] as usual for small images: the 16 convolutions and five pools of the paper, then an average
    over the map and one linear layer; 20.0 million parameters on CIFAR-10. Smaller images fade in so many layers; take
    vgg19_bn.
    """

    function = "squeezeproof.models.vgg:vgg19"
    display = "VGG-19"
    minimum_size = 28

    kind: Literal["vgg19"] = "vgg19"
    width: Whole = width(64, most=1024)
