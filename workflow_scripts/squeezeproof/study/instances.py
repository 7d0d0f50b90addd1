"""Entries of compressions and attacks, expanded over their list of levels."""

from collections.abc import Mapping
from typing import Any

from squeezeproof.entries import registry
from squeezeproof.entries.settings import Number
from squeezeproof.study.entities import Instance, plain


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.10g}".replace(".", "p")


def _eps(eps: Number | None) -> str:
    return "" if eps is None else f"eps{eps.label.replace('/', 'of')}"


def _levels(section: str, settings: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(how the level is written in names, and in messages, the settings) at every level that an entry is built at."""
    level, label = "eps", _eps
    if section != "attacks":
        level = registry.compressions()[settings["method"]].level
        label = _percent if level == "ratio" else str
    if not level:
        return [("", "", settings)]
    return [
        (label(value), f"{level} {getattr(value, 'text', value)} ", {**settings, level: value})
        for value in settings[level]
    ]


def expand(entries: Mapping[str, dict[str, Any]], section: str, problems: list[str]) -> dict[str, Instance]:
    """Instance name -> Instance of every entry at every level; two entries that give one name are a problem."""
    instances = {}
    for entry, settings in entries.items():
        for label, level, at_level in _levels(section, settings):
            name = named(entry, label)
            if name in instances:
                problems.append(
                    f"{section}.{entry}: {level}gives the name {name}, which {section}.{instances[name].entry} gives "
                    f"too; rename one or remove the repetition"
                )
            instances[name] = Instance(name, entry, plain(at_level))
    return instances


def attack_at(entry: str, settings: dict[str, Any], eps: Number | None, name: str | None = None) -> Instance:
    """The Instance of an attack entry at one eps, a Number or None; its name starts with `name`, if given."""
    return Instance(named(name or entry, _eps(eps)), entry, plain({**settings, "eps": eps}))


def fitted_on_training_images(attack: Instance) -> bool:
    """Whether the Instance of an attack learns from the training split before it attacks the test split."""
    return registry.attacks()[attack.settings["method"]].trains_on_images


def needs_gradients(attack: Instance) -> bool:
    """Whether the Instance of an attack, or a part of it, follows the gradients of its source."""
    known = registry.attacks()
    parts = known[attack.settings["method"]].parts(attack.settings)
    return any(known[part["method"]].needs == "gradients" for part in parts)


def learns_first(attack: Instance) -> bool:
    """Whether the Instance of an attack learns something before it attacks any image."""
    return bool(registry.attacks()[attack.settings["method"]].fit)


def named(entry: str, label: str) -> str:
    # A minimum-norm attack without a budget, or a model from a file, goes by its entry's name.
    return "-".join(filter(None, [entry, label]))
