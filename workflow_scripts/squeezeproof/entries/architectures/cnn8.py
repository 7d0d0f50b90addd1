from typing import Literal

from squeezeproof.entries.architecture import Architecture, width
from squeezeproof.entries.normalization import Normalization, normalization
from squeezeproof.entries.settings import Whole


class Cnn8(Architecture):
    """CNN-8 of [thorsteinsson2024]: six 3x3 convolutions and two linear layers; 549,994 parameters on Fashion-MNIST."""

    function = "squeezeproof.models.networks:cnn8"
    display = "CNN-8"
    minimum_size = 8

    kind: Literal["cnn8"] = "cnn8"
    normalization: Normalization = normalization("half")
    width: Whole = width(32)
