from typing import Literal

from squeezeproof.entries.architecture import Architecture, width
from squeezeproof.entries.settings import Whole


class MobileNetV1(Architecture):
    """MobileNetV1 [howard2017]: depthwise separable convolutions; images up to 64 pixels get a stem of stride 1; 3.2
    million parameters on CIFAR-10.
    """

    function = "squeezeproof.models.mobilenet:mobilenet_v1"
    display = "MobileNetV1"
    minimum_size = 8

    kind: Literal["mobilenet_v1"] = "mobilenet_v1"
    width: Whole = width(32)
