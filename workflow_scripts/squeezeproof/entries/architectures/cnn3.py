from typing import Literal

from squeezeproof.entries.architecture import Architecture, width
from squeezeproof.entries.normalization import Normalization, normalization
from squeezeproof.entries.settings import Whole


class Cnn3(Architecture):
    """CNN-3 of Wang et al. (2018): three convolutions (8x8 stride 2, 6x6 stride 2, 5x5) and a linear layer; 178,986
    parameters on MNIST.
    """

    function = "squeezeproof.models.networks:cnn3"
    display = "CNN-3"
    minimum_size = 28

    kind: Literal["cnn3"] = "cnn3"
    normalization: Normalization = normalization("none")
    width: Whole = width(32)
