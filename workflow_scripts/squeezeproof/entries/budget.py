"""What every entry of `attacks` has beside the attack's own settings: its budget, and what becomes of its examples."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, create_model

from squeezeproof.entries.attack import DRAWN_TARGETS, Attack
from squeezeproof.entries.settings import Distinct, Flag, Positive, Text, problem, setting

STOP = (
    "Stop attacking an example once it fools the source, which saves time; such a set is scored on its source alone. "
    "Without it every example gets the attack's full budget, for scoring on any model."
)
STORED = (
    "`float32` pixels, or `uint8`: what an 8-bit image file can carry, rounded onto the integer grid inside the ball. "
    "The rounded image counts; tables/crafting.csv tells what it costs."
)
BALL = (
    "Radius of the ball in pixel units of [0, 1], for l0 the number of changed values; one value or a list, fractions "
    "such as 8/255 are allowed."
)
CUT = (
    "Radius of the ball that the point found is projected onto, in pixel units, one value or a list; left out, the "
    "perturbation is as long as it takes."
)
TARGETED = (
    "The class that every image is to reach: `least-likely`, the one that the source gives the lowest logit; `random`, "
    "another one for every image, the same on every source; `next`, the label plus one; or the name of a class, whose "
    "own images are left out. Success is to reach it, and tables/targeted.csv tells how often. That is no robust "
    "accuracy, so the set is in no other table of accuracy and in no verdict. null leads away from the label."
)


def _as_name(value: Any) -> Any:
    if value == "":
        raise problem(f"is empty; write {', '.join(DRAWN_TARGETS)} or the name of a class")
    # YAML reads names such as 3 as numbers.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


@cache
def with_budget(attack: type[Attack]) -> type[Attack]:
    """The class of an entry of `attacks`: the attack's own settings, those of all, and a target where it takes one."""
    eps = (
        (Distinct[Positive | None], setting(CUT, [None], min_length=1))
        if attack.minimum_norm or attack.own_budget
        else (Distinct[Positive], setting(BALL, min_length=1))
    )
    norm = setting("Norm that is kept small." if attack.minimum_norm else "Norm of the ball.", attack.norms[0])
    name = Annotated[Text if attack.targeted_alone else Text | None, BeforeValidator(_as_name)]
    default = ... if attack.targeted_alone else None
    targeted: dict[str, Any] = {"targeted": (name, setting(TARGETED, default))}
    return create_model(
        attack.__name__,
        __base__=attack,
        # By which the exported schemas tell it from the attack that it is made of.
        __module__=Attack.__module__,
        __doc__=attack.__doc__,
        eps=eps,
        norm=(Literal[attack.norms], norm),
        stop_on_success=(Flag, setting(STOP, False)),
        stored=(Literal["float32", "uint8"], setting(STORED, "float32")),
        **(targeted if attack.takes_target else {}),
    )
