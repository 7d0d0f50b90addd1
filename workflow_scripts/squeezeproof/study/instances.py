"""Entries of compressions and attacks, expanded over their list of levels."""

from squeezeproof.entries import registry
from squeezeproof.study.entities import Instance, plain


def _percent(ratio):
    return f"{100 * ratio:.10g}".replace(".", "p")


def _eps(eps):
    return "" if eps is None else f"eps{eps.text.replace('/', 'of')}"


def _level(section, settings):
    """(the setting whose list an entry is expanded over, how a value of it is written in names)."""
    if section == "attacks":
        return "eps", _eps
    level = registry.compressions()[settings["method"]].level
    return level, _percent if level == "ratio" else str


def expand(entries, section, problems):
    """Instance name -> Instance of every entry at every level; two entries that give one name are a problem."""
    instances = {}
    for entry, settings in entries.items():
        level, label = _level(section, settings)
        for value in settings[level]:
            name = named(entry, label(value))
            if name in instances:
                problems.append(
                    f"{section}.{entry}: {level} {getattr(value, 'text', value)} gives the name {name}, which "
                    f"{section}.{instances[name].entry} gives too; rename one or remove the repetition"
                )
            instances[name] = Instance(name, entry, plain({**settings, level: value}))
    return instances


def attack_at(entry, settings, eps, name=None):
    """The Instance of an attack entry at one eps, a Number or None; its name starts with `name`, if given."""
    return Instance(named(name or entry, _eps(eps)), entry, plain({**settings, "eps": eps}))


def fitted_on_training_images(attack):
    """Whether the Instance of an attack learns from the training split before it attacks the test split."""
    return registry.attacks()[attack.settings["method"]].trains_on_images


def named(entry, label):
    # A minimum-norm attack without a budget goes by its entry's name.
    return "-".join(filter(None, [entry, label]))
