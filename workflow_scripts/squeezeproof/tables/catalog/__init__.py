"""Every table of a study and every column of it. A new column is one line here, and a value where its rows are made.

docs/tables.md and the captions of the report are written from this by `make reference`.
"""

from squeezeproof.tables.columns import (
    ABOUT,
    ACHIEVED,
    AGAINST,
    BUDGET,
    CHECKS,
    COMPARISON,
    CORRECT,
    DATASET,
    DIFFERENCE,
    ENTRY,
    FAMILY,
    IMAGES,
    LOSS,
    MEAN_SQUARE,
    MODEL_NAME,
    NOT_SUPPORTED,
    OF_VERDICTS,
    REFERENCE,
    RUNS,
    SEED,
    SEED_RELATION,
    SEEDS,
    SOURCE,
    STD,
    TANGO,
    TARGETED,
    THREAT,
    VARIANT,
    WARNED,
    WARNINGS,
    WILSON,
    accuracy,
    attack,
    axes,
    change,
    interval,
    spread,
)  # fmt: skip
from squeezeproof.tables.table import (
    COUNT,
    FINDING,
    FLAG,
    GAIN,
    LEVEL,
    NAMED_BY_STUDY,
    NUMBER,
    P_VALUE,
    PERCENT,
    POINTS,
    REMOVED,
    SHARE,
    SIZE,
    TEXT,
    Column,
    Table,
)  # fmt: skip

# Accuracy

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

# Compressed beside base

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
    "Images that were crafted on another model prove nothing in favour of a model: there they transfer worse.",
    (
        DATASET, *axes(), AGAINST, *CELL, ABOUT,
        Column("verdict", TEXT, "More robust, less robust, equivalent, transfers worse, no difference shown."),
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
    "same images: the total is their sum. Models that trained no longer than their base have no effect of training; "
    "without controls there is nothing to tell apart.",
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
        *change("clean_difference", "Compressed minus base accuracy on clean images."),
        Column("attack", TEXT, "The attack that leaves the model least."),
        Column("crafted_on", TEXT, "`itself`, or the model that its images were made for."),
        Column("robust_accuracy", SHARE, "Accuracy under that attack."),
        *interval("its interval.", SHARE, "robust_low", "robust_high", "robust, interval"),
        Column("base_robust_accuracy", SHARE, "The base's."),
        *change("robust_difference", "Compressed minus base accuracy under that attack."),
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
        *interval("its interval, which covers although the level was chosen by its result (Bonferroni)."),
        SEEDS, IMAGES,
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

# Models, their costs, and crafting

COMPRESSION = Table(
    "compression",
    "What every compression was asked to remove and what it achieved.",
    (
        DATASET, MODEL_NAME, VARIANT, *axes(), SEED,
        Column("activation_bits", COUNT, "Bits of an activation; of an ONNX or TFLite file they are not measured."),
        Column("measure", TEXT, "What the ratio counts."),
        Column("channels_removed", SHARE, "Share of the base's channels that is gone."),
        Column("parameters_removed", SHARE, "Share of the base's parameters that is gone."),
        Column("macs_removed", SHARE, "Share of the base's multiply-accumulates that is gone."),
        Column(
            "sparsity", SHARE, "Share of the parameters that is zero.",
            value=lambda rows: 1 - rows["nonzeros"] / rows["parameters"],
        ),
        Column("channels", SIZE, "Filters of all convolutions together."), *ACHIEVED,
        Column("filters", TEXT, "Filters that every convolution keeps."),
        Column(
            "warning", TEXT, "Where the model is another of the study, bit for bit, or an ADMM that had not converged."
        ),
    ),
)  # fmt: skip
CRAFTING = Table(
    "crafting",
    "What crafting every adversarial set cost, and what it achieved on its own source.",
    (
        DATASET, SOURCE, *attack(), Column("stop_on_success", FLAG, "Whether an image stops once it fools its source."),
        Column("stored", TEXT, "The type of the stored pixels.", printed=False), TARGETED,
        Column(
            "successes", COUNT, "Images that fool their source, those that it already got wrong included; of a "
            "targeted attack those that reach their class.",
        ),
        Column("forwards_per_example", NUMBER, "Forward passes per image."),
        Column("backwards_per_example", NUMBER, "Backward passes per image."),
        Column("zero_gradients", SHARE, "Share of input gradients that were exactly zero, a sign of gradient masking."),
        Column("float_successes", COUNT, "Of sets of 8-bit images: successes before rounding."),
        Column("queries", COUNT, "Labels that a black-box attacker asked for."),
        Column("seconds", NUMBER, "Wall time, which differs from run to run.", unit="s"),
        Column("device", TEXT, "Where it ran."),
    ),
)  # fmt: skip
LIBRARY_ATTACKS = Table(
    "library_attacks",
    "What the attacks of other libraries did beside what they are for.",
    (
        DATASET, SOURCE, *attack(), Column("attacked", COUNT, "Images that were attacked, by every stage of a suite."),
        Column(
            "returned_clean", COUNT, "Images that the library returned unchanged though their source was not fooled; "
            "the set has the strongest point that the library looked at instead."
        ),
        Column("outside", COUNT, "Images that it returned outside the ball or the box; the set has them moved inside."),
        Column("compared", COUNT, "Images that were attacked again in a smaller batch."),
        Column("other_points", COUNT, "Those of them that the library perturbed otherwise there."),
        Column("other_outcomes", COUNT, "Those of them that fooled their source in one of both batches alone."),
        Column("reseeded", COUNT, "Batches in which it seeded torch's global generator, which was restored."),
        Column("mode_changed", COUNT, "Batches in which it changed the mode of its model, which was not the source."),
        Column("ended", COUNT, "Images on which it was ended because its queries were spent."),
        Column("failed", TEXT, "The exception that it ended in; such a set is in no table of results."),
    ),
)  # fmt: skip
EFFICIENCY = Table(
    "efficiency",
    "What every model costs; what was not exported, timed or evaluated is empty.",
    (
        DATASET, MODEL_NAME, *axes(), SEED, *ACHIEVED,
        Column(
            "weight_bits", NUMBER, "Bits that a weight takes, measured: the mean over all weights of the model, or of "
            "the file that it is.",
        ),
        Column("onnx_bytes", SIZE, "The exported ONNX file.", unit="bytes"),
        Column("torch_export_bytes", SIZE, "The file of torch.export.", unit="bytes"),
        Column("int8_bytes", SIZE, "The ONNX file of the int8 model.", unit="bytes"), accuracy(),
        Column("onnx_agreement", SHARE, "Share of test images that the ONNX file and the model label alike."),
        Column("torch_export_agreement", SHARE, "The same of torch.export."),
        Column("int8_agreement", SHARE, "The same of the int8 model and the fake-quantized one."),
        Column("int8_accuracy", SHARE, "Accuracy of the int8 model."),
        Column("int8_layers", COUNT, "Layers of the int8 model."),
        Column("int8_integer_layers", COUNT, "Those of them that run in integers."),
        Column("eager_ms", NUMBER, "Median time of one image in memory, fewest threads: PyTorch.", unit="ms"),
        Column("onnxruntime_ms", NUMBER, "The same: ONNX Runtime.", unit="ms"),
        Column("int8_ms", NUMBER, "The same: the int8 model on ONNX Runtime.", unit="ms"),
        Column("litert_ms", NUMBER, "The same: a TFLite file of the user's on LiteRT.", unit="ms"),
    ),
)  # fmt: skip
LATENCY = Table(
    "latency",
    "Time per image of every model, back-end, number of threads and algorithm. All models took turns in every round.",
    (
        DATASET, MODEL_NAME, Column("backend", TEXT, "What ran the model."), Column("threads", COUNT, "Threads."),
        Column(
            "algorithm", TEXT, "`in memory`: one image after the other (Algorithm 4 of Marshall (2020)); `loaded`: "
            "images read from their file and passed forward as one batch (Algorithm 5).",
        ),
        Column("rounds", COUNT, "Rounds."), Column("samples", COUNT, "Samples of all rounds."),
        Column("mean_ms", NUMBER, "Mean, which a disturbance moves.", unit="ms"),
        Column("std_ms", NUMBER, "Standard deviation of single samples; empty for one.", unit="ms"),
        Column("median_ms", NUMBER, "Median, which withstands a disturbance.", unit="ms"),
        Column("q25_ms", NUMBER, "Lower quartile.", unit="ms"), Column("q75_ms", NUMBER, "Upper quartile.", unit="ms"),
        Column("iqr_ms", NUMBER, "Distance of the quartiles.", unit="ms", value=lambda rows: rows.q75_ms - rows.q25_ms),
        Column("cpu_median_ms", NUMBER, "Median of the time of all threads together.", unit="ms"),
        *(Column(f"machine_{key}", TEXT, f"The machine: {key}.") for key in ("cpu", "cores", "gpu", "system")),
        *(Column(f"machine_{key}", TEXT, f"The version of {key}.") for key in ("python", "torch", "onnxruntime")),
    ),
)  # fmt: skip
DEPLOYED = Table(
    "deployed",
    "Deployed int8 models on the adversarial images that were crafted for evaluations of their fake-quantized "
    "models. The images follow the fake-quantized model's gradients, not the integer model's own, of which there are "
    "none: it is at most as robust as this. Under minimum-norm attacks the two differ more, for those images lie at "
    "the fake-quantized model's boundary.",
    (
        DATASET, MODEL_NAME, *axes(), SEED, SOURCE, *attack(), IMAGES,
        Column("fake_quantized_accuracy", SHARE, "Accuracy of the fake-quantized model."),
        Column("int8_accuracy", SHARE, "Accuracy of the int8 model."),
        Column(
            "difference", GAIN, "Accuracy of the int8 model minus that of the fake-quantized one.",
            value=lambda rows: rows.int8_accuracy - rows.fake_quantized_accuracy,
        ),
        *interval(TANGO), Column("agreement", SHARE, "Share of images to which both give one label."),
        Column("warnings", TEXT, CHECKS, printed=False, marks="int8_accuracy"),
    ),
    title="int8 models on what was crafted for their fake-quantized models",
)  # fmt: skip

UNSUPPORTED = Table(
    "unsupported",
    "What networks do not support, and so is in no other table: a compression, an attack, an export.",
    (
        DATASET, *axes(),
        Column("part", TEXT, "`compression`, the attack with its budget, the sweep, or the ending of the export."),
        Column("models", COUNT, "How many models, one per seed."),
        Column("reason", TEXT, "Why, and what to do."),
    ),
    title="not supported",
)  # fmt: skip

# Audit, published numbers, and the layouts of the papers

AUDIT = Table(
    "audit",
    "Every check that the evaluation went through, one row per cell and check, failures first. A `failure` keeps the "
    "cell out of all other tables and figures, a `warning` marks it, `not applicable` says what the check would "
    "need. `*` stands for every target or every attack.",
    (
        DATASET, SOURCE, Column("target", TEXT, "The model that is scored, with its seed."),
        Column("attack", TEXT, "The attack with its budget."), Column("check", COUNT, "The check's number."),
        Column("name", TEXT, "What the check asks for."), Column("value", FINDING, "What was measured."),
        Column("threshold", FINDING, "Its limit."),
        Column("verdict", TEXT, "Failure, warning, not applicable or pass."),
        Column("message", TEXT, "What is wrong and what to do."),
    ),
)  # fmt: skip
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

TABLES = {
    table.name: table
    for table in (
        CLEAN_ACCURACY, ROBUST_ACCURACY, OVER_SEEDS, TARGETED_ATTACKS, SWEEPS, STAGES, ANSWERS, COMPARISONS, VERDICTS,
        EFFECTS, MAX_DELTA, FLIPS, CLEAN_DIFFERENCES, SELECTED, COMPRESSION, CRAFTING, LIBRARY_ATTACKS, EFFICIENCY,
        LATENCY, DEPLOYED, UNSUPPORTED, AUDIT, PUBLISHED, WIDE_MODELS, WIDE_ATTACKS, WIDE_STAGES,
    )
}  # fmt: skip
