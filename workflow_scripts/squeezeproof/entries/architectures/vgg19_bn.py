from typing import Literal

from squeezeproof.entries.architecture import Architecture, width
from squeezeproof.entries.settings import Whole


class Vgg19Bn(Architecture):
    """vgg19 with batch normalisation after every convolution."""

    function = "squeezeproof.models.vgg:vgg19_bn"
    minimum_size = 8

    kind: Literal["vgg19_bn"] = "vgg19_bn"
    width: Whole = width(64, most=1024)
