"""The plan of a study: which data sets, models, adversarial sets and (source, target) pairs its config declares.

Everything that names a file is computed here, once, from a checked config, with the standard library only: the
Snakefile imports this module, and torch never loads there.
"""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from squeezeproof.entries import registry
from squeezeproof.entries.attack import most_values
from squeezeproof.entries.compression import CONTROL, NONE
from squeezeproof.entries.settings import as_dict
from squeezeproof.study.combinations import (
    after_contradictions,
    dataset_notices,
    random_weights_notices,
    seed_notices,
    variant_contradictions,
)
from squeezeproof.study.controls import control_pairs, expand_controls, with_schedules
from squeezeproof.study.efficiency import expand_efficiency, expand_int8_attacks, selection_contradictions
from squeezeproof.study.ensembles import expand_ensembles
from squeezeproof.study.entities import Dataset, Instance, Model, plain
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.external import external_contradictions, file_of, gives_gradients, is_given
from squeezeproof.study.features import expand_features
from squeezeproof.study.instances import expand, fitted_on_training_images, needs_gradients
from squeezeproof.study.pairs import expand_pairs, expectations
from squeezeproof.study.parts import MODELS, valid_parts
from squeezeproof.study.renamed import with_new_keys
from squeezeproof.study.sweeps import expand_sweeps
from squeezeproof.study.targeted import is_targeted, target_contradictions
from squeezeproof.study.variants import expand_models

if TYPE_CHECKING:
    from squeezeproof.types import Described

FLOAT_BITS = 32


class Study:
    """A checked config, expanded. Raises ConfigError with every problem at once.

    Attributes:
        notices: what a person should change in the config, one text each; it works as it is.
        name, question, seeds, compute, published: as in the config.
        datasets: name -> Dataset.
        compressions, attacks: instance name -> Instance.
        models: (dataset, model name) -> Model, every model the config declares, and the controls.
        controls: control Model -> its Schedules.
        references: compressed Model -> its control, or its base where it trained no longer.
        ensembles: (dataset, ensemble's name) -> names of its members.
        pairs: (dataset, target name, source name) -> attack instance names scored there.
        sets: (dataset, source name) -> attack instance names crafted there.
        sweeps, curves: name -> Sweep, and (dataset, model name, sweep name) of every model swept.
        features: (dataset, model name, name of the entry of `features`) of every model looked into.
        exports: (dataset, model name) -> endings of the files it is deployed as; empty without `efficiency`.
        int8_attacks: attack instance names crafted on every int8 model itself.
    """

    def __init__(self, config: Any) -> None:
        config, self.notices = with_new_keys(config)
        typed, problems = valid_parts(config)
        checked = as_dict(typed)
        self.config = plain(checked)
        self.name = self.config["study"]
        self.question = self.config["question"]
        self.seeds = self.config["seeds"]
        self.compute = self.config["compute"]
        self.published = self.config["published"]
        self.datasets = {
            name: _dataset(name, typed.datasets[name], settings) for name, settings in self.config["datasets"].items()
        }
        self.notices += [*seed_notices(config), *random_weights_notices(typed), *dataset_notices(typed, self.datasets)]
        self.compressions = expand(checked["compressions"], "compressions", problems)
        self.attacks = expand(checked["attacks"], "attacks", problems)
        problems += typed.contradictions()
        problems.of("compressions", "finetunings").extend(after_contradictions(self.config, self.compressions))
        self.models = expand_models(self, problems)
        found = variant_contradictions(typed, self.models.values(), self.compressions)
        problems.of("variants").extend(dict.fromkeys(found))
        problems.of(*MODELS).extend(external_contradictions(self.models.values(), self.compressions))
        ensembles = expand_ensembles(self.config, list(self.models.values()), problems)
        self.models |= {(model.dataset, model.name): model for model in ensembles}
        self.ensembles = {(model.dataset, model.name): members for model, members in ensembles.items()}
        problems.of("variants").extend(
            f"ensembles.{ensemble.architecture}.members: {member} is a file, which gives no gradients; leave it out"
            for ensemble, members in ensembles.items()
            for member in members
            if not self.gives_gradients(self.models[ensemble.dataset, member])
        )
        self.pairs = expand_pairs(self, problems, self.notices)
        # No pattern of the config means a control.
        models, datasets = list(self.models.values()), list(self.datasets)
        self.controls, self.references = expand_controls(self, problems)
        if not self.config["control"]:
            self.controls = {}
            self.references = {model: control for model, control in self.references.items() if control.is_base}
        self.pairs |= control_pairs(self.pairs, self.models, self.references)
        self.models |= {(control.dataset, control.name): control for control in self.controls}
        self.sets = {}
        for (dataset, _, source), attacks in self.pairs.items():
            known = self.sets.setdefault((dataset, source), [])
            known.extend(attack for attack in attacks if attack not in known)
        self.sweeps, curves = expand_sweeps(checked, models, datasets, most_values(typed), problems)
        self.curves = [
            (dataset, name, sweep)
            for dataset, name, sweep in curves
            if self.can_craft(self.sweeps[sweep].attacks[0], self.models[dataset, name])
        ]
        seen = [model for model in models if self.gives_gradients(model)]
        self.features = expand_features(self.config, seen, typed.datasets, list(self.attacks), self.sets, problems)
        self.exports = expand_efficiency(self.config, models, self.evaluated_models, self.compressions, problems)
        self.int8_attacks = expand_int8_attacks(self, problems)
        problems.of("attacks").extend(selection_contradictions(self.config["select"], self.attacks))
        target_contradictions(self, typed.datasets, problems)
        if problems:
            raise ConfigError(problems)

    def prepared_dataset(self, key: str) -> Dataset:
        """The data set whose training or test images lie in the directory of that name under data/prepared."""
        return next(data for data in self.datasets.values() if key in (data.key("train"), data.key("test")))

    def model(self, dataset: str, name: str) -> Model:
        """The Model of that name; KeyError when the plan has none."""
        return self.models[dataset, name]

    def parent(self, model: Model) -> Model:
        """The Model that a compressed one is made from: its base, or the pruned one that a quantization comes after.

        That of a control is its base, or the control of one fine-tuning less.
        """
        if model.is_control:
            return with_schedules(model.base, self.controls[model][:-1])
        settings = self.compression_settings(model)
        compression, _, finetuning = (settings.get("after") or "").partition(".")
        pruning = self.compressions.get(compression)
        # What does not hold is a problem that the config is refused for.
        if pruning is None or "bits" in pruning.settings or finetuning not in (NONE, *self.config["finetunings"]):
            return model.base
        return replace(model, compression=compression, finetuning=finetuning)

    def compression_settings(self, model: Model) -> dict[str, Any]:
        """What the job that makes a compressed Model, or a control, is told of it."""
        return self.controls[model][-1].settings if model.is_control else self.compressions[model.compression].settings

    def rule_of(self, model: Model) -> str:
        """The rule that makes a Model."""
        if model.is_ensemble:
            return "build_ensemble"
        if model.is_base:
            return "train"
        return "import_model" if is_given(self.compressions.get(model.compression)) else "compress"

    def gives_gradients(self, model: Model) -> bool:
        """Whether attacks can follow the gradients of a Model."""
        return gives_gradients(model, self.compressions)

    def can_craft(self, attack: Instance, model: Model) -> bool:
        """Whether the Instance of an attack can be made on a Model."""
        return self.gives_gradients(model) or not needs_gradients(attack)

    def file_of(self, model: Model) -> str:
        """The path of the user's file that an external Model comes from."""
        return file_of(model, self.compression_settings(model))

    def architectures_of(self, dataset: str, name: str) -> list[dict[str, Any]]:
        """The settings of the networks of a model: its own, or those of an ensemble's members."""
        members = [self.models[dataset, member] for member in self.ensembles.get((dataset, name), [name])]
        own = [{} if model.is_base else self.compression_settings(model) for model in members]
        return [
            settings.get("architecture") or self.architecture_settings(model.architecture)
            for model, settings in zip(members, own, strict=True)
        ]

    def describe(self, dataset: str, name: str) -> "Described":
        """What the tables say of a model: names, axes, the compression's entry, ratio and weight bits, its base.

        `control` is the name of its control, the base's where it trained no longer, and empty where there is none.
        """
        model = self.models[dataset, name]
        compression = self.compressions.get(model.compression)
        settings = compression.settings if compression else {}
        bits = settings.get("bits", FLOAT_BITS)
        return {
            "dataset": dataset,
            "name": name,
            "variant": model.variant,
            "architecture": model.architecture,
            "training": model.training,
            "compression": compression.entry if compression else CONTROL if model.is_control else NONE,
            "ratio": self._removed(model),
            "bits": bits,
            "finetuning": model.finetuning,
            "seed": model.seed,
            "base": model.base.name,
            "control": self.references[model].name if model in self.references else "",
        }

    def _removed(self, model: Model) -> float:
        """The ratio that the compression of a Model removes, or the pruning that its quantization comes after."""
        compression = self.compressions.get(model.compression)
        if compression is None or "ratio" in compression.settings:
            return compression.settings["ratio"] if compression else 0.0
        return self._removed(self.parent(model))

    def fits_on_training_images(self, attack: str) -> bool:
        """Whether an attack instance is fitted on the training split before it attacks the test split."""
        return fitted_on_training_images(self.attacks[attack])

    def architecture_settings(self, name: str) -> dict[str, Any]:
        return self.config["architectures"][name]

    def training_settings(self, name: str) -> dict[str, Any]:
        return self.config["trainings"][name]

    def finetuning_settings(self, name: str) -> dict[str, Any] | None:
        """Settings of a fine-tuning, None for `none`."""
        return None if name == NONE else self.config["finetunings"][name]

    def finetuning_of(self, model: Model) -> dict[str, Any] | None:
        """Settings of the fine-tuning of a compressed Model or a control, None where it has none."""
        return self.finetuning_settings(self.controls[model][-1].finetuning if model.is_control else model.finetuning)

    @cached_property
    def evaluated_models(self) -> list[tuple[str, str]]:
        """(dataset, model name) of every model that a pair or a sweep needs, in plan order: also members and bases."""
        needed = {(dataset, name) for dataset, *pair in self.pairs for name in pair}
        needed |= {(dataset, name) for dataset, name, _ in self.curves}
        needed |= {(key[0], name) for key in needed & self.ensembles.keys() for name in self.ensembles[key]}
        needed |= {(dataset, self.models[dataset, name].base.name) for dataset, name in needed}
        return [key for key in self.models if key in needed]

    @cached_property
    def made_models(self) -> list[Model]:
        """Every Model that a study makes, in plan order: what is used anywhere, and what that is made from."""
        pending = [*self.evaluated_models, *self.sets, *(key[:2] for key in self.features), *self.exports]
        made = set()
        while pending:
            key = pending.pop()
            if key not in made:
                made.add(key)
                model = self.models[key]
                members = [(model.dataset, member) for member in self.ensembles.get(key, ())]
                parents = [] if model.is_base else [(model.dataset, self.parent(model).name)]
                pending += [*members, *parents]
        return [model for key, model in self.models.items() if key in made]

    @cached_property
    def expectations(self) -> dict[tuple[str, str], int]:
        """(dataset, model name) -> passes whose mean logits are scored, of a model whose passes differ."""
        return expectations(self)

    @cached_property
    def checked_networks(self) -> dict[tuple[str, str], Model]:
        """(data set, architecture) -> the first base model of it, where what it supports is found out first."""
        found = {}
        for model in self.made_models:
            settings = self.config["architectures"].get(model.architecture)
            if model.is_base and settings and registry.architectures()[settings["kind"]].checked_first:
                found.setdefault((model.dataset, model.architecture), model)
        return found

    @cached_property
    def audited_datasets(self) -> list[str]:
        """Data sets on which anything is attacked."""
        return list(dict.fromkeys(dataset for dataset, *_ in [*self.sets, *self.curves]))

    @cached_property
    def probed_attack(self) -> dict[str, Any] | None:
        """Settings of the study's first attack that the audit's probe runs again, None where it has none."""
        found = (attack.settings for attack in self.attacks.values() if not is_targeted(attack))
        return next((settings for settings in found if registry.attacks()[settings["method"]].probed), None)

    @cached_property
    def transfers(self) -> dict[tuple[str, str, str], list[str]]:
        """(dataset, source without its seed, attack entry) -> names of the entry's attacks scored on other models.

        Only where they are at two eps or more, which they are in the order of.
        """
        found = {}
        for (dataset, target, source), attacks in self.pairs.items():
            for attack in (self.attacks[name] for name in attacks if target != source):
                key = (dataset, self.models[dataset, source].variant, attack.entry)
                if attack.settings["eps"] is not None and not is_targeted(attack):
                    found.setdefault(key, {})[attack.name] = attack.settings["eps"]
        return {key: sorted(levels, key=levels.get) for key, levels in found.items() if len(levels) > 1}


def _dataset(name: str, typed: Any, settings: dict[str, Any]) -> Dataset:
    return Dataset(
        name=name,
        settings={key: value for key, value in settings.items() if key != "shards"},
        channels=typed.channels_of_images(),
        size=typed.side(),
        shards=settings["shards"],
        test_images=typed.count("test"),
    )
