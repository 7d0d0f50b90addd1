"""Whether a stranger's specification of a network is one that a config could have."""

from typing import Any

from pydantic import ValidationError

from squeezeproof.entries import registry
from squeezeproof.errors import InputError
from squeezeproof.untrusted import MAX_SIDE, oversized


def check_specification(settings: dict[str, Any], shape: dict[str, int]) -> None:
    """Raise InputError where no config could have these settings of an architecture, or `shape` is no image's.

    `shape` has `in_channels`, `num_classes` and `image_size`.
    """
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in registry.architectures():
        raise InputError(f"kind: {kind!r:.100} is no architecture")
    for name, value in shape.items():
        if not isinstance(value, int) or not 0 < value <= MAX_SIDE:
            raise InputError(f"{name}: {value!r:.100} is beyond what {kind} is built for ({MAX_SIDE:,})")
    if problem := oversized(settings):
        raise InputError(problem)
    try:
        registry.architectures()[kind].model_validate(settings)
    except ValidationError as error:
        problems = [f"{kind}.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise InputError("; ".join(f"{problem:.300}" for problem in problems)) from None
