from typing import Literal

from squeezeproof.entries.compression import Pruning, Share
from squeezeproof.entries.settings import setting


class Weight(Pruning):
    """Single weights of convolutions and linear layers are set to zero and held there by a mask."""

    function = "squeezeproof.compression.weights:compress_weights"
    lamp_in_a_layer = "magnitude"
    masks_stored = True

    method: Literal["weight"] = "weight"
    scope: Literal["layer", "global", "funnel", "redundant"] = setting(
        "`global` ranks the weights of all layers together (class-blind in [see2016], class-blinded in Wang et al. "
        "2018); `layer` removes the same share of every layer; `funnel` keeps a strictly smaller share of every deeper "
        "layer, falling by `funnel_slope`; `redundant` removes, of convolution filters of equal length that are "
        "nearest each other, those of smaller norm, and then the smallest weights (both Marshall 2020).",
        "global",
    )
    importance: Literal["magnitude", "lamp", "random"] = setting(
        "magnitude: |w|; lamp: w^2 over the sum of those of its layer that are not smaller [lee2021], for `scope: "
        "global`; random: a control.",
        "magnitude",
    )
    funnel_slope: Share = 0.5
