"""What the jobs of a rule read: the input functions of the rules, which know the plan and the wildcards of a job.

Wildcards are Snakemake's or anything else that has names as attributes and as keys. A method that takes them is an
input function by itself; one that takes the name of a wildcard returns one.
"""

from collections.abc import Callable
from typing import Any

from squeezeproof.study.efficiency import ENDINGS, exports, int8_attacked, int8_sets, timed_runs
from squeezeproof.study.external import is_given
from squeezeproof.study.instances import fitted_on_training_images, learns_first
from squeezeproof.study.paths import SHARD, Paths, prepared
from squeezeproof.study.plan import Model, Study

InputFunction = Callable[[Any], str | list[str]]


class Inputs:
    """The input functions of a study."""

    def __init__(self, study: Study, paths: Paths) -> None:
        self.study = study
        self.paths = paths

    # Models

    def planned(self, wildcards: Any, wildcard: str) -> Model:
        """The model of the plan that a wildcard names."""
        return self.study.model(wildcards.dataset, wildcards[wildcard])

    def split(self, name: str) -> InputFunction:
        """The prepared split of the job's data set."""
        return lambda wildcards: self._prepared(wildcards.dataset, name)

    def _prepared(self, dataset: str, split: str) -> str:
        return prepared(self.study.datasets[dataset].key(split), split)

    def model(self, wildcard: str) -> InputFunction:
        """The checkpoint of the model that a wildcard names."""
        return lambda wildcards: self.paths.model(wildcards.dataset, wildcards[wildcard])

    def support(self, wildcards: Any) -> str | list[str]:
        """What a network that may be any supports, which is found out first."""
        key = wildcards.dataset, self.planned(wildcards, "base").architecture
        return self.paths.support(*key) if key in self.study.checked_networks else []

    def parent(self, wildcards: Any) -> str:
        """The checkpoint that a compressed model is made from."""
        return self.paths.model(wildcards.dataset, self.study.parent(self.planned(wildcards, "variant")).name)

    def parent_name(self, dataset: str, name: str) -> str | None:
        """The model that a compressed model was made from, None for base models and ensembles."""
        model = self.study.model(dataset, name)
        return None if model.is_base or model.is_ensemble else self.study.parent(model).name

    def members(self, wildcards: Any) -> list[str]:
        """The checkpoints of an ensemble's members."""
        names = self.study.ensembles[wildcards.dataset, wildcards.ensemble]
        return [self.paths.model(wildcards.dataset, name) for name in names]

    # Adversarial sets and predictions

    def fitted(self, wildcards: Any) -> str | list[str]:
        """What the attack learnt from the source, where several jobs need it."""
        several = self.study.datasets[wildcards.dataset].shards > 1
        if not (several and learns_first(self.study.attacks[wildcards.attack])):
            return []
        return self.paths.fitted(wildcards.dataset, wildcards.source, wildcards.attack)

    def shards(self, wildcards: Any) -> list[str]:
        """The shards of an adversarial set, in order."""
        count = self.study.datasets[wildcards.dataset].shards
        names = [SHARD.format(attack=wildcards.attack, shard=shard, shards=count) for shard in range(1, count + 1)]
        return [self.paths.adversarial_set(wildcards.dataset, wildcards.source, name) for name in names]

    def training_images_of_attack(self, wildcards: Any) -> str | list[str]:
        """The training split where the attack is fitted on it."""
        return self.split("train")(wildcards) if self.study.fits_on_training_images(wildcards.attack) else []

    def training_images_of_sweep(self, wildcards: Any) -> str | list[str]:
        """The training split where the sweep's attack is fitted on it."""
        fitted = fitted_on_training_images(self.study.sweeps[wildcards.sweep].attacks[0])
        return self.split("train")(wildcards) if fitted else []

    def sets_of_pair(self, wildcards: Any) -> list[str]:
        """The adversarial sets of the source that the pair is scored on."""
        attacks = self.study.pairs[wildcards.dataset, wildcards.target, wildcards.source]
        return [self.paths.adversarial_set(wildcards.dataset, wildcards.source, attack) for attack in attacks]

    def attacks_on_source(self, wildcards: Any) -> list[str]:
        """The attacks of which the source has sets, by their names: their order in the config decides nothing."""
        return sorted(self.study.sets[wildcards.dataset, wildcards.source])

    def attacks_not_scored_on_source(self, wildcards: Any) -> list[str]:
        """Those of them that the source itself is not scored on."""
        scored = self.study.pairs.get((wildcards.dataset, wildcards.source, wildcards.source), [])
        return [attack for attack in self.attacks_on_source(wildcards) if attack not in scored]

    def sets_of_source(self, wildcards: Any) -> list[str]:
        """Every adversarial set of the source, in the order of `attacks_on_source`."""
        attacks = self.attacks_on_source(wildcards)
        return [self.paths.adversarial_set(wildcards.dataset, wildcards.source, attack) for attack in attacks]

    def set_of_features(self, wildcards: Any) -> str:
        """The adversarial set that an entry of `features` looks at."""
        attack = self.study.config["features"][wildcards.features]["attack"]
        return self.paths.adversarial_set(wildcards.dataset, wildcards.model, attack)

    def predictions_of_pair(self, wildcards: Any) -> list[str]:
        """Predictions of a compressed model and of its base, on what was crafted on either."""
        pair = [self.planned(wildcards, "model").base.name, wildcards.model]
        keys = [(wildcards.dataset, target, source) for target in pair for source in pair]
        return [self.paths.predictions(*key) for key in keys if key in self.study.pairs]

    def base_of_pair(self, wildcards: Any) -> str:
        """The checkpoint of the base of a compressed model."""
        return self.paths.model(wildcards.dataset, self.planned(wildcards, "model").base.name)

    def weights_of_base(self, wildcards: Any) -> list[str]:
        """The user's own weights that the base of a compressed model starts from, if any."""
        return [file for file in [self.files_of_pair(wildcards)["base"]] if file]

    def files_of_pair(self, wildcards: Any) -> dict[str, str | None]:
        """The user's own files that a compressed model (`compressed`) and its base (`base`) come from, if any."""
        model = self.planned(wildcards, "model")
        settings = self.study.architecture_settings(model.architecture)
        given = is_given(self.study.compressions.get(model.compression))
        own = self.study.file_of(model) if given else None
        return {"base": settings.get("checkpoint") or settings.get("pretrained"), "compressed": own}

    # Audit

    def evaluated_on_itself(self, wildcards: Any) -> str | list[str]:
        """The source's own predictions of its sets, where the study makes them."""
        key = wildcards.dataset, wildcards.source, wildcards.source
        return self.paths.predictions(*key) if key in self.study.pairs else []

    def findings(self) -> list[str]:
        """The findings on every data set, on every source and on every int8 model."""
        sources = [(*key, kind) for key in self.study.sets for kind in ("sets", "probe")]
        int8 = [(dataset, name, "int8") for dataset, name, end in exports(self.study) if end == ENDINGS["int8"]]
        int8 += [(*key, "int8_sets") for key in int8_attacked(self.study)]
        data = [self.paths.data_findings(dataset) for dataset in self.study.audited_datasets]
        return data + [self.paths.findings(*key) for key in [*sources, *int8]]

    def splits(self, split: str) -> list[str]:
        """A split of each of the data sets on which anything is attacked."""
        return [self._prepared(name, split) for name in self.study.audited_datasets]

    # Deployment

    def int8_itself(self) -> list[str]:
        """The predictions of every int8 model on what was crafted on it itself."""
        return [self.paths.int8_itself(*key) for key in int8_attacked(self.study)]

    def every_int8_set(self) -> list[str]:
        """Every adversarial set that is crafted on an int8 model itself."""
        return [self.paths.int8_set(*key) for key in int8_sets(self.study)]

    def int8_sets(self, wildcards: Any) -> list[str]:
        """Those of the int8 model of a source."""
        key = wildcards.dataset, wildcards.source
        return [self.paths.int8_set(*key, attack) for attack in self.study.int8_attacks]

    def timed_files(self, wildcards: Any) -> list[str]:
        """The file that each run is timed from."""
        endings = {"onnxruntime": ENDINGS["onnx"], "onnxruntime-int8": ENDINGS["int8"]}
        return [
            self.paths.export(wildcards.dataset, name, endings[backend])
            if endings.get(backend) in self.study.exports[wildcards.dataset, name]
            else self.paths.model(wildcards.dataset, name)
            for name, backend in timed_runs(self.study, wildcards.dataset)
        ]
