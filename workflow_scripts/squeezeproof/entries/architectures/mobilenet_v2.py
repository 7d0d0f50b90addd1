from typing import Literal

from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.settings import Whole, setting


class MobileNetV2(Architecture):
    """torchvision's MobileNetV2 [sandler2018]; images up to 64 pixels get stride 1 in the stem and in the first of the
    blocks that halve; 2.2 million parameters on CIFAR-10.
    """

    function = "squeezeproof.models.vision:mobilenet_v2"
    display = "MobileNetV2"
    minimum_size = 8

    kind: Literal["mobilenet_v2"] = "mobilenet_v2"
    width: Whole = setting(
        "Filters of the stem; later layers scale with it, but the last convolution keeps 1280 filters in narrower "
        "networks.",
        32,
        ge=1,
        le=4096,
    )
