"""Columns that tables share."""

from squeezeproof.tables.table import (
    COUNT,
    GAIN,
    NUMBER,
    REMOVED,
    SHARE,
    SIZE,
    TEXT,
    Column,
    Kind,
)  # fmt: skip

DATASET = Column("dataset", TEXT, "The study's entry of `datasets`.")
SEED = Column("seed", COUNT, "The seed that the model was trained with.")
MODEL_NAME = Column("model", TEXT, "The model's name, with its seed.")
VARIANT = Column("variant", TEXT, "The model's name without its seed.", printed=False)
IMAGES = Column("n", COUNT, "Test images that are scored; those that a fitted attack has seen are not.", title="images")
RUNS = Column("runs", COUNT, "How many pairs of a source and a target, one per combination of seeds, the row averages.")
SEEDS = Column("seeds", COUNT, "How many seeds the row averages.")
SOURCE = Column("source", TEXT, "The model that the images were crafted on, with its seed.")
THREAT = Column("threat", TEXT, "`white-box`: source and target are one model; `transfer`: they are not.")
SEED_RELATION = Column(
    "seed_relation",
    TEXT,
    "`same`: source and target have one seed; `other`: the source is a surrogate of another seed.",
)
CORRECT = Column("correct", COUNT, "Images that get their true label.", printed=False)
CHECKS = "Numbers of the audit's checks that warn of the cell."
LOSS = Column("loss", TEXT, "The loss of the attack, where it has a choice.")
ENTRY = Column("entry", TEXT, "The study's entry of `attacks` that the attack comes from.", printed=False)
COMPARISON = Column(
    "comparison", TEXT,
    "`same-source`: both models face the same images; `white-box`: each faces the images crafted on itself.",
)  # fmt: skip
AGAINST = Column(
    "against", TEXT,
    "What the model is compared with: `base`, as it would be shipped in its place, or `control`, a base that was "
    "trained as long.",
)  # fmt: skip
REFERENCE = Column("reference", TEXT, "That model.", printed=False)
ABOUT = Column(
    "about", TEXT,
    "The kind of verdict: on `these models`, for other images, or, from two seeds on, on `trainings`, for other seeds "
    "and images.",
)  # fmt: skip
MEAN_SQUARE = Column(
    "mean_square", NUMBER, "Mean over the images of the squared difference, a mean over the seeds.", printed=False
)
# Whether an interval holds for one comparison, or for all of a family at once.
ALONE, AT_ONCE = "by itself", "corrected for the number of comparisons, as the answer takes it"
STD = Column("std", SHARE, "Standard deviation of the difference over seeds; empty for one.")


def axes(side: str = "", *, printed: bool = True) -> tuple[Column, ...]:
    """The columns that tell what a model is, without its seed; `side` is `source_` or `target_` where there are two."""
    of = f" of the {side.rstrip('_')}" if side else ""
    return (
        Column(f"{side}architecture", TEXT, f"The architecture's entry{of}.", printed=printed),
        Column(f"{side}training", TEXT, f"The training's entry{of}.", printed=printed),
        Column(
            f"{side}compression", TEXT, f"The compression's entry{of}; `none` is the base model, `control` a base that "
            "was trained as long as a compressed one.", printed=printed,
        ),
        Column(
            f"{side}ratio", REMOVED, f"The ratio{of} to be removed; of a quantization that of the pruning before it.",
            printed=printed,
        ),
        Column(
            f"{side}bits", COUNT, f"Bits of a weight{of} that the study asks for, 32 where it asks for none, as of a "
            "file that was compressed elsewhere: `weight_bits` of `efficiency.csv` is what was measured.",
            printed=printed,
        ),
        Column(f"{side}finetuning", TEXT, f"The fine-tuning's entry{of}.", printed=printed),
    )  # fmt: skip


def attack(*, method: bool = False) -> tuple[Column, ...]:
    """The columns of an attack instance. Where the attack's name is printed it tells the method, too."""
    return (
        Column("attack", TEXT, "The attack with its budget; `clean` stands for the clean images."),
        ENTRY,
        Column("method", TEXT, "The kind of attack.", printed=method),
        *BUDGET,
    )


BUDGET = (
    Column("norm", TEXT, "The norm of the perturbation."),
    Column("eps", NUMBER, "The budget; empty where the attack looks for the nearest point.", unit="pixels in [0, 1]"),
)


def interval(
    sentence: str, kind: Kind = SHARE, low: str = "low", high: str = "high", title: str = "interval"
) -> tuple[Column, Column]:
    """Two columns, printed as one."""
    return (
        Column(low, kind, f"Lower bound of {sentence}", title=title, upper=high),
        Column(high, kind, f"Upper bound of {sentence}", printed=False),
    )


def change(name: str, sentence: str, of: str = ALONE) -> tuple[Column, ...]:
    """A difference of accuracies and its interval, of the kind of verdict that `about` names; `of` says which it is."""
    title = f"{name.replace('_', ' ')}, interval"
    return Column(name, GAIN, sentence), *interval(f"its interval, {of}.", SHARE, f"{name}_low", f"{name}_high", title)


def accuracy() -> Column:
    return Column("accuracy", SHARE, "Share of the images that get their true label.")


def spread(kind: Kind = SHARE) -> tuple[Column, ...]:
    return (
        Column("mean", kind, "Mean accuracy over the runs."),
        Column("std", kind, "Standard deviation over the runs; empty for one."),
        Column("min", kind, "The lowest accuracy of a run."),
        Column("max", kind, "The highest accuracy of a run."),
    )


TARGETED = Column(
    "targeted", TEXT,
    "Of a targeted attack the class that an image is to reach: `least-likely`, `random`, `next` or a class's name.",
)  # fmt: skip
WILSON = "the 95 % Wilson interval over the test images of one seed."
TANGO = "Tango's score interval of the difference over the test images."
OF_VERDICTS = f"the interval of the difference {ALONE}, of the kind that `about` names."
DIFFERENCE = Column("difference", GAIN, "Compressed minus reference accuracy.")
WARNINGS = Column("warnings", TEXT, CHECKS, printed=False, marks="accuracy")
MADE_WITH = Column(
    "made_with", TEXT, "Versions of the packages that computed it; empty where they were not recorded.", printed=False
)
WARNED = Column(
    "warned", TEXT, "The columns of the row of whose cells the audit warns, between semicolons.", printed=False
)
NOT_SUPPORTED = Column("not supported", TEXT, "Why the row has no numbers; see `unsupported`.")
FAMILY = (
    Column(
        "family", TEXT, "The tests that are corrected together: data set, method, comparison, reference.", printed=False
    ),
    Column("family_size", COUNT, "How many tests the family has.", printed=False),
)
ACHIEVED = (
    Column("parameters", SIZE, "Weights and biases."),
    Column("nonzeros", SIZE, "Parameters that are not zero."),
    Column("macs", SIZE, "Multiply-accumulates for one image."),
    Column("bytes", SIZE, "Size with every parameter in float32.", unit="bytes"),
    Column(
        "packed_bytes", SIZE, "Size with masked tensors as non-zeros and one bit per position, quantized weights at "
        "their bits.", unit="bytes",
    ),
)  # fmt: skip
