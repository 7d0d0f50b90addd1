"""Every entry that a module under this package declares, by section.

A section is a folder. Whatever module stands in it declares the entry of its name, and no list says so; importing this
module imports none of them.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from squeezeproof.entries.adversary import Adversary
from squeezeproof.entries.architecture import Architecture
from squeezeproof.entries.attack import Attack
from squeezeproof.entries.compression import Compression
from squeezeproof.entries.dataset import Dataset
from squeezeproof.entries.entry import Entry
from squeezeproof.entries.library import Library
from squeezeproof.entries.optimizer import Optimizer

E = TypeVar("E", bound=Entry)


class Section(Mapping[str, type[E]], Generic[E]):
    """Name -> entry of the modules of a folder, each imported when it is asked for."""

    def __init__(self, folder: str, base: type[E]) -> None:
        self.package, self.base = f"squeezeproof.entries.{folder}", base
        self._entries: dict[str, type[E]] = {}

    @cached_property
    def _names(self) -> list[str]:
        return sorted(module.name for module in iter_modules(import_module(self.package).__path__))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> type[E]:
        if name not in self._entries:
            if name not in self:
                raise KeyError(name)
            self._entries[name] = self._declared(name)
        return self._entries[name]

    def _declared(self, name: str) -> type[E]:
        module = import_module(f"{self.package}.{name}")
        own = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, self.base)]
        entries = [entry for entry in own if entry.__module__ == module.__name__ and entry.label() == name]
        if len(entries) != 1:
            raise TypeError(f"{module.__name__}: declares {len(entries)} entries with {self.base.key}: {name}, not one")
        return entries[0]


class Attacks(Section[Attack]):
    """The attacks; those of libraries, such as torchattacks.NIFGSM, are found by their names and not listed."""

    def __contains__(self, name: object) -> bool:
        library, _, attack = str(name).partition(".")
        return super().__contains__(name) or (
            library in libraries() and attack in libraries()[library].table()["attacks"]
        )

    def _declared(self, name: str) -> type[Attack]:
        library, _, attack = name.partition(".")
        return libraries()[library].attack(attack) if attack else super()._declared(name)


@cache
def attacks() -> Attacks:
    """Method -> the attack of that name, in its own settings."""
    return Attacks("attacks", Attack)


@cache
def libraries() -> Section[Library]:
    """Name -> the library of attacks of that name."""
    return Section("libraries", Library)


@cache
def compressions() -> Section[Compression]:
    """Method -> the compression of that name."""
    return Section("compressions", Compression)


@cache
def architectures() -> Section[Architecture]:
    """Kind -> the architecture of that name."""
    return Section("architectures", Architecture)


@cache
def adversaries() -> Section[Adversary]:
    """Method -> the adversary of that name."""
    return Section("adversaries", Adversary)


@cache
def optimizers() -> Section[Optimizer]:
    """Name -> the optimizer of that name."""
    return Section("optimizers", Optimizer)


@cache
def datasets() -> Section[Dataset]:
    """Kind -> the kind of data sets of that name."""
    return Section("datasets", Dataset)


def every() -> Iterator[type[Entry]]:
    """Every entry of every section."""
    for section in (attacks, libraries, compressions, architectures, adversaries, optimizers, datasets):
        yield from section().values()


class Functions(Mapping[str, Callable[..., Any]]):
    """Name -> function of the entries of a section that have one of that attribute, imported when it is asked for."""

    def __init__(self, section: Section[Any], attribute: str = "function") -> None:
        self.section, self.attribute = section, attribute

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.section if getattr(self.section[name], self.attribute))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if not getattr(self.section[name], self.attribute):
            raise KeyError(name)
        return self.section[name].imported(self.attribute)


def used(section: str, settings: dict[str, Any]) -> list[tuple[type[Entry], dict[str, Any]]]:
    """The entries that a job with these settings of a section runs, each with its settings.

    `section` is `attacks`, `compressions`, `architectures`, `datasets`, or `trainings` (also for fine-tunings), whose
    optimizer and adversary count. Attacks in sequence are their stages.
    """
    if section == "trainings":
        adversary = settings["adversary"]
        own: list[tuple[type[Entry], dict[str, Any]]] = [(optimizers()[settings["optimizer"]], settings)]
        return [*own, *([(adversaries()[adversary["method"]], adversary)] if adversary else [])]
    if section == "attacks":
        stages = attacks()[settings["method"]].parts(settings)
        return [(attacks()[stage["method"]], stage) for stage in stages]
    known: dict[str, Section[Any]] = {
        "compressions": compressions(), "architectures": architectures(), "datasets": datasets()
    }  # fmt: skip
    entries = known[section]
    return [(entries[settings[entries.base.key]], settings)]


def modules_of(section: str, settings: dict[str, Any]) -> list[str]:
    """Dotted names of the modules that a job with these settings runs, beside what its script imports.

    The user's own module of a custom architecture is not among them.
    """
    return sorted({module for entry, _ in used(section, settings) for module in entry.modules()})
