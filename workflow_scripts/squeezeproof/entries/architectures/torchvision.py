from typing import Literal

from squeezeproof.entries.architecture import ByName
from squeezeproof.entries.settings import Text, setting


class Torchvision(ByName):
    """Any classifier of torchvision, by its name there."""

    function = "squeezeproof.models.zoo:torchvision_network"

    kind: Literal["torchvision"] = "torchvision"
    name: Text = setting(
        "torchvision's name of the network, such as mobilenet_v3_small or efficientnet_b0.",
        pattern=r"^[a-z0-9_]+$(?!\n)",
        json_schema_extra={"x-form": "a name of torchvision, such as mobilenet_v3_small"},
    )
