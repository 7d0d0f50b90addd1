from typing import Annotated, Literal

from pydantic import Field

from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.settings import Several, Whole, setting


class DenseNet121(Architecture):
    """torchvision's DenseNet-121 [huang2017]; images up to 64 pixels get a 3x3 stem of stride 1 and no first pool; 7.0
    million parameters on CIFAR-10.
    """

    function = "squeezeproof.models.vision:densenet121"
    display = "DenseNet-121"
    minimum_size = 8

    kind: Literal["densenet121"] = "densenet121"
    growth: Whole = setting("Feature maps that every layer adds; the stem has twice as many.", 32, ge=1, le=256)
    blocks: Several[Annotated[Whole, Field(ge=1, le=64)]] = setting(
        "Layers of each dense block, of at most four blocks.", [6, 12, 24, 16], min_length=1, max_length=4
    )
