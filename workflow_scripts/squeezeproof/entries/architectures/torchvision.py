from typing import Literal

from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.settings import Text, setting


class Torchvision(Architecture):
    """Any classifier of torchvision, by its name there."""

    function = "squeezeproof.models.zoo:torchvision_network"
    minimum_size = 8

    kind: Literal["torchvision"] = "torchvision"
    name: Text = setting(
        "torchvision's name of the network, such as mobilenet_v3_small or efficientnet_b0.",
        pattern=r"^[a-z0-9_]+$(?!\n)",
        json_schema_extra={"x-form": "a name of torchvision, such as mobilenet_v3_small"},
    )
    stem: Literal["auto", "small", "original"] = setting(
        "`small` gives the first convolution stride 1 (and 3x3 weights instead of 7x7) and leaves out the pool after "
        "it; `original` is torchvision's; `auto` is `small` for images up to 64 pixels. Stems that cut the image into "
        "patches stay.",
        "auto",
    )
