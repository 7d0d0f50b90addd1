"""White-box accuracy against rising eps, as a study declares it (Marshall 2020, Algorithm 2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from squeezeproof.entries.attack import eps_contradictions
from squeezeproof.entries.settings import suggest
from squeezeproof.study.entities import Model
from squeezeproof.study.instances import Instance, attack_at
from squeezeproof.study.parts import MODELS, Problems
from squeezeproof.study.selection import select, select_models


@dataclass(frozen=True)
class Sweep:
    """One attack entry at rising eps.

    Attributes:
        name: of the sweep.
        attacks: Instances in the order of their eps, with stop_on_success; their names start with the sweep's.
        stops: whether it ends once the accuracy is below chance.
    """

    name: str
    attacks: tuple[Instance, ...]
    stops: bool


def expand_sweeps(
    config: dict[str, Any],
    models: Sequence[Model],
    datasets: Sequence[str],
    values: int | None,
    problems: Problems,
) -> tuple[dict[str, Sweep], list[tuple[str, str, str]]]:
    """(name -> Sweep, (data set, model name, sweep name) of every curve).

    Args:
        config: the checked config, whose numbers remember how they were written.
        models: the Models of the plan, ensembles included.
        datasets: names of the data sets.
        values: numbers in their largest image, None where nobody knows.
        problems: what is wrong is appended here.
    """
    sweeps, curves = {}, []
    for name, settings in config["sweeps"].items():
        path, entry = f"sweeps.{name}", settings["attack"]
        if name in config["attacks"]:
            problems.append(f"{path}: attacks.{name} has that name, which its points would share; choose another")
        chosen = select(settings["datasets"], datasets, f"{path}.datasets", problems.of("datasets"))
        names = select_models(settings["models"], models, f"{path}.models", problems.of(*MODELS, "ensembles"))
        if entry not in config["attacks"]:
            told = f"{path}.attack: {entry!r} is no entry of attacks{suggest(entry, config['attacks'])}"
            problems.of("attacks").append(told)
            continue
        attack = config["attacks"][entry]
        if attack.get("targeted"):
            problems.append(f"{path}.attack: {entry} is targeted, which gives no robust accuracy; name another attack")
        levels = settings["eps"] or attack["eps"]
        problems += _eps_problems(path, levels, attack, values)
        points = tuple(attack_at(entry, {**attack, "stop_on_success": True}, eps, name) for eps in levels)
        sweeps[name] = Sweep(name, points, settings["stop"] == "chance")
        curves += [
            (model.dataset, model.name, name) for model in models if model.dataset in chosen and model.name in names
        ]
    return sweeps, curves


def _eps_problems(path: str, levels: Sequence[Any], attack: dict[str, Any], values: int | None) -> Iterator[str]:
    if None in levels:
        yield f"{path}.eps: missing, and the attack {attack['method']} has none of its own; write a rising list"
        return
    for eps in levels:
        yield from eps_contradictions(path, eps, attack["norm"], values)
    if sorted(levels) != levels:
        rising = ", ".join(eps.text for eps in sorted(levels))
        yield f"{path}.eps: {[eps.text for eps in levels]} does not rise; write [{rising}]"
