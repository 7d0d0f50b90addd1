"""Tables of what was not run, and why, and of every check that the evaluation went through."""

from squeezeproof.tables.columns import (
    DATASET,
    SOURCE,
    axes,
)
from squeezeproof.tables.table import (
    COUNT,
    FINDING,
    TEXT,
    Column,
    Table,
)

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
AUDIT = Table(
    "audit",
    "Every check that the evaluation went through, one row per cell and check, failures first. A `failure` keeps the "
    "cell out of all other tables and figures, a `warning` marks it, a `note` lowers no answer, `not applicable` "
    "says what the check would need. `*` stands for every target or every attack.",
    (
        DATASET, SOURCE, Column("target", TEXT, "The model that is scored, with its seed."),
        Column("attack", TEXT, "The attack with its budget."), Column("check", COUNT, "The check's number."),
        Column("name", TEXT, "What the check asks for."), Column("value", FINDING, "What was measured."),
        Column("threshold", FINDING, "Its limit."),
        Column("verdict", TEXT, "Failure, warning, note, not applicable or pass."),
        Column("message", TEXT, "What is wrong and what to do."),
    ),
)  # fmt: skip
