"""The pairs of source and target that a study's evaluations declare, and the attacks that are scored on each."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from squeezeproof.entries.expectation import expected_passes
from squeezeproof.study.entities import Model
from squeezeproof.study.parts import MODELS, Problems
from squeezeproof.study.selection import select, select_models

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# What source and target share, or differ in.
SAME = {"white-box": "name", "same-seed": "seed", "same-architecture": "architecture", "same-training": "training"}
OTHER = {"transfer": "name", "other-seed": "seed", "other-architecture": "architecture", "other-training": "training"}


def expand_pairs(study: "Study", problems: Problems, notices: list[str]) -> dict[tuple[str, str, str], list[str]]:
    """(dataset, target name, source name) -> names of the attack instances that are scored there.

    Args:
        study: what is known of it so far; of pairs, its config, data sets, attacks, compressions and models.
        problems, notices: what is wrong, and what a person should know of it, is appended here.
    """
    pairs, of_models = {}, problems.of(*MODELS, "ensembles")
    for name, evaluation in study.config["evaluations"].items():
        path = f"evaluations.{name}"
        datasets = select(evaluation["datasets"], list(study.datasets), f"{path}.datasets", problems.of("datasets"))
        attacks = select(evaluation["attacks"], list(study.attacks), f"{path}.attacks", problems.of("attacks"))
        models = list(study.models.values())
        sources = select_models(evaluation["sources"], models, f"{path}.sources", of_models)
        targets = select_models(evaluation["targets"], models, f"{path}.targets", of_models)
        crafted, left, found = {}, {}, []
        for source, target in chain.from_iterable(
            _meeting(models, evaluation["where"], dataset, sources, targets) for dataset in datasets
        ):
            if source not in crafted:
                crafted[source] = [name for name in attacks if study.can_craft(study.attacks[name], source)]
            made = crafted[source]
            if len(made) < len(attacks):
                left[source.name] = next(name for name in attacks if name not in made)
            if made:
                found.append((source, target))
                known = pairs.setdefault((source.dataset, target.name, source.name), [])
                known.extend(attack for attack in made if attack not in known)
        notices += [
            f"{path}: {source} is a file that gives no gradients; {attack} and the like are not crafted on it"
            for source, attack in left.items()
        ]
        if not found and datasets and attacks and sources and targets:
            without = f" with an attack that needs no gradients of {', '.join(left)}" * bool(left)
            problems.of(*MODELS, "ensembles", "attacks").append(
                f"{path}: no (source, target) pair meets where: {evaluation['where']}{without}"
            )
        problems.of("seeds", "variants").extend(_stopped_early(study, path, crafted, found))
    return pairs


def _stopped_early(
    study: "Study", path: str, crafted: Mapping[Model, Sequence[str]], pairs: Iterable[tuple[Model, Model]]
) -> list[str]:
    """A problem where examples that end at their success on a source, `crafted` on it, meet another target."""
    stopped = {name for name, attack in study.attacks.items() if attack.settings["stop_on_success"]}
    for source, target in pairs if stopped else ():
        if source != target and (name := next((name for name in crafted[source] if name in stopped), None)):
            return [
                f"{path}: {name} has stop_on_success: true, its examples end where they fool their source and say "
                "nothing about other models; write where: [white-box] here, or stop_on_success: false there"
            ]
    return []


def _meeting(
    models: Iterable[Model], where: Sequence[str], dataset: str, sources: Collection[str], targets: Collection[str]
) -> Iterator[tuple[Model, Model]]:
    """(source, target) of a data set's Models with names in two sets that meet the conditions of an evaluation."""
    shared = [SAME[condition] for condition in where if condition in SAME]
    differing = [OTHER[condition] for condition in where if condition in OTHER]
    present = [model for model in models if model.dataset == dataset]
    # Targets by what they share with a source: of thousands of models few pairs meet a condition.
    alike = {}
    for target in (model for model in present if model.name in targets):
        alike.setdefault(tuple(getattr(target, axis) for axis in shared), []).append(target)
    for source in (model for model in present if model.name in sources):
        for target in alike.get(tuple(getattr(source, axis) for axis in shared), ()):
            if all(getattr(source, axis) != getattr(target, axis) for axis in differing):
                yield source, target


def expectations(study: "Study") -> dict[tuple[str, str], int]:
    """(dataset, model name) -> passes of the model whose mean logits its attacks see, or where none is crafted on it,
    those scored on it; 1 unless each of them sees several."""
    met = {}
    for (dataset, target, _), attacks in study.pairs.items():
        met.setdefault((dataset, target), set()).update(attacks)
    return {
        key: expected_passes(study.attacks[attack].settings for attack in attacks)
        for key, attacks in {**met, **study.sets}.items()
    }
