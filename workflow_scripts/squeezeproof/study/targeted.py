"""Targeted attacks of a study: they are to reach a class, which is no robust accuracy and has a table of its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from squeezeproof.entries.attack import DRAWN_TARGETS
from squeezeproof.entries.settings import suggest
from squeezeproof.study.entities import Instance
from squeezeproof.study.parts import Problems

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study


def is_targeted(attack: Instance) -> bool:
    """Whether the Instance of an attack is to reach a class, and not just to leave the label."""
    return bool(attack.settings.get("targeted"))


def targeted_sets(study: "Study") -> list[tuple[str, str, str]]:
    """(data set, source, attack) of every adversarial set of a targeted attack."""
    named = {name for name, attack in study.attacks.items() if is_targeted(attack)}
    return [(*key, attack) for key, attacks in study.sets.items() for attack in attacks if attack in named]


def target_contradictions(study: "Study", datasets: Mapping[str, Any], problems: Problems) -> None:
    """Add what does not go together with targeted attacks.

    Args:
        study: what is known of it so far; of targets, its config, attacks and sets.
        datasets: the data sets as the config has them, by name.
        problems: what is wrong is appended here, each once.
    """
    attacks, select = study.attacks, study.config["select"]["attack"]
    if attacks and all(map(is_targeted, attacks.values())):
        problems.of("attacks").append(
            "attacks: every one is targeted, and of those there is no robust accuracy; add one without targeted"
        )
    if select in attacks and is_targeted(attacks[select]):
        problems.append(f"select.attack: {select} is targeted, which gives no robust accuracy; name another attack")
    pairs = dict.fromkeys((dataset, name) for (dataset, _), names in study.sets.items() for name in names)
    found = {}
    for dataset, attack in ((dataset, attacks[name]) for dataset, name in pairs):
        wanted, classes = attack.settings.get("targeted"), datasets[dataset].class_names()
        if wanted and classes and wanted not in [*DRAWN_TARGETS, *classes]:
            known = suggest(wanted, [*DRAWN_TARGETS, *classes])
            found[f"attacks.{attack.entry}.targeted: {wanted!r} is no class of datasets.{dataset}{known}"] = None
    problems.of("variants").extend(found)
