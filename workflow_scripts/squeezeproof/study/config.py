"""The config of a study: its sections, what they mean and which of their values do not go together.

What the entries of a section are, `squeezeproof.entries` declares.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from squeezeproof.entries import registry
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.compression import NONE
from squeezeproof.entries.settings import (
    Distinct,
    Flag,
    Positive,
    Real,
    Settings,
    Several,
    Text,
    Whole,
    as_dict,
    setting,
    suggest,
)
from squeezeproof.entries.suites import Sequence
from squeezeproof.entries.unions import NAME_FORM, named, one_of, one_of_attacks

ANY_MODEL = "The models that are {}, named as the sources of evaluations are."
Seed = Annotated[Whole, Field(ge=0, le=999_999)]


def patterns(description: str, default: str = "*") -> Any:
    """The field of a list of shell patterns."""
    return setting(description, [default], min_length=1)


Patterns = Several[Text]
DATASETS = "Names or shell patterns; a model is selected when one of them matches."


class Extension(Settings):
    """How long a training goes on after its epochs."""

    max_epochs: Whole = setting("Epochs in all at the most; 0 does not extend.", 0, ge=0, le=100_000)
    patience: Whole = setting("Epochs without a lower loss after which the training ends.", 1, ge=1, le=100_000)
    tolerance: Real = setting(
        "Share of the lowest loss so far by which it must fall to count as falling.", 0.001, ge=0, lt=1
    )


class TrainingSettings(Settings):
    """A fine-tuning has the same settings as a training and starts from the compressed model; pruning masks hold
    throughout.
    """

    epochs: Whole = setting("Passes over the training images; 0 keeps the weights as they are.", ge=0, le=100_000)
    batch_size: Whole = setting("Images per step; the last, smaller batch of an epoch is used too.", 128, ge=1)
    optimizer: Literal[tuple(registry.optimizers())] = setting("Optimizer.", "sgd")
    learning_rate: Positive = setting("Peak learning rate.", 0.05)
    weight_decay: Real = setting(
        "Weight decay (L2 term; decoupled for adamw), on weights of two or more dimensions only.", 0, ge=0
    )
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = setting(
        "Learning rate over the run, updated every step; step multiplies by `gamma` at each of `milestones`, one-cycle "
        "warms up linearly over the first 30 % and anneals by a cosine.",
        "constant",
    )
    milestones: Several[Annotated[Whole, Field(ge=1)]] = setting(
        "Epochs at which the step schedule multiplies by `gamma`.", []
    )
    gamma: Real = setting("Factor of the step schedule.", 0.1, gt=0, le=1)
    label_smoothing: Real = setting("Label smoothing of the cross-entropy.", 0, ge=0, lt=1)
    flip: Flag = setting("Flip images horizontally with probability 1/2.", False)
    crop: Whole = setting(
        "Pad by this many zero pixels on each side and crop at random to the old size.", 0, ge=0, le=64
    )
    rotation: Real = setting("Rotate by an angle drawn uniformly from [-rotation, rotation] degrees.", 0, ge=0, le=180)
    precision: Literal["float32", "bfloat16"] = setting(
        "Number format of the network's passes, those that craft adversarial examples included; bfloat16 uses autocast "
        "and is fast on a GPU or a CPU that has it. Weights and images stay float32.",
        "float32",
    )
    adversary: one_of(registry.adversaries(), by_name=True) | None = setting(
        "What crafts adversarial examples to train on: a mapping with `method` and its settings; null is "
        "standard training.",
        None,
    )
    extend: Extension = setting(
        "Train on after `epochs`, at the last learning rate, while the mean adversarial loss of an epoch falls: as "
        "long as the best of the last `patience` epochs is lower than all before by more than the share `tolerance`, "
        "up to `max_epochs` in all; max_epochs 0 does not extend.",
        {},
    )
    restarts_on_divergence: Whole = setting(
        "Times that a diverged training goes back to its last good epoch and on at `divergence_factor` of the learning "
        "rate, before it ends with an error.",
        0,
        ge=0,
        le=100,
    )
    divergence_factor: Real = setting("Factor of the learning rate at every such restart.", 0.1, gt=0, lt=1)

    def contradictions(self, path: str, study: "StudyConfig") -> Iterator[str]:
        """Every contradiction of settings that are each allowed."""
        yield from self._optimizer_contradictions(path)
        if self.milestones and self.schedule != "step":
            yield f"{path}.milestones: schedule: {self.schedule} has none; write schedule: step"
        if late := [milestone for milestone in self.milestones if milestone >= self.epochs]:
            yield f"{path}.milestones: {late[0]} never comes, the epochs end at {self.epochs}"
        if self.schedule == "step" and not self.milestones:
            yield f"{path}.schedule: step needs milestones, such as milestones: [{max(1, self.epochs // 2)}]"
        if self.adversary is not None:
            yield from self.adversary.contradictions(f"{path}.adversary", study)
        yield from self._extension_contradictions(path)

    def _optimizer_contradictions(self, path: str) -> Iterator[str]:
        known = registry.optimizers()
        own = known[self.optimizer].own()
        for name in {name: None for optimizer in known.values() for name in optimizer.own() if name not in own}:
            if getattr(self, name) != type(self).model_fields[name].default:
                owners = [label for label, optimizer in known.items() if name in optimizer.own()]
                yield f"{path}.{name}: {self.optimizer} has none; it belongs to {' and '.join(owners)}"
        yield from known[self.optimizer].training_contradictions(path, self)

    def _extension_contradictions(self, path: str) -> Iterator[str]:
        extend = self.extend
        if not extend.max_epochs:
            if extend.patience > 1:
                yield f"{path}.extend.patience: nothing is extended without max_epochs; write such as {2 * self.epochs}"
            return
        if not 0 < self.epochs < extend.max_epochs:
            yield (
                f"{path}.extend.max_epochs: {extend.max_epochs} in all, of which epochs: {self.epochs} come first; "
                f"write more than epochs, and epochs above 0"
            )
        if self.adversary is None or self.adversary.clean_weight == 1:
            yield f"{path}.extend: follows the adversarial loss, which needs an adversary with a clean_weight below 1"
        if self.schedule in ("cosine", "one-cycle"):
            yield f"{path}.extend: {self.schedule} ends at a learning rate near 0; write schedule: constant or step"


OF_OPTIMIZERS: dict[str, Any] = {
    name: (field.annotation, field)
    for optimizer in registry.optimizers().values()
    for name, field in optimizer.model_fields.items()
    if name != optimizer.key
}
Training = create_model("Training", __base__=TrainingSettings, __doc__=TrainingSettings.__doc__, **OF_OPTIMIZERS)


class Variants(Settings):
    """One selection of compressed models."""

    datasets: Patterns = patterns(DATASETS)
    architectures: Patterns = patterns(DATASETS)
    trainings: Patterns = patterns(DATASETS)
    compressions: Patterns = patterns(
        "Names or shell patterns of compressions with their ratio in per cent, such as weight-98."
    )
    finetunings: Patterns = patterns(
        "Names or shell patterns of fine-tunings; `none` must be named, `*` means every declared one."
    )


class Evaluation(Settings):
    """Which adversarial sets are scored on which models."""

    datasets: Patterns = patterns(DATASETS)
    sources: Patterns = patterns(
        "Models the examples are crafted on: `base` (every uncompressed model), `compressed`, or shell patterns over "
        "full names such as cnn3.standard.weight-98.standard.s0.",
        "base",
    )
    targets: Patterns = patterns("Models the examples are scored on, named as the sources are.")
    attacks: Patterns = patterns("Names or shell patterns of attacks with their budget, such as pgd-eps0.3.")
    where: Distinct[
        Literal[
            "white-box", "transfer", "same-seed", "other-seed",
            "same-architecture", "other-architecture", "same-training", "other-training",
        ]
    ] = setting(
        "Conditions that every (source, target) pair must meet: white-box keeps source = target, transfer keeps source "
        "!= target; same- and other-seed, -architecture and -training compare the two.",
        ["same-seed"],
    )  # fmt: skip


class Ensemble(Settings):
    """A model that averages others."""

    members: Patterns = setting(
        "Models without their seed, such as cnn3.pgd.none.none, or shell patterns over these names; the ensemble is "
        "called {name}.ensemble.none.none.s{seed}, and attacks and evaluations select it by that.",
        min_length=1,
    )


class Sweep(Settings):
    """White-box accuracy against rising eps."""

    attack: Text = setting(
        "An entry of `attacks`; it is run with stop_on_success, whatever the entry says. A minimum-norm attack is run "
        "once: an image falls at the eps that its nearest point is within."
    )
    eps: Distinct[Positive] = setting(
        "Rising radii in pixel units, each attacked on the whole test split; left out, the entry's own.", []
    )
    models: Patterns = patterns(ANY_MODEL.format("attacked"), "base")
    datasets: Patterns = patterns(DATASETS)
    stop: Literal["chance", "never"] = setting(
        "`chance` ends after the first eps at which the accuracy is below 1 / classes; `never` attacks at every eps.",
        "chance",
    )


class Features(Settings):
    """What layers say of images of one class."""

    class_: Text | Annotated[Whole, Field(ge=0)] = setting(
        "Name of the class as the data set has it, or its number from 0.", alias="class"
    )
    attack: Text = setting("An attack with its budget, such as pgd-eps0.1, that an evaluation crafts on the models.")
    models: Patterns = patterns(ANY_MODEL.format("looked into"), "base")
    datasets: Patterns = patterns(DATASETS)
    layers: Distinct[Text] = setting(
        "Names of layers, such as network.conv2; `auto` takes the last three convolutions and linear layers.",
        ["auto"],
        min_length=1,
    )
    images: Whole = setting(
        "Test images of the class, the first of the split; all where there are fewer.", 200, ge=2, le=100_000
    )
    maps: Literal["flatten", "mean"] = setting(
        "`flatten` takes every number of a feature map, `mean` the mean of every channel.", "flatten"
    )
    perplexity: Real = setting(
        "Effective number of neighbours of t-SNE; lowered to a third of the points where these are few.",
        30,
        ge=2,
        le=1000,
    )
    seed: Seed = setting("Seed of t-SNE.", 0)


NamesOfOurs = dict[str, Text]
THEIRS = "The file's names, each with the study's name for it."


class Published(Settings):
    """Published numbers."""

    table: Text = setting(
        "Path, from the working directory down, of a CSV file with the columns of studies/published/*.csv.",
        pattern=r"^(?!/)(?!(.*/)?\.\.(/|$))[A-Za-z0-9_.][A-Za-z0-9_./-]{0,200}$(?!\n)",
        json_schema_extra={
            "x-form": "a path of letters, digits, underscores, dots and hyphens that stays in the working directory"
        },
    )
    tables: Patterns = setting("Which of the paper's tables are compared (the column `table` of the file).", ["*"])
    threat: Literal["white-box", "base", "surrogate"] = setting(
        "Whose examples the published accuracies are of: `white-box` the model's own, `base` those of its uncompressed "
        "model, `surrogate` those of uncompressed models of other seeds.",
        "white-box",
    )
    eps_scale: Positive = setting(
        "Pixels per unit of the file's eps, such as 0.5 for one that is measured behind a normalisation by (0.5, 0.5).",
        1,
    )
    datasets: NamesOfOurs = setting(THEIRS, {})
    architectures: NamesOfOurs = setting(THEIRS, {})
    trainings: NamesOfOurs = setting(
        "The file's names, each with the study's training, or training/fine-tuning where there are several "
        "fine-tunings.",
        {},
    )
    compressions: NamesOfOurs = setting(THEIRS, {})
    attacks: NamesOfOurs = setting(
        "The file's names, each with the study's entry, or entry/2 for what stands after the second stage of a suite.",
        {},
    )

    def contradictions(self, study: "StudyConfig") -> Iterator[str]:
        """Names that the study has not."""
        for section in ("datasets", "architectures", "trainings", "compressions", "attacks"):
            known = getattr(study, section)
            for theirs, ours in getattr(self, section).items():
                name, _, detail = ours.partition("/") if section in ("trainings", "attacks") else (ours, "", "")
                path = f"published.{section}.{theirs}"
                if name not in known:
                    yield f"{path}: {name!r} is no entry of {section}{suggest(name, known)}"
                elif section == "trainings" and detail and detail not in study.finetunings:
                    yield f"{path}: {detail!r} is no entry of finetunings{suggest(detail, study.finetunings)}"
                elif section == "attacks" and detail:
                    entry = known[name]
                    stages = len(entry.parts(as_dict(entry))) if isinstance(entry, Sequence) else 0
                    if not detail.isdigit() or not 1 <= int(detail) <= stages:
                        yield f"{path}: {detail!r} is no stage of {name}, which has {stages}; write {name}/1, say"


class Statistics(Settings):
    """How the tables of comparisons and verdicts decide."""

    alpha: Real = setting(
        "Chance of any false verdict that is allowed in a family: all comparisons of one kind on a data set under one "
        "attack method (docs/verdicts); intervals have the level 1 - alpha.",
        0.05,
        ge=0.001,
        le=0.2,
    )
    margin: Real = setting(
        "Difference in accuracy between compressed and base model, in [0, 1], below which the study calls them "
        "equivalent.",
        0.02,
        gt=0,
        le=0.5,
    )


class Select(Settings):
    """What the smallest model that holds is."""

    tolerance: Real = setting(
        "Accuracy, in [0, 1], that the selected model may lose against its base.", 0.01, ge=0, le=0.5
    )
    attack: Text | None = setting(
        "The attack with its budget, such as pgd-eps0.3, that robust accuracy means there and in the Pareto figure; "
        "null takes the white-box attack with the lowest mean accuracy among those that attack the most models.",
        None,
    )


class Efficiency(Settings):
    """What is exported, measured in bytes and timed."""

    datasets: Patterns = patterns(DATASETS)
    models: Patterns = patterns(
        "Models that are deployed, among those the study evaluates; named as the sources of evaluations are."
    )
    formats: Distinct[Literal["onnx", "torch_export", "int8"]] = setting(
        "Files that every model is exported to under results/{study}/exports: `onnx`; `torch_export`, a .pt2 file; "
        "`int8`, ONNX with integer kernels, of quantizations with 8-bit weights and inputs alone; they are scored on "
        "every set that the simulated model is scored on (tables/deployed.csv).",
        ["onnx", "int8"],
        min_length=1,
    )
    backends: Distinct[Literal["eager", "onnxruntime"]] = setting(
        "What models are timed on: `eager` is PyTorch on the study's device, `onnxruntime` ONNX Runtime on the CPU. "
        "Quantized models are timed as int8 on ONNX Runtime, and not at all at other widths than 8 bits.",
        ["eager", "onnxruntime"],
        min_length=1,
    )
    threads: Distinct[Annotated[Whole, Field(ge=1, le=256)]] = setting(
        "Numbers of threads that every model is timed with.", [1], min_length=1
    )
    images: Whole = setting(
        "Test images that are timed, one by one in memory and as one batch loaded from the prepared file, the first of "
        "the split.",
        100,
        ge=1,
        le=100_000,
    )
    rounds: Whole = setting("Rounds in which every model has its turn, in alternating order.", 5, ge=1, le=1000)

    def contradictions(self, study: "StudyConfig") -> Iterator[str]:
        """Every contradiction of settings that are each allowed."""
        if "onnxruntime" in self.backends and "onnx" not in self.formats:
            yield "efficiency.backends: onnxruntime times the ONNX files; add onnx to formats, or leave onnxruntime out"
        for name, dataset in study.datasets.items():
            test = dataset.count("test")
            if test is not None and self.images > test:
                yield (
                    f"efficiency.images: {self.images} is more than the {test} test images of datasets.{name}; write "
                    f"at most {test}"
                )


class Audit(Settings):
    """How the evaluation itself is checked."""

    probe: Flag = setting(
        "Whether PGD is also run again on every source under other conditions (more steps, scaled logits), to tell "
        "where it fails by itself.",
        False,
    )
    images: Whole = setting(
        "Test images that a source is probed with, the first of the split, and that torchattacks attacks anew.",
        200,
        ge=1,
        le=1_000_000,
    )


class Compute(Settings):
    """The machine."""

    device: Literal["auto", "cpu", "cuda"] = setting(
        "`auto` takes a GPU where torch sees one; `cuda` requires one and asks Snakemake for the resource gpu=1.",
        "auto",
    )
    threads: Whole = setting(
        "Threads of every training, compression, crafting and evaluation job; results repeat bit for bit at the same "
        "number.",
        1,
        ge=1,
        le=256,
    )
    batch_size: Whole | None = setting(
        "Images per forward pass in crafting and evaluation; null takes 250 on a CPU, and on a GPU as many as its "
        "memory holds.",
        None,
        ge=1,
        le=65_536,
    )
    workers: bool = setting(
        "Fork the jobs that run on this machine's CPUs from a process that has imported torch once; with false each "
        "starts by itself. It changes no result. Jobs on GPUs, on clusters and in conda or containers start by "
        "themselves.",
        True,
    )


Datasets = named(one_of(registry.datasets()), "kind")
Architectures = named(one_of(registry.architectures()), "kind")
Compressions = named(one_of(registry.compressions()), "method")
Attacks = named(one_of_attacks(with_budget), "method")


class StudyConfig(Settings):
    """One file declares everything a study runs. Trainings, compressions, fine-tunings and attacks are named once;
    `variants` and `evaluations` select among the names by shell pattern.
    """

    study: Text = setting(
        "Name of the study; its results are written under results/{study}/.",
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}$(?!\n)",
        json_schema_extra={"x-form": NAME_FORM},
    )
    question: Text = setting(
        "The question the study answers, in a sentence; the report opens with it.",
        "Does compression change the robustness of these models to adversarial examples?",
    )
    seeds: Distinct[Seed] = setting("Seeds of the base models; every model is built once per seed.", [0], min_length=1)
    datasets: Datasets = setting(
        'Image data sets by name; `kind` may be left out where the name is itself a kind (see "Data sets").',
        min_length=1,
    )
    architectures: Architectures = setting(
        'Networks by name; `kind` may be left out where the name is itself a kind (see "Architectures").', min_length=1
    )
    allow_factories: Distinct[
        Annotated[
            Text,
            Field(
                pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,60}$(?!\n)", json_schema_extra={"x-form": "the name of a package"}
            ),
        ]
    ] = setting(
        "Installed packages whose functions may be the `factory` of a custom architecture; modules under the working "
        "directory always may, and Python's own never. Such code runs with your rights: name what you trust.",
        [],
    )
    trainings: named(Training) = setting(
        'Ways to train a base model from scratch, by name (see "Trainings and fine-tunings").', min_length=1
    )
    finetunings: named(Training) = setting(
        'Ways to train on after compression, by name; `none` always exists (see "Trainings and fine-tunings").', {}
    )
    compressions: Compressions = setting(
        'Ways to compress a base model, by name, each at one or more ratios (see "Compressions").', {}
    )
    variants: Several[Variants] = setting(
        "Which compressed models are built: the union of these selections. Left out, every base model gets every "
        "compression at every ratio with every fine-tuning.",
        [{}],
    )
    control: Flag = setting(
        "`true` trains for every fine-tuned model its control, the base with the same training after it and no "
        "compression, once per architecture, training, seed and fine-tuning, and compares with it too; `false` saves "
        "the time, and then no verdict says what the compression did.",
        True,
    )
    attacks: Attacks = setting(
        "Attacks by name, each at one or more budgets; `method` may be left out where the name is itself a method (see "
        '"Attacks").',
        min_length=1,
    )
    evaluations: named(Evaluation) = setting(
        "Which adversarial sets are scored on which models, by name; the union is run.", min_length=1
    )
    ensembles: named(Ensemble) = setting(
        "Models that average the class probabilities of others, by name; one is built per seed and data set.", {}
    )
    sweeps: named(Sweep) = setting(
        "White-box accuracy against rising eps (Marshall 2020, Algorithm 2), by name; tables/sweeps.csv has the "
        "results.",
        {},
    )
    features: named(Features) = setting(
        "What layers say of the clean and the adversarial images of one class, by name; drawn with t-SNE "
        "[vandermaaten2008].",
        {},
    )
    published: Published | None = setting("Published numbers that the results are set beside.", None)
    statistics: Statistics = setting("How the tables of comparisons and verdicts decide.", {})
    select: Select = setting(
        "What tables/selected.csv calls the smallest model that holds: per data set, architecture, training and "
        "compression, the one of the fewest packed bytes whose accuracy, mean over seeds, is within the tolerance of "
        "the base's.",
        {},
    )
    efficiency: Efficiency | None = setting(
        "Deployment: exports, sizes and latencies of models, in tables/efficiency.csv and tables/latency.csv; left "
        "out, nothing is exported or timed, {} takes the defaults.",
        None,
    )
    audit: Audit = setting("How the evaluation itself is checked; tables/audit.csv has the findings.", {})
    compute: Compute = setting("Settings of the machine that can change the last bits of a result.", {})

    def contradictions(self) -> Iterator[str]:
        """Every contradiction of settings that are each allowed; those of combinations of entries are the plan's."""
        for section in ("datasets", "architectures", "trainings", "finetunings", "compressions", "attacks"):
            entries = getattr(self, section)
            if NONE in entries and section in ("trainings", "finetunings", "compressions"):
                yield f"{section}.{NONE}: the name is taken (it means that nothing is done), choose another"
            for name, entry in entries.items():
                yield from entry.contradictions(f"{section}.{name}", self)
        if self.published is not None:
            yield from self.published.contradictions(self)
        if self.efficiency is not None:
            yield from self.efficiency.contradictions(self)
