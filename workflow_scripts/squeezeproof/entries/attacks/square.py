from typing import Any, Literal

from squeezeproof.entries.attack import Restarts, SourceAttack
from squeezeproof.entries.settings import Flag, Real, Whole, setting

# With fewer queries it may help its source: nearly all of them are its start, which is noise. By 1 to 3 queries up to 2
# of 397 digits more were right than without it, by 5 none.
SEARCH = 10


class Square(SourceAttack):
    """Square Attack, a random search that needs no gradients [andriushchenko2020]."""

    function = "squeezeproof.attacks.square:square"
    display = "Square"
    needs = "logits"
    units = ("queries", "restarts")
    per_unit = (1, 0)
    takes_target = True

    method: Literal["square"] = "square"
    restarts: Restarts = 1
    queries: Whole = setting("Images the source classifies for each example and run.", 5000, ge=1, le=10_000_000)
    p_init: Real = setting("Share of the image's pixels that the first squares cover.", 0.8, gt=0, le=1)
    reference: Flag | None = setting(
        "How the squares shrink: `true` as AutoAttack's do, as if there were 10,000 queries, whatever `queries` is; "
        "`false` over the queries that there are; `null` between the two, and from 5,000 queries on as AutoAttack's.",
        None,
    )
    loss: Literal["margin", "cross_entropy", "dlr"] = setting("Loss that is raised.", "margin")

    @classmethod
    def never_helps(cls, settings: Any) -> bool:
        """See Attack."""
        return settings["queries"] * settings["restarts"] >= SEARCH
