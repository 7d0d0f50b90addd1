"""Tables of accuracy: on clean images, under attack, over seeds, against eps and through a suite."""

from squeezeproof.tables.columns import (
    BUDGET,
    CHECKS,
    CORRECT,
    DATASET,
    ENTRY,
    IMAGES,
    LOSS,
    MODEL_NAME,
    RUNS,
    SEED,
    SEED_RELATION,
    SOURCE,
    TARGETED,
    THREAT,
    WARNINGS,
    WILSON,
    accuracy,
    attack,
    axes,
    interval,
    spread,
)
from squeezeproof.tables.table import (
    COUNT,
    FLAG,
    NUMBER,
    SHARE,
    TEXT,
    Column,
    Table,
)

CLEAN_ACCURACY = Table(
    "clean_accuracy",
    "Accuracy of every model on the clean test images.",
    (DATASET, MODEL_NAME, *axes(), SEED, IMAGES, CORRECT, accuracy(), *interval(WILSON)),
)
ROBUST_ACCURACY = Table(
    "robust_accuracy",
    "Accuracy of every target on the adversarial images of every source, per attack and eps.",
    (
        DATASET, SOURCE, Column("target", TEXT, "The model that is scored, with its seed."), THREAT, *attack(), IMAGES,
        CORRECT, accuracy(), *interval(WILSON), WARNINGS,
    ),
)  # fmt: skip
OVER_SEEDS = Table(
    "over_seeds",
    "Accuracy over seeds, for the clean images (where the target is the source, too) and every attack.",
    (DATASET, *axes("source_"), *axes("target_"), THREAT, SEED_RELATION, *attack(), RUNS, *spread()),
)
TARGETED_ATTACKS = Table(
    "targeted",
    "How often the images of targeted attacks get the class that they were to reach. That is no robust accuracy: an "
    "image that gets a third class counts as one that resists. So these attacks are in no other table of accuracy, in "
    "no verdict and in no answer.",
    (
        DATASET, SOURCE, Column("target", TEXT, "The model that is scored, with its seed."), THREAT, *attack(),
        TARGETED,
        Column("n", COUNT, "Test images that are scored; those of the class to reach are not.", title="images"),
        Column("reached", COUNT, "Images that get the class that they were to reach.", printed=False),
        Column(
            "success_rate", SHARE, "Share of the images that get that class.",
            value=lambda rows: rows["reached"] / rows["n"],
        ),
        *interval(WILSON),
        Column("clean_rate", SHARE, "Share of the same images that get that class before the attack."),
        Column(
            "base_rate", SHARE, "The success rate on the base of a compressed model: on the same images, or, "
            "white-box, on those that were crafted on the base.",
        ),
        Column("warnings", TEXT, CHECKS, printed=False, marks="success_rate"),
    ),
)  # fmt: skip
SWEEPS = Table(
    "sweeps",
    "White-box accuracy of every model at rising eps, each attacked on the whole test split; eps 0 stands for the "
    "clean images.",
    (
        DATASET, Column("sweep", TEXT, "The study's entry of `sweeps`."), MODEL_NAME, *axes(), SEED,
        Column("method", TEXT, "The kind of attack.", printed=False), *BUDGET, IMAGES, CORRECT, accuracy(),
        *interval(WILSON), Column("chance", SHARE, "1 / classes."),
        Column("stopped", FLAG, "Whether the sweep ended here, because the accuracy was below chance."),
        Column("forwards_per_example", NUMBER, "Forward passes per image."),
        Column("backwards_per_example", NUMBER, "Backward passes per image."),
        Column("zero_gradients", SHARE, "Share of input gradients that were exactly zero."), WARNINGS,
    ),
)  # fmt: skip
STAGES = Table(
    "stages",
    "Robust accuracy of every source after each attack of a suite: an attack works on the images that those before "
    "it left standing, so the accuracy never rises down the rows of a suite.",
    (
        DATASET, SOURCE, Column("attack", TEXT, "The suite with its budget."), ENTRY,
        Column("suite", TEXT, "The kind of suite.", printed=False),
        Column("eps", NUMBER, "The suite's budget.", unit="pixels in [0, 1]", printed=False),
        Column("order", COUNT, "The place of the attack in the suite."), Column("method", TEXT, "The kind of attack."),
        LOSS,
        Column(
            "gradient", TEXT, "What stands for the slope of rounding, which quantized models alone have; empty where "
            "the attack follows no gradients.",
        ),
        Column("attacked", COUNT, "Images that were attacked."),
        Column("standing", COUNT, "Images that still get their true label."), IMAGES,
        Column("accuracy", SHARE, "Share of all images that stand.", value=lambda rows: rows["standing"] / rows["n"]),
    ),
)  # fmt: skip
