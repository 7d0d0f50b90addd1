from typing import ClassVar, Literal

from squeezeproof.entries.architecture import ByName
from squeezeproof.entries.settings import Text, setting


class Timm(ByName):
    """Any network of timm, by its name there; needs the package timm, which is no part of the installation."""

    function = "squeezeproof.models.zoo:timm_network"
    package: ClassVar[str | None] = "timm>=1.0.31,<2"

    kind: Literal["timm"] = "timm"
    name: Text = setting(
        "timm's name of the network, such as lcnet_050 or mobilenetv4_conv_small.",
        pattern=r"^[a-z0-9_]+$(?!\n)",
        json_schema_extra={"x-form": "a name of timm, such as lcnet_050"},
    )
