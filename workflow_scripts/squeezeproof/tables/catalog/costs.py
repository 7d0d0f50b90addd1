"""Tables of what models and attacks cost: sizes, passes, latencies, and the deployed models beside the simulated."""

from squeezeproof.tables.columns import (
    ACHIEVED,
    AGAINST,
    CHECKS,
    DATASET,
    IMAGES,
    MADE_WITH,
    MODEL_NAME,
    REFERENCE,
    SEED,
    SOURCE,
    TANGO,
    TARGETED,
    VARIANT,
    accuracy,
    attack,
    axes,
    interval,
)
from squeezeproof.tables.table import (
    COUNT,
    FLAG,
    GAIN,
    NUMBER,
    SHARE,
    SIZE,
    TEXT,
    Column,
    Table,
)

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
        MADE_WITH,
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
        Column("device", TEXT, "Where it ran."), MADE_WITH,
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
SPEEDUPS = Table(
    "speedups",
    "How many times as fast as its reference a compressed model is. All models took turns in every round, and the "
    "intervals are over the rounds: of this machine as it was then, of no other.",
    (
        DATASET, MODEL_NAME, *axes(), SEED, AGAINST, REFERENCE,
        Column("backend", TEXT, "What ran the compressed model."),
        Column(
            "reference_backend", TEXT, "What ran the reference: of an int8 model the float reference in ONNX Runtime.",
            printed=False,
        ),
        Column("threads", COUNT, "Threads."), Column("algorithm", TEXT, "As in `latency`."),
        Column("rounds", COUNT, "Rounds in which both took their turn."),
        Column(
            "speedup", NUMBER, "The reference's time divided by the model's, a geometric mean over the rounds of the "
            "ratios of medians: above 1 the model is faster.",
        ),
        *interval("Student's 95 % interval of the speedup, on logarithms; empty for one round.", NUMBER),
    ),
)  # fmt: skip
DEPLOYED = Table(
    "deployed",
    "Deployed int8 models on the adversarial images that were crafted for evaluations of their fake-quantized "
    "models, and on those that `efficiency.attacks` crafted on the int8 models themselves by queries. The former "
    "follow the fake-quantized model's gradients, not the integer model's own, of which there are none: it is at most "
    "as robust as this. Under minimum-norm attacks the two differ more, for those images lie at the fake-quantized "
    "model's boundary.",
    (
        DATASET, MODEL_NAME, *axes(), SEED, SOURCE,
        Column(
            "made_for", TEXT, "What the source is: the int8 model `itself`, `its fake-quantized model`, `its base` or "
            "`another model`; empty of clean images.",
        ),
        *attack(), IMAGES,
        Column(
            "queries", NUMBER, "Mean number of times that an image was shown to the int8 model to craft it; empty "
            "where another model was attacked.",
        ),
        Column(
            "fake_quantized_accuracy", SHARE, "Accuracy of the fake-quantized model; empty on what was crafted on the "
            "int8 model, as these images may end where they fool it.",
        ),
        Column("int8_accuracy", SHARE, "Accuracy of the int8 model."),
        Column(
            "worst", SHARE, "The same where an image counts if the int8 model is right on it and on every image that "
            "any attack of this budget made of it, on any source.",
        ),
        Column(
            "difference", GAIN, "Accuracy of the int8 model minus that of the fake-quantized one.",
            value=lambda rows: rows.int8_accuracy - rows.fake_quantized_accuracy,
        ),
        *interval(TANGO), Column("agreement", SHARE, "Share of images to which both give one label."),
        Column("warnings", TEXT, CHECKS, printed=False, marks="int8_accuracy"),
    ),
    title="int8 models under attack",
)  # fmt: skip
