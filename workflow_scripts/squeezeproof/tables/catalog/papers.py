"""Published numbers beside ours, and the layouts of the papers' tables."""

from squeezeproof.tables.columns import (
    DATASET,
    NOT_SUPPORTED,
    RUNS,
    WARNED,
    axes,
    interval,
    spread,
)
from squeezeproof.tables.table import (
    COUNT,
    LEVEL,
    NAMED_BY_STUDY,
    PERCENT,
    POINTS,
    TEXT,
    Column,
    Table,
)

PUBLISHED = Table(
    "published",
    "Published accuracies beside ours. Rows without a number of ours were not run.",
    (
        Column("table", TEXT, "The table or figure of the paper."),
        *(Column(name, TEXT, "As the paper's file has it.") for name in ("dataset", "architecture", "training")),
        Column("compression", TEXT, "As the file has it; `none` is the base model."),
        Column("ratio", LEVEL, "The ratio removed, or an integer type such as int8."),
        Column("attack", TEXT, "As the file has it; `none` are clean images."),
        Column("eps", COUNT, "The published budget.", unit="pixels in [0, 1]"),
        Column("published", PERCENT, "The published accuracy."), RUNS, *spread(PERCENT)[:2],
        *interval("the interval of our mean: Student's t over seeds with Wilson's over images.", PERCENT),
        *spread(PERCENT)[2:], Column("difference", POINTS, "Ours minus published."),
        Column(
            "agreement", TEXT, "`agrees`: the published value lies in our interval, which is at most 3 points wide to "
            "either side; `disagrees`: it does not; `too wide to tell`.",
        ),
    ),
)  # fmt: skip
IN_WORDS = Column("crafted on", TEXT, "`itself` is white-box, `its base` the base model of the same seed, or another.")
WIDE_MODELS = Table(
    "wide_models",
    "Accuracy by model and attack, mean over seeds: Tables 1 and 2 of Wang et al. (2018).",
    (
        DATASET, *axes(), IN_WORDS, RUNS, Column(NAMED_BY_STUDY, PERCENT, "Accuracy under the attack of that name."),
        WARNED, NOT_SUPPORTED,
    ),
    title="accuracy by model and attack",
    note="Accuracy in %.",
)  # fmt: skip
WIDE_ATTACKS = Table(
    "wide_attacks",
    "Accuracy by attack and level of one compression, mean over seeds: the tables of [vora2023], that of benign "
    "accuracy in the rows of the clean images.",
    (
        DATASET, *axes()[:2], axes()[5], IN_WORDS, Column("attack", TEXT, "The attack in words."), RUNS,
        Column("base", PERCENT, "Accuracy of the base model."),
        Column("control", PERCENT, "Accuracy of the base after the same further training, which the papers lack."),
        Column(NAMED_BY_STUDY, PERCENT, "Accuracy at the ratio or bit width of that name."),
        Column("max delta", POINTS, "The largest signed difference; `max_delta` has its honest counterpart."), WARNED,
        NOT_SUPPORTED,
    ),
    title="accuracy by attack and level",
    note="Accuracy in %; max delta is the largest signed difference compressed − base.",
)  # fmt: skip
WIDE_STAGES = Table(
    "wide_stages",
    "Robust accuracy after each attack of a suite, mean over seeds: Table 4.2 of Marshall (2020).",
    (
        DATASET, Column("attack", TEXT, "The suite in words."), *axes(),
        Column("kept", TEXT, "The fraction k of the thesis, which is not removed."), RUNS,
        Column("images", COUNT, "Test images of one seed."),
        Column("clean images", PERCENT, "Accuracy on clean images."),
        Column(NAMED_BY_STUDY, PERCENT, "Accuracy after the stage of that name."),
    ),
    title="accuracy after each attack of a sequence",
    note="Accuracy in %.",
)  # fmt: skip
