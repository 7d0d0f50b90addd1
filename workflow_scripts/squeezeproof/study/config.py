"""The config of a study: its sections, what they mean and which of their values do not go together.

What the entries of a section are, `squeezeproof.entries` declares.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from squeezeproof.entries import registry
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.settings import (
    Distinct,
    Flag,
    Settings,
    Several,
    Text,
    Whole,
    setting,
)
from squeezeproof.entries.unions import NAME_FORM, named, one_of, one_of_attacks
from squeezeproof.study.evaluations import (
    DATASETS,
    Ensemble,
    Evaluation,
    Features,
    Patterns,
    Published,
    Seed,
    Select,
    Statistics,
    Sweep,
    Variants,
    patterns,
)
from squeezeproof.study.taken import TAKEN
from squeezeproof.study.trainings import Training


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
    attacks: Several[Text] = setting(
        "Attacks of the study, by names of their instances or shell patterns, that are crafted on every int8 model "
        "itself, which ONNX Runtime answers for: such as square and rays, which follow no gradients, as it has none. "
        "tables/deployed.csv and the story have the results.",
        [],
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
    tf32: bool = setting(
        "Let a GPU multiply with the 10 bits of TF32 where `precision` is float32: several times faster on wide "
        "networks, see [GPUs](run_on_a_cluster.md#gpus); logits differ from a CPU's from about the fourth digit on.",
        False,
    )
    jobs_per_gpu: Whole = setting(
        "Jobs that may share a GPU: a small network leaves most of a large one idle. It changes no result. Studies "
        "that run on one machine at a time should agree on it.",
        1,
        ge=1,
        le=64,
    )
    batch_size: Whole | None = setting(
        "Images per forward pass in crafting and evaluation; null takes 250 on a CPU, and on a GPU as many as its "
        "memory holds.",
        None,
        ge=1,
        le=65_536,
    )
    workers: bool = setting(
        "Fork the jobs that run on this machine from a process that has imported torch once; with false each starts "
        "by itself. It changes no result. Jobs on clusters, on AMD's GPUs and in conda or containers start by "
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
    doubts: Several[Text] = setting(
        "What is not known of the models or the images, a sentence each, such as how a file is to be read; the story, "
        "the report, the cards and the page on a pair repeat it beside their answers. `make check` writes what the "
        "images leave open.",
        [],
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

    # Sections that something was left out of, for it is not valid: see study.parts.
    _left_out: frozenset[str] = PrivateAttr(frozenset())

    def whole(self, section: str) -> bool:
        """Whether nothing of a section was left out: else a contradiction cannot say what is not among its entries."""
        return section not in self._left_out

    def lacks(self, section: str, name: str) -> bool:
        """Whether a section is known to have no entry of that name."""
        return self.whole(section) and name not in getattr(self, section)

    def contradictions(self) -> Iterator[str]:
        """Every contradiction of settings that are each allowed; those of combinations of entries are the plan's."""
        for section in ("datasets", "architectures", "trainings", "finetunings", "compressions", "attacks"):
            entries = getattr(self, section)
            for name, meaning in TAKEN.get(section, {}).items():
                if name in entries:
                    yield f"{section}.{name}: the name is taken ({meaning}), choose another"
            for name, entry in entries.items():
                yield from entry.contradictions(f"{section}.{name}", self)
        if self.published is not None:
            yield from self.published.contradictions(self)
        if self.efficiency is not None:
            yield from self.efficiency.contradictions(self)
