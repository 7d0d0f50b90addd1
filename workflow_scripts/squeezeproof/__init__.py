"""Is a compressed image classifier still robust to adversarial examples? Two calls for models in memory:

    import squeezeproof

    found = squeezeproof.attack(model, images, labels, "apgd", eps=8 / 255)
    answer = squeezeproof.check(base, compressed, images, labels, eps=8 / 255)

docs/from_python.md has them with runnable examples. The workflow does not depend on this package being installed.
"""

from importlib import import_module
from typing import Any

# Public name -> its module. They are imported when they are asked for: a dry run loads this package, but no torch.
_PLACES = {
    "attack": "squeezeproof.in_memory.attack",
    "Attacked": "squeezeproof.in_memory.attack",
    "check": "squeezeproof.in_memory.check",
    "Checked": "squeezeproof.in_memory.check",
    "InputError": "squeezeproof.errors",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
