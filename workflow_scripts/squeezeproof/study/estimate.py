"""What a study will cost: the passes of its jobs and the bytes of its files, as they follow from its plan.

What an attack, an adversary or a compression costs, their entries declare. No torch is imported.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from squeezeproof.entries import registry
from squeezeproof.study.efficiency import int8_sets
from squeezeproof.study.entities import Model
from squeezeproof.study.external import is_given

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# Per example of an adversarial set beside its pixels: three int64 and one stage, three float32.
SET_ROW = 4 * 8 + 3 * 4


@dataclass(frozen=True)
class Size:
    """Of an architecture on a data set: multiply-accumulates per image, bytes of its tensors, bytes of its weights."""

    macs: float
    bytes: int
    weights: int


@dataclass(frozen=True)
class Job:
    """One job: its rule, its benchmark file below the study's, the kind of its architecture, image passes, MACs each.

    Of the passes backward those of a training, `to_weights`, have gradients for the weights besides. `rounding` is that
    of a quantized network's passes (Compression.rounding).
    """

    rule: str
    benchmark: str
    kind: str
    forwards: float
    backwards: float
    macs: float
    to_weights: float = 0
    rounding: str = ""

    @property
    def passes(self) -> float:
        """Equivalents of passes forward: a pass backward costs about one, and another one for the weights."""
        return self.forwards + self.backwards + self.to_weights

    @property
    def work(self) -> float:
        """Multiply-accumulates."""
        return self.passes * self.macs


@cache
def defaults() -> dict[str, Any]:
    """The committed start-up seconds and the factor of a GPU (estimate_defaults.yaml)."""
    return yaml.safe_load(Path(__file__).with_name("estimate_defaults.yaml").read_text())


def image_counts(study: "Study") -> dict[str, tuple[int, int, int]]:
    """Data set -> images of its train, validation and test split; those of an image folder are counted there."""
    kinds = registry.datasets()
    return {
        name: kinds[dataset.settings["kind"]].image_counts(dataset.settings) for name, dataset in study.datasets.items()
    }


def jobs(study: "Study", sizes: Mapping[tuple[str, str], Size]) -> Iterator[Job]:
    """Every Job of a study that passes images through a network.

    Args:
        study: the plan.
        sizes: (dataset, architecture entry) -> Size.
    """
    counts = image_counts(study)
    for dataset, name in study.evaluated_models:
        model = study.models[dataset, name]
        if not model.is_ensemble:
            rule = study.rule_of(model)
            macs = sizes[dataset, model.architecture].macs
            train, validation, _ = counts[dataset]
            of = training_passes(study, model)
            passes = of.forwards * train + of.epochs * validation, of.backwards * train
            path, kind = f"{rule}/{dataset}/{name}.tsv", _kind(study, model)
            yield Job(rule, path, kind, *passes, macs, of.to_weights * train, _rounding(study, model))
    for (dataset, source), attacks in study.sets.items():
        share = withstand(study, dataset, source)
        for attack in attacks:
            per_example = attack_passes(study.attacks[attack].settings, share)
            shards = study.datasets[dataset].shards
            passes = [value * counts[dataset][2] / shards for value in per_example]
            rule = "craft" if shards == 1 else "craft_shard"
            for shard in range(1, shards + 1):
                part = "" if shards == 1 else f".shard{shard}of{shards}"
                yield _job(study, sizes, rule, dataset, source, f"{source}/{attack}{part}", *passes)
    for dataset, source, attack in int8_sets(study):
        per_example = attack_passes(study.attacks[attack].settings, withstand(study, dataset, source))
        passes = [value * counts[dataset][2] for value in per_example]
        yield _job(study, sizes, "craft_int8", dataset, source, f"{source}/{attack}", *passes)
    for dataset, source, sweep in study.curves:
        share = withstand(study, dataset, source)
        points = (attack_passes(point.settings, share) for point in study.sweeps[sweep].attacks)
        per_example = map(sum, zip(*points, strict=True))
        passes = [value * counts[dataset][2] for value in per_example]
        yield _job(study, sizes, "sweep", dataset, source, f"{source}/{sweep}", *passes)
    for (dataset, target, source), attacks in study.pairs.items():
        passes = counts[dataset][2] * (1 + len(attacks))
        yield _job(study, sizes, "predict", dataset, target, f"{target}/{source}", passes, 0)


def _job(
    study: "Study",
    sizes: Mapping[tuple[str, str], Size],
    rule: str,
    dataset: str,
    name: str,
    path: str,
    forwards: float,
    backwards: float,
) -> Job:
    model = study.models[dataset, name]
    members = study.ensembles.get((dataset, name), [name])
    macs = sum(size_of(study, sizes, study.models[dataset, member])[0] for member in members)
    first = study.models[dataset, members[0]] if model.is_ensemble else model
    kind, rounding = _kind(study, first), _rounding(study, first)
    return Job(rule, f"{rule}/{dataset}/{path}.tsv", kind, forwards, backwards, macs, rounding=rounding)


def _kind(study: "Study", model: Model) -> str:
    return study.architecture_settings(model.architecture)["kind"]


def _rounding(study: "Study", model: Model) -> str:
    if model.is_base or model.is_control:
        return ""
    settings = study.compression_settings(model)
    return registry.compressions()[settings["method"]].rounding(settings)


def attack_passes(settings: dict[str, Any], withstand: float = 1) -> tuple[float, float]:
    """(forward, backward) passes per example (Attack.passes_of)."""
    return registry.attacks()[settings["method"]].passes_of(settings, withstand)


def withstand(study: "Study", dataset: str, source: str) -> float:
    """The share of the images that are assumed to withstand attacks on a model, as estimate_defaults.yaml has it."""
    model, assumed = study.models[dataset, source], defaults()["withstand"]
    if model.is_ensemble:
        return max(withstand(study, dataset, member) for member in study.ensembles[dataset, source])
    training, finetuning = study.training_settings(model.training), study.finetuning_of(model)
    # Nobody knows how weights were trained that come from a file.
    given = training["epochs"] == 0 or is_given(study.compressions.get(model.compression))
    met = training.get("adversary") or (finetuning and finetuning.get("adversary"))
    return assumed["trained_against" if met or given else "others"]


@dataclass(frozen=True)
class Training:
    """Passes of every training image while a model is trained or fine-tuned, named as those of a Job, and its epochs,
    after each of which the validation images pass forward once.
    """

    forwards: float = 0
    backwards: float = 0
    to_weights: float = 0
    epochs: float = 0


def training_passes(study: "Study", model: Model) -> Training:
    """The passes of a model's training or fine-tuning; none of one that is not trained."""
    if model.is_base:
        settings = study.training_settings(model.training)
        return _training(settings, settings["epochs"])
    settings, finetuning = study.compression_settings(model), study.finetuning_of(model)
    if finetuning is None:
        return Training()
    between = settings.get("step_epochs", 0) * (settings.get("steps", 1) - 1)
    return _training(finetuning, finetuning["epochs"] + between)


def _training(settings: dict[str, Any], epochs: float) -> Training:
    adversary = settings.get("adversary")
    if adversary is None or adversary.get("clean_weight") == 1:
        return Training(epochs, epochs, epochs, epochs)
    # The images that the adversary perturbs cost its steps, a clean share of the loss another pass.
    both = 2 if adversary.get("clean_weight") else 1
    forwards, backwards = registry.adversaries()[adversary["method"]].passes_of(adversary)
    return Training(epochs * (both + forwards), epochs * (both + backwards), epochs * both, epochs)


def size_of(study: "Study", sizes: Mapping[tuple[str, str], Size], model: Model) -> tuple[float, float]:
    """(MACs per image, bytes of the checkpoint's tensors) of a model: filters that go take their share of both."""
    size = sizes[model.dataset, model.architecture]
    if model.is_base:
        return size.macs, size.bytes
    if model.is_control:
        return size.macs, size.bytes
    settings = study.compression_settings(model)
    compression = registry.compressions()[settings["method"]]
    share = compression.kept(settings)
    # The masks of pruned weights are stored with a byte per weight.
    return size.macs * share, size.bytes * share + (size.weights if compression.masks_stored else 0)


def file_bytes(study: "Study", sizes: Mapping[tuple[str, str], Size]) -> dict[str, float]:
    """Kind of file -> bytes of its tensors: prepared splits, checkpoints, adversarial sets, predictions."""
    total: defaultdict[str, float] = defaultdict(int)
    counts = image_counts(study)
    for dataset in {name for name, _ in study.evaluated_models}:
        plan = study.datasets[dataset]
        total["prepared"] += sum(counts[dataset]) * (plan.channels * plan.size**2 + 8)
    for key in study.evaluated_models:
        if not study.models[key].is_ensemble:
            total["models"] += size_of(study, sizes, study.models[key])[1]
    for (dataset, _), attacks in study.sets.items():
        plan = study.datasets[dataset]
        pixels = plan.channels * plan.size**2
        for attack in attacks:
            wide = 1 if study.attacks[attack].settings["stored"] == "uint8" else 4
            total["adversarial"] += counts[dataset][2] * (wide * pixels + SET_ROW)
    for (dataset, _, _), attacks in study.pairs.items():
        total["predictions"] += counts[dataset][2] * 4 * (2 + len(attacks))
    return dict(total)
