"""Every entry that a module under this package declares, by section.

A section is a folder. Whatever Entry a module in it defines is found here and listed nowhere; importing this module
imports none of them.
"""

from collections import UserDict
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from squeezeproof.entries.adversary import Adversary
from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.attack import Attack
from squeezeproof.entries.compression import Compression
from squeezeproof.entries.dataset import Dataset
from squeezeproof.entries.entry import Entry
from squeezeproof.entries.optimizer import Optimizer


def attacks() -> dict[str, type[Attack]]:
    """Method -> the attack of that name, in its own settings."""
    return _declared("attacks", Attack)


def compressions() -> dict[str, type[Compression]]:
    """Method -> the compression of that name."""
    return _declared("compressions", Compression)


def architectures() -> dict[str, type[Architecture]]:
    """Kind -> the architecture of that name."""
    return _declared("architectures", Architecture)


def adversaries() -> dict[str, type[Adversary]]:
    """Method -> the adversary of that name."""
    return _declared("adversaries", Adversary)


def optimizers() -> dict[str, type[Optimizer]]:
    """Name -> the optimizer of that name."""
    return _declared("optimizers", Optimizer)


def datasets() -> dict[str, type[Dataset]]:
    """Kind -> the kind of data sets of that name."""
    return _declared("datasets", Dataset)


@cache
def _declared(section: str, base: type[Entry]) -> dict[str, Any]:
    package, found = import_module(f"squeezeproof.entries.{section}"), {}
    for name in sorted(module.name for module in iter_modules(package.__path__)):
        module = import_module(f"{package.__name__}.{name}")
        classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)]
        for entry in classes:
            label = entry.label() if entry.__module__ == module.__name__ else None
            if label and found.setdefault(label, entry) is not entry:
                raise TypeError(f"{module.__name__} and {found[label].__module__} both declare {label}")
    return found


def every() -> Iterator[type[Entry]]:
    """Every entry of every section."""
    for section in (attacks, compressions, architectures, adversaries, optimizers, datasets):
        yield from section().values()


def modules_of(section: str, settings: dict) -> list[str]:
    """Dotted names of the modules that a job with these settings of a section's entry runs.

    They come beside what the job's script imports: the registry imports them by name. `section` is `attacks`,
    `compressions`, `architectures`, `datasets`, or `trainings` (also for fine-tunings), whose optimizer and adversary
    count. A custom architecture's own module is not among them.
    """
    return sorted(set(_modules(section, settings)))


def _modules(section: str, settings: dict) -> Iterator[str]:
    if section == "trainings":
        yield from optimizers()[settings["optimizer"]].modules(settings)
        if settings["adversary"] is not None:
            yield from adversaries()[settings["adversary"]["method"]].modules(settings["adversary"])
        return
    known = {"attacks": attacks, "compressions": compressions, "architectures": architectures, "datasets": datasets}
    entries = known[section]()
    entry = next(entry for entry in entries.values() if settings[entry.key] == entry.label())
    yield from entry.modules(settings)


class Functions(UserDict):
    """Name -> function of the entries of a section that declare one, imported when it is asked for."""

    def __init__(self, entries: dict[str, type[Entry]], attribute: str = "function") -> None:
        super().__init__({name: entry for name, entry in entries.items() if getattr(entry, attribute)})
        self.attribute = attribute

    def __getitem__(self, name: str) -> Callable[..., Any]:
        found = super().__getitem__(name)
        return found.imported(self.attribute) if isinstance(found, type) else found
