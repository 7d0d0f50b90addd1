"""Tables of compressed models beside their bases and controls, and what they come to."""

from squeezeproof.tables.columns import (
    ABOUT,
    ACHIEVED,
    AGAINST,
    AT_ONCE,
    BUDGET,
    COMPARISON,
    DATASET,
    DIFFERENCE,
    FAMILY,
    IMAGES,
    MEAN_SQUARE,
    OF_VERDICTS,
    REFERENCE,
    RUNS,
    SEED,
    SEED_RELATION,
    SEEDS,
    SOURCE,
    STD,
    TANGO,
    WARNED,
    accuracy,
    attack,
    axes,
    change,
    interval,
)
from squeezeproof.tables.table import (
    COUNT,
    FLAG,
    GAIN,
    P_VALUE,
    REMOVED,
    SHARE,
    SIZE,
    TEXT,
    Column,
    Table,
)

CHOSEN = "which covers although the level was chosen by its result (Bonferroni)"
COMPARED = (
    DATASET, Column("target", TEXT, "The compressed model, with its seed."), AGAINST, REFERENCE, SOURCE, COMPARISON,
    *attack(), SEED,
)  # fmt: skip
CELL = (
    COMPARISON, Column("source", TEXT, "The attacked model without its seed, or `itself`: each was attacked itself."),
    *axes("source_", printed=False), SEED_RELATION, *attack(),
)  # fmt: skip
COMPARISONS = Table(
    "comparisons",
    "Every compressed model beside its base and its control, image by image. Holm's correction runs over all rows of a "
    "`family`.",
    (
        *COMPARED, IMAGES,
        Column("both_right", COUNT, "Images that both models get right."),
        Column("only_reference_right", COUNT, "Images that only the reference gets right."),
        Column("only_compressed_right", COUNT, "Images that only the compressed model gets right."),
        Column("both_wrong", COUNT, "Images that neither gets right."), DIFFERENCE, *interval(TANGO),
        Column("p_mcnemar", P_VALUE, "Two-sided exact McNemar test.", printed=False), *FAMILY,
        Column("p_holm", P_VALUE, "The same after Holm's correction over the family."),
    ),
)  # fmt: skip
VERDICTS = Table(
    "verdicts",
    "What the data allow to say of every compressed model, seeds together. Each comparison has a verdict about these "
    "very models, for which the images are the sample, and, with two seeds or more, one about trainings, for which the "
    "seed is the unit. A difference is shown where its P value is below the study's `alpha` after Holm's correction "
    "over the `family`. Equivalent: two one-sided tests place it inside the study's `margin`, for the mean of "
    "trainings or for every one of these models. Neither: no difference shown, which is no evidence of equality. "
    "Images that were crafted on another model prove nothing in favour of a model: there they transfer worse. Nor does "
    "a search that no gradients of the model led, or that the audit calls weak, or where one of the two is broken: it "
    "found less.",
    (
        DATASET, *axes(), AGAINST, *CELL, ABOUT,
        Column(
            "verdict", TEXT, "More robust, less robust, equivalent, transfers worse, found less, no difference shown.",
        ),
        DIFFERENCE, *interval(OF_VERDICTS), SEEDS, RUNS, IMAGES, STD, MEAN_SQUARE,
        Column("detectable", SHARE, "The smallest difference that could have been shown."),
        Column("p_difference", P_VALUE, "Test of no difference.", printed=False),
        Column("p_equivalence", P_VALUE, "The two one-sided tests; of these models the largest.", printed=False),
        *FAMILY,
        Column("p_difference_holm", P_VALUE, "The test of no difference after Holm's correction."),
        Column("p_equivalence_holm", P_VALUE, "The two one-sided tests after Holm's correction."),
        Column("favours", TEXT, "The model for which the images were not made, where they were made for the other."),
        Column("isolates_compression", FLAG, "Whether compression is all that tells the two models apart."),
        Column("clean_difference", GAIN, "The difference on the same images before the attack."),
        Column("both_right", SHARE, "Share of the images that both models then classify rightly."),
        Column("difference_both_right", GAIN, "The difference under attack on those."),
        Column(
            "explained_by", TEXT, "Where most of the difference comes from: `robustness`, from those images, or `clean "
            "accuracy`, from the others.",
        ),
        Column("sentence", TEXT, "The row in words.", printed=False),
    ),
)  # fmt: skip
EFFECTS = Table(
    "effects",
    "What the further training did and what compression did to the accuracy under attack, seeds together, all on the "
    "same images: the total is their sum. Models without a control have no row: of one that trained no longer than its "
    "base, compression did it all; of others nothing tells the two apart.",
    (
        DATASET, *axes(), *CELL, ABOUT,
        *change("total", "Compressed minus base accuracy."), *change("by_training", "Control minus base accuracy."),
        *change("by_compression", "Compressed minus control accuracy."),
        SEEDS, IMAGES,
    ),
)  # fmt: skip
ANSWERS = Table(
    "answers",
    "What to do with every compressed model, seeds together, by the rule of docs/answers.md, of each kind of verdict. "
    "Accuracy under attack is that under `attack`, which leaves the model least of those that attack it itself and "
    "leave its base something to lose.",
    (
        DATASET, *axes(), ABOUT, Column("answer", TEXT, "Keep, keep with care, do not ship, or cannot tell."),
        Column("reasons", TEXT, "What decided it."), Column("changes", TEXT, "What would change it."),
        Column("threat", TEXT, "The attacks under which a loss would have been seen."),
        Column("clean_accuracy", SHARE, "Accuracy on clean images."),
        *interval("its interval: Student's t over seeds with Wilson's over images.", SHARE, "clean_low",
                  "clean_high", "clean, interval"),
        Column("base_clean_accuracy", SHARE, "The base's."),
        *change("clean_difference", "Compressed minus base accuracy on clean images.", AT_ONCE),
        Column("attack", TEXT, "The attack that leaves the model least, of those."),
        Column("crafted_on", TEXT, "`itself`, or the model that its images were made for."),
        Column("robust_accuracy", SHARE, "Accuracy under that attack."),
        *interval("its interval.", SHARE, "robust_low", "robust_high", "robust, interval"),
        Column("base_robust_accuracy", SHARE, "The base's."),
        Column("least_attack", TEXT, "The attack that leaves the model least, whatever it leaves its base."),
        Column("least_accuracy", SHARE, "Accuracy under that attack."),
        *interval("its interval.", SHARE, "least_low", "least_high", "least, interval"),
        Column("base_least_accuracy", SHARE, "The base's."),
        *change("robust_difference", "Compressed minus base accuracy under that attack.", AT_ONCE),
        *change("by_training", "Of that, control minus base: what further training did."),
        *change("by_compression", "Of that, compressed minus control: what compression did."),
        Column(
            "queries_attack", TEXT, "Of a model whose gradients no attack followed: the attack by queries that leaves "
            "it least.",
        ),
        Column("queries_accuracy", SHARE, "Accuracy under that attack."),
        Column(
            "gradients_attack", TEXT, "Of the same model: the attack by its base's gradients, at the same budget, "
            "whose images leave it least.",
        ),
        Column("gradients_accuracy", SHARE, "Accuracy on these images."),
        Column("no_stake", TEXT, "Attacks under which the base keeps so little that nothing can be lost."),
        Column("largest_loss", SHARE, "The largest loss that is not excluded, on clean images or under attack."),
        Column("failures", TEXT, "What the audit refuses of the model or its base."),
        Column("warnings", TEXT, "What the audit warns of."), SEEDS,
    ),
)  # fmt: skip
MAX_DELTA = Table(
    "max_delta",
    "The largest differences over the levels of every compression.",
    (
        DATASET, *(axis for axis in axes() if axis.name not in ("ratio", "bits")), AGAINST, *CELL, ABOUT,
        Column("levels", COUNT, "How many ratios or bit widths there are."),
        Column("base_accuracy", SHARE, "Accuracy of the base model."),
        Column(
            "max_delta", GAIN, "The largest signed difference compressed minus base, as [vora2023] report it: it hides "
            "losses where one level gains.",
        ),
        Column("max_delta_ratio", REMOVED, "The ratio where that is."),
        Column("max_delta_bits", COUNT, "The bits of a weight where that is."),
        Column("largest_delta", GAIN, "The difference of largest size."),
        Column("largest_delta_ratio", REMOVED, "The ratio where that is."),
        Column("largest_delta_bits", COUNT, "The bits of a weight where that is."),
        *interval(f"its interval, {CHOSEN}."),
        *change("by_training", "Of the difference of largest size, control minus base: what further training did.",
                CHOSEN),
        *change("by_compression", "Of it, compressed minus control: what compression did.", CHOSEN), SEEDS, IMAGES,
        WARNED,
    ),
)  # fmt: skip
FLIPS = Table(
    "flips",
    "How many adversarial images only one of a compressed model and its reference resists.",
    (
        *COMPARED, IMAGES,
        Column("broken", COUNT, "Images that the reference resists and the compressed model does not."),
        Column("mended", COUNT, "Images that the compressed model resists and the reference does not."),
        Column("broken_examples", TEXT, "The first of the broken, by their index in the test split.", printed=False),
        Column("mended_examples", TEXT, "The first of the mended, by their index in the test split.", printed=False),
    ),
)  # fmt: skip
CLEAN_DIFFERENCES = Table(
    "clean_differences",
    "Compressed minus reference accuracy on the clean test images, paired image by image, seeds together. No verdict "
    "is passed on it.",
    (DATASET, *axes(), AGAINST, ABOUT, DIFFERENCE, *interval(OF_VERDICTS), SEEDS, IMAGES, STD, MEAN_SQUARE),
)
SWEEP_DIFFERENCES = Table(
    "sweep_differences",
    "Compressed minus reference accuracy at rising eps, each model attacked itself, paired image by image, seeds "
    "together; eps 0 stands for the clean images. A seed counts where neither of its two sweeps ended before that eps. "
    "No verdict is passed on it; near an accuracy of 0 no difference is left to see.",
    (
        DATASET, Column("sweep", TEXT, "The study's entry of `sweeps`."), *axes(), AGAINST,
        Column("method", TEXT, "The kind of attack.", printed=False), *BUDGET, ABOUT, DIFFERENCE,
        *interval(OF_VERDICTS),
        *change("beyond_clean", "The difference minus that on the clean images, for which it is empty: below 0 "
                "the attack widens the gap."),
        SEEDS, IMAGES,
    ),
)  # fmt: skip
SELECTED = Table(
    "selected",
    "The smallest model, in packed bytes, of every training and compression that keeps its accuracy within "
    "`tolerance` of the base's, means over seeds. A choice by its result, for which the intervals of its difference "
    "allow (Bonferroni over the candidates).",
    (
        DATASET, *axes()[:3],
        Column("criterion", TEXT, "`high compression` keeps clean accuracy, `high robustness` that under `attack`."),
        Column("attack", TEXT, "The attack, crafted on every model itself."),
        Column("tolerance", SHARE, "The accuracy that may be lost."),
        Column("selected", TEXT, "Whether a model was selected, and if not, why."),
        Column("candidates", COUNT, "How many models were evaluated."), *axes()[3:], RUNS,
        Column("base_accuracy", SHARE, "Accuracy of the base model."), accuracy(),
        Column(
            "difference", GAIN, "Compressed minus base accuracy.",
            value=lambda rows: rows.accuracy - rows.base_accuracy,
        ),
        *interval("its interval on these models.", SHARE, "models_low", "models_high", "interval, these models"),
        *interval("its interval on trainings.", SHARE, "trainings_low", "trainings_high", "interval, trainings"),
        Column(
            "within_tolerance", TEXT, "The kinds of verdict whose interval lies above the tolerance; where none does "
            "the choice is a guess.",
        ),
        Column("base_packed_bytes", SIZE, "Packed size of the base model.", unit="bytes"), ACHIEVED[-1],
        Column(
            "share_of_bytes", SHARE, "Packed size as a share of the base's.",
            value=lambda rows: rows.packed_bytes / rows.base_packed_bytes,
        ),
    ),
)  # fmt: skip
