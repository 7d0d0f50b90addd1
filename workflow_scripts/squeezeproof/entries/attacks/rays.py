from typing import Literal

from squeezeproof.entries.attack import SourceAttack
from squeezeproof.entries.settings import Real, Whole, setting


class Rays(SourceAttack):
    """RayS, a search along rays that asks for labels alone [chen2020]."""

    function = "squeezeproof.attacks.rays:rays"
    display = "RayS"
    needs = "labels"
    norms = ("linf",)
    units = ("queries",)
    per_unit = (1, 0)

    method: Literal["rays"] = "rays"
    queries: Whole = setting("Images the source labels for each example.", 1000, ge=2, le=10_000_000)
    tolerance: Real = setting(
        "How closely the distance along a ray is searched, in pixel units; the closer, the more queries.",
        0.002,
        gt=0,
        le=1,
    )
