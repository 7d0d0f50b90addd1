"""What a study makes of its entries: variants, what is attacked, scored and looked at, and what is decided by."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from squeezeproof.entries.settings import (
    Distinct,
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

if TYPE_CHECKING:
    from squeezeproof.study.config import StudyConfig


ANY_MODEL = "The models that are {}, named as the sources of evaluations are."
Seed = Annotated[Whole, Field(ge=0, le=999_999)]


def patterns(description: str, default: str = "*") -> Any:
    """The field of a list of shell patterns."""
    return setting(description, [default], min_length=1)


Patterns = Several[Text]
DATASETS = "Names or shell patterns; a model is selected when one of them matches."


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


def _without_nulls(value: Any) -> Any:
    """As of other mappings, a null removes a name."""
    return {name: ours for name, ours in value.items() if ours is not None} if isinstance(value, dict) else value


NamesOfOurs = Annotated[dict[str, Text], BeforeValidator(_without_nulls)]
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
                if study.lacks(section, name):
                    yield f"{path}: {name!r} is no entry of {section}{suggest(name, known)}"
                elif section == "trainings" and detail and study.lacks("finetunings", detail):
                    yield f"{path}: {detail!r} is no entry of finetunings{suggest(detail, study.finetunings)}"
                elif section == "attacks" and detail and name in known:
                    entry = known[name]
                    stages = len(entry.parts(as_dict(entry))) if isinstance(entry, Sequence) else 0
                    if not detail.isdigit() or not 1 <= int(detail) <= stages:
                        yield f"{path}: {detail!r} is no stage of {name}, which has {stages}; write {name}/1, say"


class Statistics(Settings):
    """How the tables of comparisons and verdicts decide."""

    alpha: Real = setting(
        "Chance of any false difference that is allowed in a family, and that of any false equivalence: all "
        "comparisons of one kind on a data set under one attack method (docs/verdicts); intervals have the level "
        "1 - alpha.",
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
