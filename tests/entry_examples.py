"""The entries that a config can name, as the tests ask for them."""

from squeezeproof.entries import registry
from squeezeproof.entries.budget import with_budget

SECTIONS = {
    "datasets": registry.datasets(),
    "architectures": registry.architectures(),
    "compressions": registry.compressions(),
    "attacks": {name: with_budget(attack) for name, attack in registry.attacks().items()},
    "adversaries": registry.adversaries(),
}


def complete(section, name, **settings):
    """The settings of an entry: its defaults, and these."""
    entry = SECTIONS[section][name]
    unknown = settings.keys() - entry.names().keys()
    assert not unknown, f"{name} takes no {unknown}"
    return {**entry.defaults(), **settings}


def required(entry):
    """The keys that an entry must give."""
    return [key for key in entry.names() if key not in entry.defaults()]
