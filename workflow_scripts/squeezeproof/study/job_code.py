"""Digests of the code that the jobs of a rule run: params of the rules, so that an edit reruns what it concerns.

Wildcards are those of `study/inputs.py`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from squeezeproof.study.code import module_digest
from squeezeproof.study.efficiency import timed_runs
from squeezeproof.study.plan import Study
from squeezeproof.study.uses import used_code


class JobCode:
    """The params functions of a study that tell what code a job runs."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def on(self, script: str, *names: str) -> Callable[[Any], str]:
        """That of a job which builds the models that some wildcards name."""
        return lambda wildcards: used_code(
            self.study, script, models=[(wildcards.dataset, wildcards[name]) for name in names]
        )

    def factory(self, settings: dict[str, Any]) -> str:
        """That of the user's module which makes a custom architecture of these settings; of nothing for another."""
        return module_digest(settings.get("factory", "").partition(":")[0], Path.cwd())

    def preparing(self, wildcards: Any) -> str:
        """That which reads a data set."""
        settings = self.study.prepared_dataset(wildcards.prepared).settings
        return used_code(self.study, "prepare.py", datasets=[settings])

    def checking(self, wildcards: Any) -> str:
        """That of the network which is tried, and of the user's module; a part of the code of its training."""
        base = self.study.checked_networks[wildcards.dataset, wildcards.architecture]
        used = used_code(self.study, "train.py", models=[(wildcards.dataset, base.name)])
        return used + self.factory(self.study.architecture_settings(wildcards.architecture))

    def training(self, wildcards: Any) -> str:
        """That of the training and, for a custom architecture, of the user's module."""
        base = self.study.model(wildcards.dataset, wildcards.base)
        trainings = [self.study.training_settings(base.training)]
        used = used_code(self.study, "train.py", models=[(wildcards.dataset, wildcards.base)], trainings=trainings)
        return used + self.factory(self.study.architecture_settings(base.architecture))

    def compressing(self, wildcards: Any) -> str:
        """That of the compression, of the network that it compresses and of the fine-tuning."""
        variant = self.study.model(wildcards.dataset, wildcards.variant)
        # A control is not compressed.
        compressions = [] if variant.is_control else [self.study.compression_settings(variant)]
        finetuning = self.study.finetuning_of(variant)
        return used_code(
            self.study,
            "compress.py",
            models=[(wildcards.dataset, wildcards.variant)],
            compressions=compressions,
            trainings=[] if finetuning is None else [finetuning],
        )

    def importing(self, wildcards: Any) -> str:
        """That which reads a model of the user's and, for a custom architecture, of the user's module."""
        settings = self.study.compression_settings(self.study.model(wildcards.dataset, wildcards.variant))
        models = [(wildcards.dataset, wildcards.variant)]
        used = used_code(self.study, "import_model.py", models=models, compressions=[settings])
        return used + self.factory(settings["architecture"] or {})

    def crafting(self, wildcards: Any, script: str = "craft.py") -> str:
        """That of the attack and of the network that it attacks."""
        attack = self.study.attacks[wildcards.attack].settings
        return used_code(self.study, script, models=[(wildcards.dataset, wildcards.source)], attacks=[attack])

    def crafting_on_file(self, wildcards: Any) -> str:
        """That of the attack on a file, which holds its network."""
        return used_code(self.study, "craft_int8.py", attacks=[self.study.attacks[wildcards.attack].settings])

    def crafting_again(self, wildcards: Any) -> dict[str, str]:
        """Attack -> that which crafts it, of every set of a source: what is kept of one set holds as long as this."""
        model = wildcards.dataset, wildcards.source
        attacks = {name: self.study.attacks[name].settings for name in sorted(self.study.sets[model])}
        return {
            name: used_code(self.study, "craft.py", models=[model], attacks=[settings])
            for name, settings in attacks.items()
        }

    def sweeping(self, wildcards: Any) -> str:
        """That of the sweep's attack and of the network that it attacks."""
        # A sweep goes on where an earlier one ended, so that one eps more is no other code.
        attacks = [{**attack.settings, "eps": None} for attack in self.study.sweeps[wildcards.sweep].attacks]
        return used_code(self.study, "sweep.py", models=[(wildcards.dataset, wildcards.source)], attacks=attacks)

    def timing(self, wildcards: Any) -> str:
        """That which times models, and that of their networks."""
        models = [(wildcards.dataset, name) for name, _ in timed_runs(self.study, wildcards.dataset)]
        return used_code(self.study, "measure_latency.py", models=models)
